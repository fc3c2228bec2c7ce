"""Events that leave the request: stored with the change, handled after it by `manage.py work`.

A worker takes many events at once: two statements a batch, however many events it holds. Events of
one subject are handled in the order of their ids; one that fails holds back the later ones of its
subject until it succeeds or is given up after eight tries.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from storeplatform.kernel import metrics
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.transactions import lock_name
from storeplatform.kernel.writing import insert

log = structlog.get_logger(__name__)

Handler = Callable[[OutboxEvent], None]
BatchHandler = Callable[[Sequence[OutboxEvent]], None]

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 8
BATCH = 500
AGAIN = 20  # events tried again between two batches, one by one
KEPT = timedelta(days=30)
_handlers: dict[str, list[Handler]] = {}
_batch_handlers: list[BatchHandler] = []

# One worker at a time claims, so that positions are given in the order in which events became
# visible. An event that was tried before comes alone: if it was what killed a worker, no other
# event loses a try with it.
CLAIM = """
WITH due AS (
  SELECT event.id FROM kernel_outboxevent event
  WHERE event.done_at IS NULL AND event.due_at <= %(now)s AND event.attempts {attempts}
    AND NOT EXISTS (
      SELECT 1 FROM kernel_outboxevent earlier
      WHERE earlier.done_at IS NULL AND earlier.subject_id = event.subject_id
        AND earlier.id < event.id AND earlier.attempts BETWEEN 1 AND %(last)s)
  ORDER BY event.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), placed AS MATERIALIZED (
  SELECT id, nextval('kernel_outbox_position') AS position FROM due
)
UPDATE kernel_outboxevent event
SET attempts = event.attempts + 1, due_at = %(until)s,
  position = coalesce(event.position, placed.position)
FROM placed WHERE event.id = placed.id
RETURNING event.id
"""


def on(*types: str) -> Callable[[Handler], Handler]:
    """Registers a handler for event types. It may run twice for one event: it must not mind. What
    takes long, or a network, belongs into a `background` task that the handler enqueues."""

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


def on_batch(handler: BatchHandler) -> BatchHandler:
    """Registers a handler of whole batches, of every type. It must not mind to see an event twice;
    when it fails over a batch it is called again for each event alone."""
    _batch_handlers.append(handler)
    return handler


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
    insert([event])


def claim(limit: int = BATCH, *, again: bool = False) -> list[OutboxEvent]:
    """Lease due events, fresh ones or those tried before; a worker that dies gives them back when
    the lease runs out."""
    now = timezone.now()
    attempts = f"BETWEEN 1 AND {MAX_ATTEMPTS - 1}" if again else "= 0"
    with transaction.atomic():
        lock_name("outbox claim")
        with connection.cursor() as cursor:
            cursor.execute(
                CLAIM.format(attempts=attempts),
                {"now": now, "until": now + LEASE, "limit": limit, "last": MAX_ATTEMPTS - 1},
            )
            ids = [row[0] for row in cursor.fetchall()]
        return list(OutboxEvent.objects.filter(pk__in=ids).order_by("id"))


def handle(events: Sequence[OutboxEvent]) -> None:
    """Run the handlers of claimed events, in order, and mark them done. One that fails is put back
    with a growing pause; those that must wait for it, or for whom the lease is too short, are given
    back untried."""
    ends = time.monotonic() + LEASE.total_seconds() / 2
    alone = [handler for handler in _batch_handlers if not succeeds(handler, events)]
    done: list[UUID] = []
    given_back: list[UUID] = []
    held: set[UUID] = set()
    for event in events:
        if event.subject_id in held or time.monotonic() > ends:
            held.add(event.subject_id)
            given_back.append(event.pk)
            continue
        try:
            for batch_handler in alone:
                batch_handler([event])
            for handler in _handlers.get(event.type, ()):
                handler(event)
        except Exception as error:  # any fault of a handler must leave the event for another try
            held.add(event.subject_id)
            put_back(event, error)
        else:
            done.append(event.pk)
            metrics.EVENTS.labels(event.type).inc()
    if done:
        OutboxEvent.objects.filter(pk__in=done).update(done_at=timezone.now(), last_error="")
    if given_back:
        OutboxEvent.objects.filter(pk__in=given_back).update(
            due_at=timezone.now(), attempts=F("attempts") - 1
        )


def succeeds(handler: BatchHandler, events: Sequence[OutboxEvent]) -> bool:
    try:
        handler(events)
    except Exception:
        log.exception("outbox_batch_failed", count=len(events))
        return False
    return True


def put_back(event: OutboxEvent, error: Exception) -> None:
    metrics.FAILED.labels("outbox").inc()
    log.error("outbox_failed", event_id=str(event.id), type=event.type, exc_info=error)
    pause = timedelta(seconds=min(2**event.attempts, 3600))
    OutboxEvent.objects.filter(pk=event.pk).update(
        due_at=timezone.now() + pause, last_error=str(error)[:500]
    )


def drain() -> int:
    """Handle what is due; returns how many events that were."""
    fresh = claim()
    handle(fresh)
    count = len(fresh)
    for _ in range(AGAIN):
        retried = claim(1, again=True)
        if not retried:
            break
        handle(retried)
        count += 1
    return count


@metrics.from_database(
    "store_outbox", "Events not handled: waiting, given up, seconds of the oldest."
)
def standing() -> dict[str, float]:
    """By the index of undone events."""
    undone = OutboxEvent.objects.filter(done_at=None)
    waiting = undone.filter(attempts__lt=MAX_ATTEMPTS)
    oldest = waiting.order_by("id").values_list("created_at", flat=True).first()
    return {
        "waiting": metrics.at_most(waiting),
        "given_up": metrics.at_most(dead()),
        "oldest_seconds": (timezone.now() - oldest).total_seconds() if oldest else 0,
    }


def dead() -> QuerySet[OutboxEvent]:
    """Events that were given up."""
    return OutboxEvent.objects.filter(done_at=None, attempts__gte=MAX_ATTEMPTS)


def revive(events: QuerySet[OutboxEvent]) -> int:
    """Try given-up events again from the start; returns how many."""
    undone = events.filter(done_at=None, attempts__gte=MAX_ATTEMPTS)
    return undone.update(attempts=0, due_at=Now(), last_error="")


def purge() -> int:
    """Forget handled events older than thirty days."""
    old = timezone.now() - KEPT
    gone, _ = OutboxEvent.objects.filter(done_at__isnull=False, created_at__lt=old).delete()
    return gone
