"""Destructive calls that wait for a person: carried out, or not, in the asker's own rights."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from integrations.mcp.calling import APPROVED, Outcome, effect_of, fault, sentence
from integrations.mcp.models import PendingAction
from integrations.mcp.principal import Principal, principal_of_agent
from integrations.mcp.registry import TOOLS, Tool
from integrations.mcp.schemas import read_input
from integrations.mcp.tools import load_tools
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, NotFound
from storeplatform.kernel.problems import refusal_from
from storeplatform.kernel.tenancy import Actor

Status = PendingAction.Status
WAITS = timedelta(days=7)


def locked_action(actor: Actor, action_id: UUID) -> PendingAction:
    found: PendingAction | None = (
        PendingAction.objects.of(actor.store_id)
        .select_for_update(of=("self",))
        .filter(pk=action_id)
        .first()
    )
    if found is None:
        raise NotFound
    if found.status != Status.PENDING:
        raise Conflict(
            "already_decided",
            "This was decided already.",
            details={"current": {"status": found.status}},
        )
    return found


@transaction.atomic
def approve(actor: Actor, action_id: UUID) -> PendingAction:
    """Do what was asked for. What refuses it now is kept with it as `failed`."""
    action = locked_action(actor, action_id)
    load_tools()
    tool = TOOLS.get(action.tool)
    principal = principal_of_agent(action.agent_id, action.scope)
    if tool is None or principal is None or not tool.visible_to(principal):
        return decide(action, actor, Status.FAILED, "Who asked for it may not do it any more.")
    if action.created_at < timezone.now() - WAITS:
        return decide(action, actor, Status.FAILED, f"It waited more than {WAITS.days} days.")
    try:
        with transaction.atomic():
            run(principal, tool, action)
    except Exception as error:
        refusal = refusal_from(error)
        if refusal is None:
            raise fault(error, str(action.pk)) from error
        return decide(action, actor, Status.FAILED, sentence(refusal))
    return decide(action, actor, Status.APPROVED, Outcome.OK)


def run(principal: Principal, tool: Tool, action: PendingAction) -> None:
    """Under a key of its own, because the asker's stands for the question."""
    given = read_input(tool.input, {**action.arguments, "idempotency_key": f"approved-{action.pk}"})
    effect_of(principal, tool, given, APPROVED)


@transaction.atomic
def reject(actor: Actor, action_id: UUID) -> PendingAction:
    return decide(locked_action(actor, action_id), actor, Status.REJECTED, "")


def decide(action: PendingAction, actor: Actor, status: str, outcome: str) -> PendingAction:
    action.status, action.outcome = status, outcome[:500]
    action.decided_by_id, action.decided_at = actor.user_id, timezone.now()
    action.version += 1
    action.save(
        update_fields=[
            "status", "outcome", "decided_by", "decided_at", "version", "updated_at"
        ]
    )  # fmt: skip
    audit(f"agent_action.{status}", target=action.pk, actor=actor, changes={"tool": action.tool})
    return action
