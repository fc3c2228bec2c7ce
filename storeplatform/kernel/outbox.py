"""Events that leave the request: stored with the change, handled after it by `manage.py work`."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from storeplatform.kernel.models import OutboxEvent

log = structlog.get_logger(__name__)

Handler = Callable[[OutboxEvent], None]

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 8
KEPT = timedelta(days=30)
_handlers: dict[str, list[Handler]] = {}


def on(*types: str) -> Callable[[Handler], Handler]:
    """Registers a handler for event types. It may run twice for one event: it must not mind."""

    def register(handler: Handler) -> Handler:
        for event_type in types:
            _handlers.setdefault(event_type, []).append(handler)
        return handler

    return register


def event_of(
    event_type: str,
    *,
    store_id: UUID,
    subject_id: UUID,
    sequence: int = 1,
    data: Mapping[str, Any] | None = None,
) -> OutboxEvent:
    """An event that the caller stores with others."""
    return OutboxEvent(
        store_id=store_id,
        type=event_type,
        subject_id=subject_id,
        sequence=sequence,
        data=dict(data or {}),
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
    )


def emit(
    event_type: str,
    *,
    store_id: UUID,
    subject_id: UUID,
    sequence: int = 1,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Store an event; call it inside the transaction of the change that it tells of."""
    event = event_of(
        event_type, store_id=store_id, subject_id=subject_id, sequence=sequence, data=data
    )
    event.save(force_insert=True)


def claim(limit: int = 100) -> list[OutboxEvent]:
    """Lease due events; a worker that dies gives them back when the lease runs out."""
    with transaction.atomic():
        due = list(
            OutboxEvent.objects.filter(
                done_at=None, due_at__lte=timezone.now(), attempts__lt=MAX_ATTEMPTS
            )
            .order_by("due_at", "id")
            .select_for_update(skip_locked=True)[:limit]
        )
        OutboxEvent.objects.filter(pk__in=[event.pk for event in due]).update(
            attempts=F("attempts") + 1, due_at=timezone.now() + LEASE
        )
        for event in due:
            event.attempts += 1
    return due


def handle(event: OutboxEvent) -> None:
    """Run the event's handlers and mark it done, or put it back with a growing pause."""
    try:
        for handler in _handlers.get(event.type, ()):
            handler(event)
    except Exception as error:  # any fault of a handler must leave the event for another try
        log.exception("outbox_failed", event_id=str(event.id), type=event.type)
        pause = timedelta(seconds=min(2**event.attempts, 3600))
        OutboxEvent.objects.filter(pk=event.pk).update(
            due_at=timezone.now() + pause, last_error=str(error)[:500]
        )
    else:
        OutboxEvent.objects.filter(pk=event.pk).update(done_at=timezone.now(), last_error="")


def drain(events: Iterable[OutboxEvent] | None = None) -> int:
    """Handle what is due; returns how many events that were."""
    claimed = list(events) if events is not None else claim()
    unheard = [event.pk for event in claimed if event.type not in _handlers]
    if unheard:
        OutboxEvent.objects.filter(pk__in=unheard).update(done_at=timezone.now())
    for event in claimed:
        if event.type in _handlers:
            handle(event)
    return len(claimed)


def purge() -> int:
    """Forget handled events older than thirty days."""
    old = timezone.now() - KEPT
    gone, _ = OutboxEvent.objects.filter(done_at__isnull=False, created_at__lt=old).delete()
    return gone
