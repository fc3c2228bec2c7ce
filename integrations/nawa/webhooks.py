"""What Nawa tells us: signature first, then stored, then answered, and carried out by the worker
(platform.md, section 11)."""

import hmac
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import AwareDatetime, Field, ValidationError

from chat.phones import take_message
from integrations.nawa.client import Shape
from integrations.nawa.messages import report_message
from integrations.nawa.models import InboundEvent, OutgoingMessage, ProviderAlert
from store_modules.delivery import tracking
from store_modules.delivery.models import Dispatch
from store_modules.delivery.providers import Report
from storeplatform.kernel import valkey
from storeplatform.kernel.errors import Denied
from storeplatform.kernel.messaging import code_reported
from storeplatform.kernel.providers import id_of

log = structlog.get_logger(__name__)

NAWA = "nawa"
TOLERANCE_SECONDS = 300
MAX_BYTES = 256 * 1024
MAX_ATTEMPTS = 10
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=90)
BATCH = 50
AGAIN = 20  # events tried again in one turn, one by one
SECONDS = re.compile(r"[0-9]{1,12}")
Status = InboundEvent.Status


def signature(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()


def is_genuine(timestamp: str, given: str, body: bytes) -> bool:
    """Signed by one of our secrets within the last five minutes; all secrets are compared."""
    if not SECONDS.fullmatch(timestamp):
        return False
    good = False
    for secret in settings.NAWA_WEBHOOK_SECRETS:
        wanted = signature(secret, timestamp, body).encode()
        good |= hmac.compare_digest(wanted, given.encode("utf-8", "replace"))
    return good and abs(time.time() - int(timestamp)) <= TOLERANCE_SECONDS


def note_refused() -> None:
    """All that is kept of a call whose signature does not hold: a count per day."""
    log.warning("nawa_webhook_refused")
    valkey.count(f"nawa:refused:{timezone.now():%Y-%m-%d}", seconds=7 * 86_400)


@transaction.atomic
def store_event(event_id: str, event_type: str, created_at: datetime, data: dict[str, Any]) -> bool:
    """Keep an event once; False when it was here before. A type we do not know is kept too."""
    known = event_type in HANDLERS
    _, is_new = InboundEvent.objects.get_or_create(
        provider=NAWA,
        event_id=event_id,
        defaults={
            "type": event_type,
            "created_at": created_at,
            "data": data,
            "status": Status.PENDING if known else Status.IGNORED,
            "processed_at": None if known else timezone.now(),
        },
    )
    return is_new


# Carrying out


class Unmatched(Exception):
    """The event speaks of nothing of ours."""


class Delivered(Shape):
    sku: str = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=0, le=10_000)


class ShipmentStatus(Shape):
    reference: str = Field(min_length=1, max_length=100)
    status: str = Field(min_length=1, max_length=64)
    occurred_at: AwareDatetime | None = None
    reason: str | None = Field(default=None, max_length=64)
    postponed_until: date | None = None
    items: list[Delivered] = Field(default_factory=list, max_length=1000)


class MessageStatus(Shape):
    reference: str = Field(min_length=1, max_length=100)
    status: Literal["queued", "sent", "delivered", "read", "failed"]
    error: str = ""


class MessageReceived(Shape):
    reference: str = Field(min_length=1, max_length=100)
    message_id: str = Field(min_length=1, max_length=58)
    phone: str = Field(pattern=r"^\+[1-9][0-9]{6,14}$")
    channel: Literal["whatsapp", "sms"] = "whatsapp"
    text: str = Field(min_length=1, max_length=4000)
    name: str | None = Field(default=None, max_length=200)


class CodeStatus(Shape):
    reference: str = Field(min_length=1, max_length=100)
    status: Literal["queued", "sent", "delivered", "read", "failed"]


def shipment_moved(event: InboundEvent) -> UUID:
    told = ShipmentStatus.model_validate(event.data)
    report = Report(
        told.reference,
        told.status,
        told.occurred_at or event.created_at,
        reason=told.reason or "",
        until=told.postponed_until,
        delivered={line.sku.upper(): line.quantity for line in told.items},
    )
    dispatch_id = id_of("shp", told.reference)
    store_id = tracking.report(dispatch_id, report) if dispatch_id else None
    return matched(store_id)


def message_moved(event: InboundEvent) -> UUID:
    told = MessageStatus.model_validate(event.data)
    message_id = id_of("msg", told.reference)
    return matched(
        report_message(message_id, told.status, error=told.error) if message_id else None
    )


def message_came(event: InboundEvent) -> UUID:
    """Somebody wrote back to a text of ours, or about a parcel. What a blocked visitor writes is
    dropped."""
    told = MessageReceived.model_validate(event.data)
    store_id = matched(store_of(told.reference))
    with suppress(Denied):
        take_message(
            store_id,
            kind=told.channel,
            phone=told.phone,
            text=told.text,
            message_id=f"{NAWA}:{told.message_id}",
            name=told.name,
        )
    return store_id


