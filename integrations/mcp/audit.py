"""One row for each call of an agent."""

import hashlib
import time
from datetime import timedelta
from typing import Any

import orjson
from django.utils import timezone

from integrations.mcp.models import AgentCall
from integrations.mcp.principal import Call
from integrations.mcp.registry import TOOLS
from storeplatform.kernel import metrics
from storeplatform.kernel.database import prepared
from storeplatform.kernel.ids import uuid7

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


COLUMNS = (
    "id", "store_id", "agent_id", "user_id", "member", "client_id", "client_name", "token_id",
    "request_id", "method", "tool", "arguments_digest", "changed", "outcome", "milliseconds", "ip",
)  # fmt: skip
INSERT = (
    f"INSERT INTO mcp_agentcall ({', '.join(COLUMNS)})"  # noqa: S608  # names of ours
    f" VALUES ({', '.join(['%s'] * len(COLUMNS))})"
)


METHODS = frozenset(
    {"initialize", "ping", "server/discover", "tools/list", "tools/call", "resources/list",
     "resources/templates/list", "resources/read", "prompts/list", "prompts/get"}
)  # fmt: skip


def record(call: Call, outcome: str) -> None:
    """Every call writes its row, so the statement is prepared. Only the first record counts, and
    what was told to the agent already wins."""
    if call.recorded:
        return
    call.recorded = True
    outcome = str(call.outcome or outcome)
    seconds = time.perf_counter() - call.started
    metrics.AGENT_CALLS.labels(label_of(call), outcome).inc()
    metrics.AGENT_SECONDS.labels(label_of(call)).observe(seconds)
    principal = call.principal
    row = [
        uuid7(),
        principal.actor.store_id,
        principal.agent_id,
        principal.user_id,
        principal.member[:200],
        principal.client_id,
        principal.client_name,
        principal.token_id,
        call.request_id,
        storable(call.method, 64),
        storable(call.name, 200),
        digest(call.arguments) if call.arguments else "",
        call.changed[:50],
        outcome,
        int(seconds * 1000),
        call.ip or None,
    ]
    with prepared() as cursor:
        cursor.execute(INSERT, row)


def storable(told: str, most: int) -> str:
    """What a caller wrote, without the one character that the database cannot keep."""
    return told.replace("\0", "")[:most]


def label_of(call: Call) -> str:
    """The tool or method; what callers make up is no label."""
    if call.method == "tools/call" and call.name in TOOLS:
        return call.name
    return call.method if call.method in METHODS else "other"


def purge() -> int:
    count, _ = AgentCall.objects.filter(occurred_at__lt=timezone.now() - KEPT).delete()
    return count
