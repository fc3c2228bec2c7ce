"""Saving offers, finding those of an order, and counting their uses under a lock."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from store_modules.catalog.models import Category, Product
from store_modules.customers.models import Customer
from store_modules.discounts.models import DiscountCode, DiscountRule, Redemption, Scope, Type
from store_modules.discounts.pricing import Applied, Offer
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.money import MoneyError, parse_money
from storeplatform.kernel.tenancy import Actor

ZERO = Decimal(0)
MOST_RULES = 200  # that one order is priced with


@transaction.atomic
def save_offer(actor: Actor, offer: Any, values: dict[str, Any]) -> Any:
    """Create or change a rule or code; facts that hold across fields are checked here."""
    for name, value in values.items():
        setattr(offer, name, value)
    check_offer(actor, offer)
    if not offer._state.adding:
        offer.version += 1
    offer.save()
    return offer


def check_offer(actor: Actor, offer: Any) -> None:
    if offer.type == Type.FREE_SHIPPING:
        offer.value = None
        offer.scope = Scope.SHIPPING
    elif offer.value is None:
        raise refuse("value", "required", "How much comes off.")
    elif offer.type == Type.PERCENTAGE:
        if not 0 <= offer.value <= 100 or offer.value != round(offer.value, 2):
            raise refuse("value", "invalid", "A percentage from 0 to 100 with up to two digits.")
    else:
        check_amount(actor, offer.value)
    if offer.starts_at and offer.expires_at and offer.expires_at <= offer.starts_at:
        raise refuse("expiresAt", "invalid", "It must lie after startsAt.")
    if offer.usage_limit is not None and offer.usage_limit < offer.used_count:
        raise refuse("usageLimit", "invalid", f"It was used {offer.used_count} times already.")
    if (offer.customer_eligibility == "tag") != bool(offer.customer_tag):
        raise refuse("customerTag", "invalid", "The tag goes with customerEligibility tag.")
    check_scope(actor, offer)


def check_amount(actor: Actor, value: Decimal) -> None:
    try:
        amount = parse_money(value, actor.store.currency_code)
    except MoneyError as error:
        raise refuse("value", error.code, error.message) from None
    if amount <= 0:
        raise refuse("value", "min_value", "More than nothing.")


def check_scope(actor: Actor, offer: Any) -> None:
    models: dict[str, Any] = {Scope.PRODUCTS: Product, Scope.CATEGORIES: Category}
    model = models.get(offer.scope)
    if model is None:
        offer.scope_ids = []
        return
    ids = set(offer.scope_ids)
    if not ids:
        raise refuse("scopeIds", "required", f"Name the {offer.scope}.")
    if model.objects.filter(store_id=actor.store_id, pk__in=ids).count() < len(ids):
        raise refuse("scopeIds", "not_found", f"Not all are {offer.scope} of this store.")


def delete_offer(offer: Any) -> None:
    """A used one is kept out of sight, for the orders that name it."""
    if offer.used_count or offer.redemptions.exists():
        offer.deleted_at, offer.is_active = timezone.now(), False
        offer.version += 1
        offer.save()
    else:
        offer.delete()


# Reading offers for an order


def as_offer(row: Any, used_by_customer: int = 0) -> Offer:
    """A rule's or code's row as the pure functions read it."""
    is_rule = isinstance(row, DiscountRule)
    return Offer(
        id=row.pk,
        name=row.name,
        type=row.type,
        value=row.value,
        scope=row.scope,
        scope_ids=frozenset(row.scope_ids),
        min_order_value=row.min_order_value,
        min_quantity=row.min_quantity,
        max_discount=row.max_discount_amount,
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        is_active=row.is_active,
        channels=frozenset(row.channels),
        eligibility=row.customer_eligibility,
        customer_tag=row.customer_tag,
        usage_limit=row.usage_limit,
        usage_limit_per_customer=row.usage_limit_per_customer,
        used_count=row.used_count,
        used_by_customer=used_by_customer,
        priority=row.priority if is_rule else 0,
        stackable=is_rule and row.stackable,
        combines_with_codes=not is_rule or row.combines_with_codes,
        code=None if is_rule else row.code,
    )


def rules_for(
    store_id: UUID, now: datetime, *, phone: str | None, but_order: UUID | None = None
) -> list[Offer]:
    """The store's rules that may hold at `now`; uses by `but_order` itself do not count."""
    window = Q(starts_at=None) | Q(starts_at__lte=now), Q(expires_at=None) | Q(expires_at__gt=now)
    rules = DiscountRule.objects.live().of(store_id).filter(*window, is_active=True)
    return with_uses(list(rules.order_by("priority", "pk")[:MOST_RULES]), phone, but_order)


