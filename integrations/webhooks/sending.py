"""Sending deliveries: claimed in the database, sent on threads, written down together.

Threads only speak to the network. An endpoint has at most four requests in flight, and one while
nothing of it succeeds, so that dead receivers hold no thread that others wait for.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

import structlog
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from integrations.webhooks import signing
from integrations.webhooks.disabling import disable
from integrations.webhooks.messages import message_id
from integrations.webhooks.models import Attempt, Delivery, Endpoint
from integrations.webhooks.schedule import pause_after
from integrations.webhooks.sealing import secrets_of
from storeplatform.kernel import outbound
from storeplatform.kernel.crypto import Undecipherable
from storeplatform.kernel.transactions import lock_name

log = structlog.get_logger(__name__)

SECONDS = 15  # of one attempt
LEASE = timedelta(seconds=60)
IN_FLIGHT = 4  # of one endpoint
THREADS = 64
KEPT_RESPONSE = 2048
HOPELESS_AFTER = timedelta(days=5)
IDLE_SECONDS = 0.3
Status = Delivery.Status

CLAIM = """
WITH room AS (
  SELECT endpoint.id,
    CASE WHEN endpoint.failing_since IS NULL THEN %(in_flight)s ELSE 1 END - (
      SELECT count(*) FROM webhooks_delivery flying WHERE flying.endpoint_id = endpoint.id
        AND flying.leased_until IS NOT NULL AND flying.leased_until > %(now)s) AS free
  FROM webhooks_endpoint endpoint WHERE endpoint.is_active
), due AS (
  SELECT next.id FROM room CROSS JOIN LATERAL (
    SELECT delivery.id, delivery.due_at FROM webhooks_delivery delivery
    WHERE delivery.endpoint_id = room.id AND delivery.status = 'pending'
      AND delivery.due_at <= %(now)s
    ORDER BY delivery.due_at, delivery.id LIMIT greatest(room.free, 0)
  ) next ORDER BY next.due_at, next.id LIMIT %(limit)s
)
UPDATE webhooks_delivery delivery SET leased_until = %(until)s, due_at = %(until)s
FROM due WHERE delivery.id = due.id
RETURNING delivery.id
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that a thread needs to send a delivery."""

    delivery: Delivery
    url: str
    message_id: str
    secrets: list[bytes] = field(repr=False)
    body: bytes = field(repr=False)
    extra: Mapping[str, str]

    @classmethod
    def of(cls, delivery: Delivery, secrets: list[bytes]) -> Self:
        extra = {}
        if delivery.sequence is not None:
            extra["webhook-sequence"] = str(delivery.sequence)
        if delivery.previous_event_id is not None:
            extra["webhook-previous-id"] = message_id(delivery.previous_event_id)
        return cls(
            delivery=delivery,
            url=delivery.endpoint.url,
            message_id=message_id(delivery.event_id),
            secrets=secrets,
            body=delivery.body.encode(),
            extra=extra,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    at: datetime
    latency_ms: int
    status_code: int | None = None
    error: str = ""
    response: str = ""
    retry_after: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def attempt(parcel: Parcel) -> Outcome:
    """Send a delivery, signed for this moment, and wait for the answer. Touches no database."""
    at, started = timezone.now(), time.monotonic()
    signed = signing.headers(parcel.secrets, parcel.message_id, int(at.timestamp()), parcel.body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "StorePlatform-Webhooks/1.0",
        **signed,
        **parcel.extra,
    }
    reply: outbound.Reply | None = None
    error = ""
    try:
        reply = outbound.post(parcel.url, parcel.body, headers, seconds=SECONDS)
    except outbound.NotAllowed:
        error = "address_not_allowed"
    except outbound.Unreachable:
        error = "unknown_host"
    except TimeoutError:
        error = "timeout"
    except ConnectionError:
        error = "connection_failed"
    except Exception:  # whatever a receiver makes of HTTP, it costs itself an attempt only
        log.exception("webhook_attempt_failed")
        error = "connection_failed"
    latency = int((time.monotonic() - started) * 1000)
    if reply is None:
        return Outcome(at, latency, error=error)
    if 300 <= reply.status < 400:
        error = "redirect"
    elif not 200 <= reply.status < 300:
        error = "refused"
    text = reply.body[:KEPT_RESPONSE].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return Outcome(at, latency, reply.status, error, text, reply.headers.get("retry-after"))


# What the database holds of it


def claim(limit: int) -> list[Parcel]:
    """Lease due deliveries; a worker that dies gives them back when the lease runs out."""
    now = timezone.now()
    with transaction.atomic():
        lock_name("webhook claim")
        with connection.cursor() as cursor:
            cursor.execute(
                CLAIM,
                {"now": now, "until": now + LEASE, "limit": limit, "in_flight": IN_FLIGHT},
            )
            ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    rows = Delivery.objects.filter(pk__in=ids).select_related("endpoint").order_by("created_at")
    parcels = []
    for row in rows:
        try:
            parcels.append(Parcel.of(row, secrets_of(row.endpoint)))
        except Undecipherable:
            log.error("webhook_secret_lost", endpoint_id=str(row.endpoint_id))
    return parcels


def attempt_row(delivery: Delivery, outcome: Outcome) -> Attempt:
    return Attempt(
        delivery=delivery,
        number=delivery.attempts_count,
        status_code=outcome.status_code,
        latency_ms=outcome.latency_ms,
        error=outcome.error,
        response=outcome.response,
        at=outcome.at,
    )


def record(results: Sequence[tuple[Parcel, Outcome]]) -> None:
    """Write attempts down and plan the next ones; switch off what is gone or fails for days. A
    delivery that was forgotten while it was sent is passed over."""
    if not results:
        return
    now = timezone.now()
    with transaction.atomic():
        rows = {
            row.pk: row
            for row in Delivery.objects.filter(pk__in=[p.delivery.pk for p, _ in results])
            .order_by("pk")
            .select_for_update(of=("self",))
        }
        results = [one for one in results if one[0].delivery.pk in rows]
        attempts = []
        for parcel, outcome in results:
            row = rows[parcel.delivery.pk]
            settle(row, outcome, now)
            attempts.append(attempt_row(row, outcome))
        Attempt.objects.bulk_create(attempts)
        Delivery.objects.bulk_update(
            rows.values(),
            ["status", "tries", "attempts_count", "due_at", "leased_until", "last_status_code",
             "delivered_at"],
        )  # fmt: skip
        endpoints = {parcel.delivery.endpoint_id for parcel, _ in results}
        well = {p.delivery.endpoint_id for p, outcome in results if outcome.succeeded}
        gone = {p.delivery.endpoint_id for p, outcome in results if outcome.status_code == 410}
        mark_health(endpoints, well, now)
        for endpoint_id in sorted(gone):
            disable(endpoint_id, "The receiver answered 410: it is gone.")
        hopeless = Endpoint.objects.filter(
            pk__in=endpoints - well - gone, failing_since__lte=now - HOPELESS_AFTER
        )
        for endpoint_id in sorted(hopeless.values_list("pk", flat=True)):
            disable(endpoint_id, "Every attempt of the last 5 days failed.")


def mark_health(endpoints: set[UUID], well: set[UUID], now: datetime) -> None:
    recovered = Endpoint.objects.filter(pk__in=well, failing_since__isnull=False)
    failing = Endpoint.objects.filter(pk__in=endpoints - well, failing_since=None)
    for found, since in ((recovered, None), (failing, now)):
        ids = list(found.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        if ids:
            Endpoint.objects.filter(pk__in=ids).update(failing_since=since)


def settle(row: Delivery, outcome: Outcome, now: datetime) -> None:
    """The delivery after an attempt."""
    row.tries += 1
    row.attempts_count += 1
    row.leased_until, row.last_status_code = None, outcome.status_code
    if outcome.succeeded:
        row.status, row.due_at, row.delivered_at = Status.DELIVERED, None, outcome.at
        return
    pause = pause_after(row.tries, outcome.retry_after, now)
    row.status = Status.FAILED if pause is None else Status.PENDING
    row.due_at = None if pause is None else now + pause


# The worker's loop


class Sender:
    """Keeps up to `THREADS` requests in flight."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.flying: dict[Future[Outcome], Parcel] = {}
        self.unwritten: list[tuple[Parcel, Outcome]] = []

    def launch(self) -> int:
        """Send what is due and finds a thread."""
        free = THREADS - len(self.flying)
        parcels = claim(free) if free else []
        for parcel in parcels:
            self.flying[self.pool.submit(attempt, parcel)] = parcel
        return len(parcels)

    def land(self, seconds: float) -> int:
        """Write down what came back within a while."""
        if self.flying:
            done, _ = wait(self.flying, timeout=seconds, return_when=FIRST_COMPLETED)
            for future in done:
                self.unwritten.append((self.flying.pop(future), future.result()))
        count = len(self.unwritten)
        record(self.unwritten)
        self.unwritten = []
        return count


def send_due(stop: threading.Event) -> None:
    """The worker's loop: until it is stopped, and what is in flight has come back."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhook") as pool:
        sender = Sender(pool)
        while not stop.is_set() or sender.flying:
            try:
                launched = 0 if stop.is_set() else sender.launch()
                sender.land(0.1)
                close_old_connections()
            except DatabaseError as error:
                log.warning("webhooks_wait", error=type(error).__name__)
                close_old_connections()
                stop.wait(1)
                launched = 0
            if not launched and not sender.flying:
                stop.wait(IDLE_SECONDS)


def send_all() -> int:
    """Send what is due now and wait for every answer; returns how many attempts that were."""
    count = 0
    with ThreadPoolExecutor(THREADS) as pool:
        sender = Sender(pool)
        while sender.launch() or sender.flying:
            count += sender.land(1)
    return count
