"""A store's accounts with delivery companies: checked with the company, kept encrypted."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.utils import timezone

from store_modules.delivery.models import CompanyLink, DeliveryCompany, Dispatch
from store_modules.delivery.providers import provider_of
from store_modules.shipping.models import ShippingRule
from storeplatform.kernel.audit import audit
from storeplatform.kernel.crypto import encrypt
from storeplatform.kernel.errors import Conflict, Refusal, Unavailable, refuse
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.providers import ProviderFault, Refused
from storeplatform.kernel.tenancy import Actor


def find_company(values: dict[str, Any]) -> DeliveryCompany:
    """The active company of an id or a slug. Raises Refusal on the field that was given."""
    by_id = values.get("delivery_company_id")
    wanted = {"pk": by_id} if by_id else {"slug": (values.get("delivery_company_slug") or "")}
    company: DeliveryCompany | None = DeliveryCompany.objects.filter(
        is_active=True, **wanted
    ).first()
    if company is None:
        field = "deliveryCompanyId" if by_id else "deliveryCompanySlug"
        message = "There is no such delivery company."
        raise refuse(field, "not_found", message)
    return company


def checked_account(company: DeliveryCompany, username: str, password: str) -> str:
    """Asks the company, outside any transaction. Raises Refusal `invalid_credentials`, or
    Unavailable when it does not answer."""
    try:
        provider = provider_of(company.provider)
        key = str(uuid7())
        return provider.check_account(company.slug, username, password, key=key)
    except Refused:
        message = f"{company.name} does not take this user name and password."
        raise Refusal("invalid_credentials", message, password=[message]) from None
    except ProviderFault:
        message = f"{company.name} does not answer; try again."
        raise Unavailable(message, retry_after=30) from None


@transaction.atomic
def link(
    actor: Actor,
    company: DeliveryCompany,
    *,
    username: str,
    password: str,
    account: str,
    agreed_fee: Decimal | None,
) -> CompanyLink:
    """Keep an account that was checked."""
    made = CompanyLink(
        store_id=actor.store_id,
        company=company,
        username=username,
        account=account,
        agreed_fee=agreed_fee,
        checked_at=timezone.now(),
    )
    made.credentials = sealed(made.pk, username, password)
    made.save(force_insert=True)
    audit("delivery.linked", target=company.slug, actor=actor)
    return made


def sealed(link_id: UUID, username: str, password: str) -> bytes:
    secret = orjson.dumps({"username": username, "password": password})
    return encrypt(secret, context_of(link_id))


def context_of(link_id: UUID) -> bytes:
    """What ties sealed credentials to their link."""
    return b"delivery-link:" + link_id.bytes


@transaction.atomic
def unlink(actor: Actor, made: CompanyLink) -> None:
    """Forget the account. Raises Conflict `link_in_use` while the company has parcels."""
    active = Dispatch.objects.of(actor.store_id).filter(
        company=made.company_id, state__in=Dispatch.ACTIVE
    )
    if active.exists():
        raise Conflict("link_in_use", "The company still has parcels of this store.")
    if ShippingRule.objects.of(actor.store_id).filter(delivery_company_id=made.company_id).exists():
        raise Conflict("link_in_use", "A shipping rule names the company.")
    made.delete()
    audit("delivery.unlinked", target=made.company.slug, actor=actor)


def is_linked(store_id: UUID, company_id: UUID) -> bool:
    links = CompanyLink.objects.of(store_id)
    found: bool = links.filter(company=company_id, company__is_active=True).exists()
    return found
