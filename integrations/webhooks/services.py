"""Endpoints of a store: made, changed, rotated, tested, switched off and caught up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations.webhooks import sending, signing
from integrations.webhooks.catalogue import EVENT_TYPES, EVERY, PING
from integrations.webhooks.messages import body, body_of
from integrations.webhooks.models import Delivery, Endpoint
from integrations.webhooks.sealing import sealed, secrets_of
from storeplatform.kernel import metrics, outbound, valkey
from storeplatform.kernel.audit import audit
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.errors import Conflict, NotFound, Refusal, TooMany
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import KEPT
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import lock_name

MOST = 10
BATCH = 500


# Endpoints


def check_receiver(url: str) -> None:
    """Raises Refusal for an address that is not called. It looks the name up: call it outside a
    transaction."""
    try:
        outbound.check_url(url)
    except (outbound.NotAllowed, outbound.Unreachable) as error:
        raise Refusal("url_not_allowed", str(error), url=[str(error)]) from None


@transaction.atomic
def create_endpoint(
    actor: Actor, values: dict[str, Any], *, request: Any = None
) -> tuple[Endpoint, str]:
    """A new endpoint and its secret, which is shown this once."""
    lock_name(f"webhooks {actor.store_id}")
    if Endpoint.objects.live().of(actor.store_id).count() >= MOST:
        raise Conflict("too_many_webhooks", f"A store has at most {MOST} webhooks.")
    endpoint = Endpoint(store_id=actor.store_id, api_version=settings.API_VERSION, **values)
    secret = signing.new_secret()
    endpoint.secret = sealed(endpoint, secret)
    endpoint.save(force_insert=True)
    audit("webhook.created", actor=actor, request=request, target=endpoint.pk,
          changes={"url": endpoint.url, "events": endpoint.events})  # fmt: skip
    return endpoint, signing.secret_text(secret)


@transaction.atomic
def change_endpoint(
    endpoint: Endpoint, actor: Actor, values: dict[str, Any], *, request: Any = None
) -> Endpoint:
    """Change a locked endpoint. Switching it on forgives what failed before."""
    for name, value in values.items():
        setattr(endpoint, name, value)
    if values.get("is_active"):
        endpoint.failing_since = endpoint.disabled_at = None
        endpoint.disabled_reason = ""
    save(endpoint, *values, "failing_since", "disabled_at", "disabled_reason")
    audit("webhook.changed", actor=actor, request=request, target=endpoint.pk,
          changes={"fields": sorted(values)})  # fmt: skip
    return endpoint


@transaction.atomic
def delete_endpoint(endpoint: Endpoint, actor: Actor, *, request: Any = None) -> None:
    """Nothing more is sent to a locked endpoint; its log goes with the other old ones."""
    endpoint.deleted_at, endpoint.is_active = timezone.now(), False
    save(endpoint, "deleted_at", "is_active")
    audit("webhook.deleted", actor=actor, request=request, target=endpoint.pk)


@transaction.atomic
def rotate_secret(
    endpoint: Endpoint, actor: Actor, *, overlap_hours: int, request: Any = None
) -> tuple[Endpoint, str]:
    """A new secret for a locked endpoint; the old one signs too for `overlap_hours`."""
    secret = signing.new_secret()
    endpoint.previous_secret = endpoint.secret if overlap_hours else None
    endpoint.previous_expires_at = (
        timezone.now() + timedelta(hours=overlap_hours) if overlap_hours else None
    )
    endpoint.secret = sealed(endpoint, secret)
    save(endpoint, "secret", "previous_secret", "previous_expires_at")
    audit("webhook.secret_rotated", actor=actor, request=request, target=endpoint.pk)
    return endpoint, signing.secret_text(secret)


def save(endpoint: Endpoint, *fields: str) -> None:
    endpoint.version += 1
    endpoint.save(update_fields=[*fields, "version", "updated_at"])


# Events on their way


@transaction.atomic
def fan_out(events: Sequence[OutboxEvent]) -> None:
    """A delivery of each event to each endpoint that wants it. What has one already gets none."""
    stores = {event.store_id for event in events if event.type in EVENT_TYPES}
    active = Endpoint.objects.filter(store_id__in=stores, is_active=True)
    if not stores or not active.exists():
        return
    for endpoint in active.order_by("pk").select_for_update(no_key=True):
        wanted = [event for event in events if wants(endpoint, event)]
        queue(endpoint, wanted)


def wants(endpoint: Endpoint, event: OutboxEvent) -> bool:
    if event.store_id != endpoint.store_id or event.type not in EVENT_TYPES:
        return False
    return EVERY in endpoint.events or event.type in endpoint.events


def queue(endpoint: Endpoint, events: Sequence[OutboxEvent]) -> int:
    """Deliveries of events to a locked endpoint, numbered 1, 2, 3 …; returns how many are new."""
    if not events:
        return 0
    known = set(
        Delivery.objects.filter(
            endpoint=endpoint, event_id__in=[event.pk for event in events]
        ).values_list("event_id", flat=True)
    )
    last = Delivery.objects.filter(endpoint=endpoint, sequence=endpoint.last_sequence)
    previous: UUID | None = last.values_list("event_id", flat=True).first()
    rows = []
    now = timezone.now()
    for event in events:
        if event.pk in known:
            continue
        endpoint.last_sequence += 1
        rows.append(
            Delivery(
                store_id=endpoint.store_id,
                endpoint=endpoint,
                event_id=event.pk,
                event=event.type,
                body=body_of(event, endpoint.api_version).decode(),
                sequence=endpoint.last_sequence,
                previous_event_id=previous,
                due_at=now,
            )
        )
        previous = event.pk
    if rows:
        Delivery.objects.bulk_create(rows, batch_size=BATCH)
        Endpoint.objects.filter(pk=endpoint.pk).update(last_sequence=endpoint.last_sequence)
    return len(rows)


def retry(delivery: Delivery) -> None:
    """Send a locked delivery once more, whatever became of it; one that is being sent at this
    moment only begins its tries anew. Raises Conflict while its endpoint is off."""
    if not delivery.endpoint.is_active:
        raise inactive()
    now = timezone.now()
    delivery.status, delivery.tries = Delivery.Status.PENDING, 0
    if delivery.leased_until is None or delivery.leased_until <= now:
        delivery.due_at, delivery.leased_until = now, None
    delivery.save(update_fields=["status", "tries", "due_at", "leased_until"])


def inactive() -> Conflict:
    return Conflict("webhook_inactive", "Switch the webhook on first.")


def undelivered(endpoint: Endpoint, since: datetime, until: datetime) -> QuerySet[OutboxEvent]:
    """Events of a time that an endpoint wants and did not receive."""
    delivered = Delivery.objects.filter(endpoint=endpoint, status=Delivery.Status.DELIVERED)
    wanted = list(EVENT_TYPES) if EVERY in endpoint.events else list(endpoint.events)
    return OutboxEvent.objects.filter(
        ~Q(pk__in=delivered.values("event_id")),
        store_id=endpoint.store_id,
        type__in=wanted,
        position__isnull=False,
        created_at__gte=since,
        created_at__lte=until,
    )


@transaction.atomic
def recover(endpoint: Endpoint, *, since: datetime, until: datetime | None) -> int:
    """Have every event of a time that did not arrive sent again, in the background; returns how
    many there are. Raises Conflict while the endpoint is off, Refusal for a time that is gone."""
    if not endpoint.is_active:
        raise inactive()
    now = timezone.now()
    until = min(until or now, now)
    if since < now - KEPT:
        message = f"Events are kept for {KEPT.days} days."
        raise Refusal("validation_error", message, since=[message])
    if since > until:
        message = "It lies after the end of the range."
        raise Refusal("validation_error", message, since=[message])
    count = undelivered(endpoint, since, until).count()
    if count:
        enqueue(queue_again, endpoint_id=str(endpoint.pk), since=since.isoformat(),
                until=until.isoformat())  # fmt: skip
    return count


@background()
def queue_again(endpoint_id: str, since: str, until: str, behind: int = 0) -> None:
    """A batch of the events that `recover` found; the next one is a call of its own."""
    endpoint = (
        Endpoint.objects.filter(pk=endpoint_id, is_active=True)
        .select_for_update(no_key=True)
        .first()
    )
    if endpoint is None:
        return
    found = undelivered(
        endpoint, datetime.fromisoformat(since), datetime.fromisoformat(until)
    ).filter(position__gt=behind)
    events = list(found.order_by("position")[:BATCH])
    queue(endpoint, events)
    Delivery.objects.filter(
        endpoint=endpoint, event_id__in=[event.pk for event in events], leased_until=None
    ).exclude(status=Delivery.Status.DELIVERED).update(
        status=Delivery.Status.PENDING, tries=0, due_at=timezone.now()
    )
    if len(events) == BATCH:
        enqueue(queue_again, endpoint_id=endpoint_id, since=since, until=until,
                behind=events[-1].position)  # fmt: skip


# Trying an endpoint


def ping(endpoint: Endpoint) -> tuple[Delivery, sending.Outcome]:
    """Send a `ping` now and wait for the answer. Nothing is stored yet. One at a time for a store,
    so that receivers which hang hold no more than one request of it: raises TooMany."""
    held = f"webhook:test:{endpoint.store_id}"
    if not valkey.hold(held, seconds=sending.SECONDS + 5):
        raise TooMany(
            "rate_limited", "Another test is under way.", retry_after=5, policy="webhook-replay"
        )
    try:
        return send_ping(endpoint)
    finally:
        valkey.release(held)


def send_ping(endpoint: Endpoint) -> tuple[Delivery, sending.Outcome]:
    event_id = uuid7()
    text = body(
        event_id,
        PING,
        at=timezone.now(),
        store_id=endpoint.store_id,
        sequence=1,
        data={},
        api_version=endpoint.api_version,
    )
    delivery = Delivery(
        store_id=endpoint.store_id,
        endpoint=endpoint,
        event_id=event_id,
        event=PING,
        body=text.decode(),
    )
    return delivery, sending.attempt(sending.Parcel.of(delivery, secrets_of(endpoint)))


def keep_ping(delivery: Delivery, outcome: sending.Outcome) -> None:
    """Log a ping; it is not tried again and changes nothing about its endpoint."""
    ok = outcome.succeeded
    delivery.status = Delivery.Status.DELIVERED if ok else Delivery.Status.FAILED
    delivery.tries = delivery.attempts_count = 1
    delivery.last_status_code = outcome.status_code
    delivery.delivered_at = outcome.at if ok else None
    delivery.save(force_insert=True)
    sending.attempt_row(delivery, outcome).save(force_insert=True)


# Looking up and forgetting


def find_endpoint(store_id: UUID, endpoint_id: UUID) -> Endpoint:
    live = Endpoint.objects.live().filter(store_id=store_id)
    found: Endpoint | None = live.filter(pk=endpoint_id).first()
    if found is None:
        raise NotFound
    return found


@metrics.from_database(
    "store_webhooks", "Endpoints failing and switched off for it, deliveries pending."
)
def standing() -> dict[str, float]:
    """Endpoints are few, at most ten a store; pending deliveries have an index."""
    live = Endpoint.objects.live()
    return {
        "failing": live.filter(is_active=True, failing_since__isnull=False).count(),
        "disabled": live.filter(disabled_at__isnull=False).count(),
        "pending": metrics.at_most(Delivery.objects.filter(status=Delivery.Status.PENDING)),
    }


def purge() -> int:
    """Forget deliveries older than thirty days, and endpoints deleted as long ago."""
    old = timezone.now() - KEPT
    settled = Delivery.objects.filter(created_at__lt=old)
    ids = list(settled.values_list("pk", flat=True)[:10_000])
    gone, _ = Delivery.objects.filter(pk__in=ids).delete()
    Endpoint.objects.filter(deleted_at__lt=old, deliveries=None).delete()
    return gone