def store_of(reference: str) -> UUID | None:
    """The store of a text or a parcel of ours."""
    for kind, rows in (("msg", OutgoingMessage.objects), ("shp", Dispatch.objects)):
        if row_id := id_of(kind, reference):
            found: UUID | None = rows.filter(pk=row_id).values_list("store_id", flat=True).first()
            return found
    return None


def code_moved(event: InboundEvent) -> None:
    told = CodeStatus.model_validate(event.data)
    challenge_id = id_of("otp", told.reference)
    if challenge_id is None or not any(code_reported(challenge_id, told.status)):
        raise Unmatched


def credits_ran_low(event: InboundEvent) -> None:
    """Operators see it at their desk; codes wait while the credits are exhausted."""
    log.error("provider_alert", provider=event.provider, kind=event.type)
    ProviderAlert.objects.get_or_create(
        provider=event.provider,
        kind=event.type,
        resolved_at=None,
        defaults={"data": event.data},
    )


def matched(store_id: UUID | None) -> UUID:
    if store_id is None:
        raise Unmatched
    return store_id


HANDLERS: dict[str, Callable[[InboundEvent], UUID | None]] = {
    "shipment.status_changed": shipment_moved,
    "message.status": message_moved,
    "message.received": message_came,
    "otp.status": code_moved,
    "credits.low": credits_ran_low,
    "credits.exhausted": credits_ran_low,
}


def process_due() -> int:
    """Carry out what waits, oldest first; returns how many events that were. An event that was
    tried before comes alone: if it was what killed a worker, no other loses a try with it."""
    bury()
    claimed = claim()
    for event in claimed:
        process(event)
    count = len(claimed)
    for _ in range(AGAIN):
        retried = claim(1, again=True)
        if not retried:
            break
        process(retried[0])
        count += 1
    return count


@transaction.atomic
def claim(limit: int = BATCH, *, again: bool = False) -> list[InboundEvent]:
    """Lease due events, fresh ones or those tried before; a worker that dies gives them back when
    the lease runs out."""
    tried = {"attempts__range": (1, MAX_ATTEMPTS - 1)} if again else {"attempts": 0}
    due = list(
        InboundEvent.objects.filter(status=Status.PENDING, due_at__lte=timezone.now(), **tried)
        .order_by("due_at", "id")
        .select_for_update(skip_locked=True)[:limit]
    )
    for event in due:
        event.attempts += 1
        event.due_at = timezone.now() + LEASE
    InboundEvent.objects.bulk_update(due, ["attempts", "due_at"])
    return due


def bury() -> None:
    """Give up events whose last try ended with its worker."""
    lost = InboundEvent.objects.filter(
        status=Status.PENDING, due_at__lte=timezone.now(), attempts__gte=MAX_ATTEMPTS
    )
    lost.update(
        status=Status.DEAD,
        last_error="The worker ended in the middle.",
        processed_at=timezone.now(),
    )


def process(event: InboundEvent) -> None:
    """One try. The effect and its being noted commit together, so that no event works twice."""
    try:
        with transaction.atomic():
            current = InboundEvent.objects.select_for_update().get(pk=event.pk)
            if current.status != Status.PENDING:
                return
            store_id = HANDLERS[event.type](event)
            finish(event, Status.DONE, store_id=store_id)
    except Unmatched:
        finish(event, Status.UNMATCHED)
    except ValidationError as error:  # another try would read the same
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        finish(event, Status.DEAD, error=faults)
    except Exception as error:  # any fault must leave the event for another try
        log.exception("inbound_failed", event_id=str(event.pk), type=event.type)
        put_back(event, error)


def finish(
    event: InboundEvent, status: str, *, store_id: UUID | None = None, error: str = ""
) -> None:
    """Note what became of an event, unless another worker was faster."""
    InboundEvent.objects.filter(pk=event.pk, status=Status.PENDING).update(
        status=status, store_id=store_id, last_error=error[:500], processed_at=timezone.now()
    )


def put_back(event: InboundEvent, error: Exception) -> None:
    if event.attempts >= MAX_ATTEMPTS:
        log.error("inbound_dead", event_id=str(event.pk), type=event.type)
        finish(event, Status.DEAD, error=str(error))
        return
    pause = timedelta(seconds=min(2**event.attempts, 3600))
    InboundEvent.objects.filter(pk=event.pk, status=Status.PENDING).update(
        due_at=timezone.now() + pause, last_error=str(error)[:500]
    )


def run_again(events: Any) -> int:
    """Put events back into the queue, with ten fresh tries; what was done or waits is left."""
    known = events.filter(
        status__in=[Status.DEAD, Status.UNMATCHED, Status.IGNORED], type__in=list(HANDLERS)
    )
    count: int = known.update(
        status=Status.PENDING, attempts=0, due_at=timezone.now(), processed_at=None
    )
    return count


def purge() -> int:
    """Forget events older than ninety days."""
    gone, _ = InboundEvent.objects.filter(received_at__lt=timezone.now() - KEPT).delete()
    return gone
