"""An event as receivers see it: the same bytes in every attempt and in the pull feed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from storeplatform.kernel.models import OutboxEvent

MAX_BODY = 20 * 1024
PREFIX = "evt_"


def message_id(event_id: UUID) -> str:
    return PREFIX + event_id.hex


def event_id_of(text: str) -> UUID | None:
    """The event that an id names; None for what is no id."""
    try:
        return UUID(hex=text.removeprefix(PREFIX))
    except ValueError:
        return None


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def body_of(event: OutboxEvent, api_version: str) -> bytes:
    """The message of a stored event."""
    return body(
        event.id,
        event.type,
        at=event.created_at,
        store_id=event.store_id,
        sequence=event.sequence,
        data=event.data,
        api_version=api_version,
    )


def body(
    event_id: UUID,
    event_type: str,
    *,
    at: datetime,
    store_id: UUID,
    sequence: int,
    data: Mapping[str, Any],
    api_version: str,
) -> bytes:
    """Compact JSON of at most 20 KiB; of larger data only the ids stay."""
    message: dict[str, Any] = {
        "id": message_id(event_id),
        "type": event_type,
        "timestamp": instant(at),
        "storeId": str(store_id),
        "apiVersion": api_version,
        "sequence": sequence,
        "data": data,
    }
    made = orjson.dumps(message)
    if len(made) <= MAX_BODY:
        return made
    ids = {name: value for name, value in data.items() if name == "id" or name.endswith("Id")}
    return orjson.dumps({**message, "data": ids, "truncated": True})
