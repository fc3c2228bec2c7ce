"""One row for each call of an agent."""

import hashlib
import time
from datetime import timedelta
from typing import Any

import orjson
from django.utils import timezone

from integrations.mcp.models import AgentCall
from integrations.mcp.principal import Call

KEPT = timedelta(days=400)
PERSONAL = frozenset(
    {"phone", "name", "email", "address", "landmark", "customer", "notes", "note", "text",
     "otp_code", "reason", "query", "delivery_lat", "delivery_lng", "subject", "body",
     "description", "tags"}
)  # fmt: skip


def without_personal(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_personal(v) for k, v in value.items() if k not in PERSONAL}
    if isinstance(value, list):
        return [without_personal(one) for one in value]
    return value


def digest(arguments: Any) -> str:
    """Tells two calls apart without telling what was in them."""
    content = orjson.dumps(without_personal(arguments), option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(content).hexdigest()


def record(call: Call, outcome: str) -> None:
    principal = call.principal
    AgentCall.objects.create(
        store_id=principal.actor.store_id,
        agent_id=principal.agent_id,
        user_id=principal.user_id,
        member=principal.member[:200],
        client_id=principal.client_id,
        client_name=principal.client_name,
        token_id=principal.token_id,
        request_id=call.request_id,
        method=call.method[:64],
        tool=call.name[:200],
        arguments_digest=digest(call.arguments) if call.arguments else "",
        changed=call.changed[:50],
        outcome=outcome,
        milliseconds=int((time.perf_counter() - call.started) * 1000),
        ip=call.ip or None,
    )
    call.recorded = True


def purge() -> int:
    count, _ = AgentCall.objects.filter(occurred_at__lt=timezone.now() - KEPT).delete()
    return count
