"""Carrying out a tool: rights, arguments, one effect for one key, and a refusal in words."""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db import IntegrityError
from rest_framework.exceptions import ValidationError

from integrations.mcp import audit
from integrations.mcp.models import AgentCall, PendingAction
from integrations.mcp.principal import Call, Principal
from integrations.mcp.registry import Tool
from integrations.mcp.schemas import Keyed, read_input
from storeplatform.kernel.errors import Conflict, Denied, NotFound, Refusal
from storeplatform.kernel.idempotency import AnotherWasFirst, Answer, Attempt, canonical
from storeplatform.kernel.problems import refusal_from
from storeplatform.kernel.transactions import in_transaction

log = structlog.get_logger(__name__)
MAX_RESULT = 256 * 1024
TOO_LARGE = "The answer is too large: ask for fewer items or a shorter period."
ASKED, APPROVED = b"mcp", b"mcp approved"  # whose keys: an agent may choose any of its own
Outcome = AgentCall.Outcome


class Fault(Exception):
    """Ours; the caller is told only `reference`, which the log knows too."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference)
        self.reference = reference


class Told(Exception):
    """A refusal in words for the model."""


def call_tool(call: Call, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The tool's answer, recorded. Raises Told with what the caller may do about it, or Fault."""
    outcome = Outcome.FAULT
    try:
        answer = carry_out(call, tool, arguments)
        outcome = Outcome.PENDING if answer.get("status") == Outcome.PENDING else Outcome.OK
        return answer
    except Exception as error:
        refusal = refusal_from(error)
        if refusal is None:
            raise fault(error, call.request_id) from error
        outcome = Outcome.TOOL_ERROR
        raise Told(sentence(refusal)) from None
    finally:
        audit.record(call, outcome)


def fault(error: Exception, request_id: str) -> Fault:
    reference = request_id or f"req_{uuid.uuid4().hex}"
    log.exception("tool_failed", request_id=reference, error=type(error).__name__)
    return Fault(reference)


def carry_out(call: Call, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    principal = call.principal
    if not tool.visible_to(principal):
        raise Denied("role_denied", "Your role in this store does not allow this.")
    if not principal.scopes.issuperset(tool.scopes):
        raise Denied("insufficient_scope", "The consent for this agent does not include this.")
    given = read_input(tool.input, arguments)
    if not tool.writes:
        return within_size(tool.function(principal, given))
    if tool.destructive and principal.approve_destructive:
        return ask_first(principal, tool, given)
    answer = within_size(effect_of(principal, tool, given))
    call.changed += [answer["id"]] if isinstance(answer.get("id"), str) else []
    return answer


def effect_of(principal: Principal, tool: Tool, given: Any, keys: bytes = ASKED) -> dict[str, Any]:
    """A writing tool in one transaction; with a key, once for that key of these `keys`."""
    if tool.alone:
        return tool.function(principal, given)
    if not isinstance(given, Keyed):
        return in_transaction(lambda: tool.function(principal, given))
    prepare = tool.prepare

    def effect() -> Callable[[], dict[str, Any]]:
        more = () if prepare is None else (prepare(principal, given),)
        return lambda: tool.function(principal, given, *more)

    return once(attempt_of(principal, tool, given, keys), effect)


def once(attempt: Attempt, prepared: Callable[[], Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    """The answer of the one effect for a key. What `prepared` gives runs in the transaction that
    also keeps its answer; it runs before, and not for a repeat."""
    if (kept := attempt.find()) is not None:
        return kept_answer(kept)
    effect = prepared()

    def kept_effect() -> dict[str, Any]:
        attempt.lock()
        answer = effect()
        attempt.store(Answer(200, {}, orjson.dumps(answer)))
        return answer

    try:
        return in_transaction(kept_effect)
    except AnotherWasFirst:
        kept = attempt.find()
        if kept is None:
            raise Conflict("idempotency_in_progress", "Ask again shortly.") from None
        return kept_answer(kept)
    except (Refusal, ValidationError, IntegrityError):
        # What stands in the way may be the effect of the same call, committed meanwhile.
        if (kept := attempt.find()) is None:
            raise
        return kept_answer(kept)


def attempt_of(principal: Principal, tool: Tool, given: Keyed, keys: bytes = ASKED) -> Attempt:
    """Keys are a store's and a tool's: another store's key is unknown."""
    namespace = hashlib.sha256(keys)
    for part in (str(principal.actor.store_id), tool.name, given.idempotency_key):
        namespace.update(part.encode() + b"\0")
    content = given.model_dump(mode="json")
    return Attempt(principal.actor, namespace.digest(), hashlib.sha256(canonical(content)).digest())


def kept_answer(answer: Answer) -> dict[str, Any]:
    if not answer.body:
        raise Conflict("already_done", "This was done before; its answer is not kept any more.")
    kept: dict[str, Any] = orjson.loads(answer.body)
    return kept


def ask_first(principal: Principal, tool: Tool, given: Any) -> dict[str, Any]:
    """Leave the call to a person of the store; the same key asks only once."""

    def ask() -> dict[str, Any]:
        asked = given.model_dump(mode="json", exclude_unset=True)
        if tool.subject and not subjects(principal.actor.store_id, tool, [asked]):
            name = tool.subject.argument
            raise NotFound("not_found", f"There is nothing with this {name} in the store.")
        row = PendingAction.objects.create(
            store_id=principal.actor.store_id,
            agent_id=principal.agent_id,
            tool=tool.name,
            arguments=asked,
            scope=" ".join(sorted(principal.scopes)),
        )
        return {"status": "pending_approval", "id": str(row.pk)}

    return once(attempt_of(principal, tool, given), lambda: ask)


def subjects(store_id: UUID, tool: Tool, calls: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """What people call the things that calls of a tool are about, by the argument's value."""
    if tool.subject is None:
        return {}
    name = tool.subject.argument
    return tool.subject.names(store_id, [call[name] for call in calls if name in call])


def within_size(answer: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(answer)) > MAX_RESULT:
        raise Refusal("result_too_large", TOO_LARGE)
    return answer


SNAKE = re.compile(r"(?<=[a-z0-9])([A-Z])")


def sentence(refusal: Refusal) -> str:
    """A refusal as a model can act on it: what is wrong, where, and what is so now."""
    said = [refusal.message]
    for path, faults in refusal.errors.items():
        told = [one for one in faults if one != refusal.message]
        if told and path not in ("_", ""):
            name = SNAKE.sub(lambda match: "_" + match[1].lower(), path)
            said.append(f"{name}: {' '.join(told)}")
        elif told:
            said.append(" ".join(told))
    current = refusal.details.get("current")
    if isinstance(current, Mapping):
        said.append("Now: " + ", ".join(f"{k} {v}" for k, v in current.items()) + ".")
    if allowed := refusal.details.get("allowed"):
        said.append("Allowed: " + ", ".join(map(str, allowed)) + ".")
    if "attemptsLeft" in refusal.details:
        said.append(f"Tries left: {refusal.details['attemptsLeft']}.")
    if "retryAfterSeconds" in refusal.details:
        said.append(f"Try again in {refusal.details['retryAfterSeconds']} seconds.")
    return " ".join(said)
