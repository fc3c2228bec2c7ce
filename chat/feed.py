"""The durable feed: every change in commit order, and a wake-up for the hubs after the commit,
which brings the new rows so that the hubs need not read them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import redis
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from chat.models import FeedEvent, FeedHead
from chat.signalr.fanout import to_group
from storeplatform.kernel import valkey
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Gone, refuse
from storeplatform.kernel.parsing import dumps

log = structlog.get_logger(__name__)

KEPT = timedelta(days=30)
STORE_HUB, VISITOR_HUB = "store-conversations", "widget-chat"
MOST = 500

# The head's row is locked from here to the commit: call it last.
APPEND = """
WITH head AS (
  INSERT INTO chat_feedhead AS head (store_id, seq) VALUES (%(store)s, %(count)s)
  ON CONFLICT (store_id) DO UPDATE SET seq = head.seq + %(count)s
  RETURNING seq - %(count)s AS before
)
INSERT INTO chat_feedevent (store_id, seq, type, conversation_id, visitor_id, data, created_at)
SELECT %(store)s, head.before + event.place, event.type, event.conversation_id, event.visitor_id,
  event.data, clock_timestamp()
FROM head, ROWS FROM (jsonb_to_recordset(%(events)s::jsonb) AS
  (type text, conversation_id uuid, visitor_id uuid, data jsonb)) WITH ORDINALITY
  AS event (type, conversation_id, visitor_id, data, place)
RETURNING seq, created_at
"""
MOST_BROUGHT = 65_536  # characters; larger rows are read by who needs them


def hub_url(hub: str) -> str:
    """Where a SignalR client connects: it negotiates there by HTTP, whatever carries it then."""
    return f"{settings.PUBLIC_ORIGIN}/hubs/{hub}"


@dataclass(frozen=True, slots=True)
class Told:
    """An event before it has its number. `visitor_id` is given when the visitor may know."""

    type: str
    conversation_id: UUID | None
    data: Any
    visitor_id: UUID | None = None


def tell(store_id: UUID, *events: Told) -> None:
    """Append to the store's feed. The last thing a transaction does."""
    if not events:
        return
    rows = [
        {
            "type": event.type,
            "conversation_id": event.conversation_id,
            "visitor_id": event.visitor_id,
            "data": event.data,
        }
        for event in events
    ]
    with prepared() as cursor:
        cursor.execute(
            APPEND, {"store": store_id, "count": len(rows), "events": dumps(rows).decode()}
        )
        numbered = sorted(cursor.fetchall())
    told = [
        row | {"seq": seq, "created_at": created_at}
        for row, (seq, created_at) in zip(rows, numbered, strict=True)
    ]
    visitors = {event.visitor_id for event in events if event.visitor_id}
    transaction.on_commit(lambda: wake(store_id, told, visitors))


def wake(store_id: UUID, told: list[dict[str, Any]], visitors: set[UUID]) -> None:
    """Tell the hubs that there is something new. If it is lost, they look every two seconds."""
    rows = dumps(told).decode()
    news = {"wake": True, "rows": rows} if len(rows) <= MOST_BROUGHT else {"wake": True}
    publish(
        to_group(STORE_HUB, str(store_id), news),
        *(to_group(VISITOR_HUB, str(visitor_id), {"wake": True}) for visitor_id in visitors),
    )


def brought(store_id: UUID, rows: str) -> list[FeedEvent]:
    """The rows that came with a wake-up."""
    return [
        FeedEvent(
            store_id=store_id,
            seq=row["seq"],
            type=row["type"],
            conversation_id=UUID(row["conversation_id"]) if row["conversation_id"] else None,
            data=row["data"],
            created_at=datetime.fromisoformat(row["created_at"]),
        )
        for row in orjson.loads(rows)
    ]


def publish(*messages: tuple[str, bytes]) -> None:
    """What `to_group` makes, to whoever listens; it is lost while Valkey is away."""
    pipeline = valkey.client().pipeline(transaction=False)
    for channel, message in messages:
        pipeline.publish(channel, message)
    try:
        pipeline.execute()
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)


def head_of(store_id: UUID) -> int:
    """The number of the last event, 0 before the first."""
    seq: int | None = FeedHead.objects.filter(pk=store_id).values_list("seq", flat=True).first()
    return seq or 0


def changes(store_id: UUID, after: str, limit: int) -> tuple[list[dict[str, Any]], str, bool]:
    """Up to `limit` events behind a cursor, the cursor behind them, and whether there are more.
    Without a cursor from the oldest kept. Raises Gone when some behind it are forgotten."""
    head = head_of(store_id)  # before the rows: what it counts is committed
    start = read_cursor(after, head) if after else None
    rows = FeedEvent.objects.filter(store_id=store_id).order_by("seq")
    found = list(rows.filter(seq__gt=start or 0)[: limit + 1])
    first = found[0].seq if found else head + 1
    if start is not None and first > start + 1:
        raise Gone("gone", "What follows this cursor is no longer kept; read everything anew.")
    page = found[:limit]
    last = page[-1].seq if page else (head if start is None else start)
    return [shown(event) for event in page], str(last), len(found) > limit


def read_cursor(cursor: str, head: int) -> int:
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= 18 and int(cursor) <= head:
        return int(cursor)
    message = "Not a cursor of this feed."
    raise refuse("after", "invalid_cursor", message)


def shown(event: FeedEvent) -> dict[str, Any]:
    """An event as `/changes` and the hub tell it."""
    return {
        "cursor": str(event.seq),
        "type": event.type,
        "occurredAt": event.created_at,
        "storeId": event.store_id,
        "conversationId": event.conversation_id,
        "data": event.data,
    }


def envelope(type_: str, store_id: UUID, conversation_id: UUID | None, data: Any) -> dict[str, Any]:
    """An event that is told at most once and stands in no feed, as plain JSON values."""
    values: dict[str, Any] = orjson.loads(
        dumps(
            {
                "cursor": None,
                "type": type_,
                "occurredAt": timezone.now(),
                "storeId": store_id,
                "conversationId": conversation_id,
                "data": data,
            }
        )
    )
    return values


FORGET_VISITOR = """
UPDATE chat_feedevent SET data = CASE
  WHEN data ? 'visitor' THEN data || jsonb_build_object(
    'visitor', data -> 'visitor'
      || '{"name": null, "email": null, "phone": null, "externalId": null, "locale": null}',
    'customerId', null, 'pageUrl', null, 'referrer', null, 'metadata', '{}'::jsonb)
  ELSE data || '{"senderName": null}'
END
WHERE store_id = %s AND conversation_id = ANY(%s)
  AND (data ? 'visitor' OR data ->> 'senderType' = 'visitor')
"""


def forget_visitor(store_id: UUID, conversation_ids: list[UUID]) -> None:
    """Take who the visitor was out of what is kept of these conversations."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET_VISITOR, [store_id, conversation_ids])


def purge() -> int:
    """Forget events older than thirty days, in batches; returns how many."""
    old = timezone.now() - KEPT
    statement = (
        "DELETE FROM chat_feedevent WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM chat_feedevent WHERE created_at < %s LIMIT 5000))"
    )
    gone = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [old])
            count = int(cursor.rowcount)
        gone += count
        if count < 5000:
            return gone