def find_code(
    store_id: UUID,
    code: str,
    *,
    phone: str | None,
    but_order: UUID | None = None,
    kept_id: UUID | None = None,
) -> Offer | None:
    """The store's code by its letters. One that an order has already is kept by its id: switched
    off, expired or deleted, it still holds there."""
    if kept_id:
        kept = DiscountCode.objects.of(store_id).filter(pk=kept_id).first()
        if kept is not None:
            offer = with_uses([kept], phone, but_order)[0]
            return replace(offer, is_active=True, starts_at=None, expires_at=None)
    row = DiscountCode.objects.live().of(store_id).filter(code=code.strip().upper()).first()
    return with_uses([row], phone, but_order)[0] if row else None


def with_uses(rows: Sequence[Any], phone: str | None, but_order: UUID | None) -> list[Offer]:
    limited = [row.pk for row in rows if row.usage_limit_per_customer is not None]
    mine = [row.pk for row in rows if row.usage_limit is not None] if but_order else []
    uses: dict[Any, int] = {}
    own: set[Any] = set()
    if (limited and phone) or mine:
        about = Q(rule__in=limited + mine) | Q(code__in=limited + mine)
        whose = Q(order_id=but_order) | (Q(phone=phone) if phone else Q())
        for use in Redemption.objects.filter(about, whose):
            offer_id = use.rule_id or use.code_id
            if use.order_id == but_order:
                own.add(offer_id)
            elif phone and use.phone == phone:
                uses[offer_id] = uses.get(offer_id, 0) + 1
    offers = [as_offer(row, uses.get(row.pk, 0)) for row in rows]
    return [without_own_use(offer) if offer.id in own else offer for offer in offers]


def without_own_use(offer: Offer) -> Offer:
    return replace(offer, used_count=max(0, offer.used_count - 1))


# Counting uses


def redeem(
    store_id: UUID,
    order_id: UUID,
    applied: Iterable[Applied],
    *,
    phone: str | None,
    customer_id: UUID | None = None,
) -> None:
    """Count a use of each discount, in the order's transaction: rules before codes, each in id
    order. Raises Conflict when a limit was reached meanwhile: a counter never passes its limit.
    Of a new order the customer is given, in whose counters it stands already: only one order is
    the first, however many are placed at once."""
    rows = []
    applied = list(applied)
    for one in applied:
        if customer_id and one.offer.eligibility == "first_order" and has_more(customer_id):
            raise limit_reached("customer_limit_reached", one.offer)
    for one in sorted(applied, key=lambda one: (one.offer.code is not None, one.offer.id)):
        offer = one.offer
        model: Any = DiscountCode if offer.code else DiscountRule
        open_ = Q(usage_limit=None) | Q(used_count__lt=F("usage_limit"))
        counted = model.objects.filter(open_, pk=offer.id).update(used_count=F("used_count") + 1)
        if not counted:
            raise limit_reached("usage_limit_reached", offer)
        side = {"code_id": offer.id} if offer.code else {"rule_id": offer.id}
        if is_used_up(offer, side, phone):  # the update above locked its row
            raise limit_reached("customer_limit_reached", offer)
        rows.append(
            Redemption(store_id=store_id, order_id=order_id, phone=phone, amount=one.amount, **side)
        )
    if rows:
        Redemption.objects.bulk_create(rows)


def has_more(customer_id: UUID) -> bool:
    """Whether a customer has other orders than the one that was counted just now."""
    return Customer.objects.filter(pk=customer_id, orders_count__gt=1).exists()


def is_used_up(offer: Offer, side: dict[str, UUID], phone: str | None) -> bool:
    """Whether this customer has had all uses that one customer gets."""
    most = offer.usage_limit_per_customer
    if most is None or phone is None:
        return False
    return Redemption.objects.filter(**side, phone=phone).count() >= most


def redeem_kept(
    store_id: UUID,
    order_id: UUID,
    kept: Sequence[dict[str, Any]],
    *,
    phone: str | None,
    customer_id: UUID | None,
) -> None:
    """Count the discounts that a draft was priced with, now that it is placed."""
    by_id: dict[str, Any] = {}
    for model in (DiscountRule, DiscountCode):
        for row in model.objects.filter(store_id=store_id, pk__in=[one["id"] for one in kept]):
            by_id[str(row.pk)] = row
    redeem(
        store_id,
        order_id,
        [
            Applied(as_offer(by_id[one["id"]]), Decimal(one["amount"]))
            for one in kept
            if one["id"] in by_id
        ],
        phone=phone,
        customer_id=customer_id,
    )


def limit_reached(code: str, offer: Offer) -> Conflict:
    return Conflict(code, "The discount was used up.", details={"discount": offer.name})


def give_back(order_id: UUID) -> None:
    """The order uses its discounts no more."""
    for use in Redemption.objects.filter(order_id=order_id).order_by("rule_id", "code_id"):
        model: Any = DiscountRule if use.rule_id else DiscountCode
        pk = use.rule_id or use.code_id
        model.objects.filter(pk=pk).update(used_count=F("used_count") - 1)
        use.delete()
