"""Switching an endpoint off that is gone or fails for days."""

from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from integrations.webhooks.models import Endpoint
from store_modules.stores.models import Membership
from storeplatform.kernel.audit import audit
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.outbox import emit


@transaction.atomic
def disable(endpoint_id: UUID, reason: str) -> None:
    """Stop sending, and tell the store: by an event, its audit log, and mail to its owners."""
    endpoint = (
        Endpoint.objects.filter(pk=endpoint_id, is_active=True)
        .select_for_update(no_key=True)
        .first()
    )
    if endpoint is None:
        return
    endpoint.is_active, endpoint.disabled_at = False, timezone.now()
    endpoint.disabled_reason = reason
    endpoint.version += 1
    endpoint.save(
        update_fields=["is_active", "disabled_at", "disabled_reason", "version", "updated_at"]
    )
    audit("webhook.disabled", target=endpoint.pk, store_id=endpoint.store_id,
          changes={"reason": reason})  # fmt: skip
    emit(
        "webhook.disabled",
        store_id=endpoint.store_id,
        subject_id=endpoint.pk,
        sequence=endpoint.version,
        data={"id": str(endpoint.pk), "url": endpoint.url, "reason": reason},
    )
    enqueue(mail_owners, endpoint_id=str(endpoint.pk))


@background(in_transaction=False)
def mail_owners(endpoint_id: str) -> None:
    if not settings.EMAIL_CONFIGURED:
        return
    endpoint = Endpoint.objects.get(pk=endpoint_id)
    owners = Membership.objects.filter(
        store_id=endpoint.store_id,
        role=Membership.Role.OWNER,
        status=Membership.Status.ACTIVE,
        user__email__isnull=False,
    ).exclude(user__email="")
    to = [email for email in owners.values_list("user__email", flat=True) if email]
    if to:
        send_mail(
            "A webhook was switched off",
            f"{endpoint.url} receives no events any more: {endpoint.disabled_reason}\n"
            "Switch it on again and recover what it missed once it works.",
            settings.DEFAULT_FROM_EMAIL,
            to,
            fail_silently=False,
        )
