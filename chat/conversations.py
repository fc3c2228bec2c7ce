"""A conversation's course: its status, its agent, its end. Lock order everywhere in chat: the
conversation, then the feed's head, last."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat import events
from chat.feed import tell
from chat.models import Conversation
from store_modules.stores.grants import effective
from store_modules.stores.models import Membership
from storeplatform.kernel.errors import Conflict, NotFound, refuse
from storeplatform.kernel.tenancy import Actor, StoreFacts

Status = Conversation.Status
NOBODY = UUID(int=0)  # what stands for nobody where None means that nothing was said


def locked(store_id: UUID, conversation_id: UUID | str) -> Conversation:
    """The conversation under its lock, with its channel. Raises NotFound."""
    rows = Conversation.objects.of(store_id).select_related("channel")
    rows = rows.select_for_update(of=("self",))
    found: Conversation | None = rows.filter(pk=conversation_id).first()
    if found is None:
        raise NotFound
    return found


def change_status(conversation: Conversation, status: str) -> None:
    conversation.status = status
    conversation.resolved_at = timezone.now() if status == Status.RESOLVED else None
    if status != Status.SNOOZED:
        conversation.snoozed_until = None
    if status == Status.RESOLVED:
        conversation.waiting_since = None


def wanted_status(conversation: Conversation, values: dict[str, Any]) -> str:
    """The status that a change asks for: a time to wake up at snoozes, none wakes."""
    status: str = values.get("status", conversation.status)
    if until := values.get("snoozed_until"):
        if until <= timezone.now():
            raise refuse("snoozedUntil", "validation_error", "A time to come.")
        return Status.SNOOZED
    if "snoozed_until" in values:
        return Status.OPEN if status == Status.SNOOZED else status
    if status == Status.SNOOZED and conversation.status != Status.SNOOZED:
        raise refuse("snoozedUntil", "validation_error", "Until when?")
    return status


@transaction.atomic
def change_conversation(
    actor: Actor, conversation: Conversation, values: dict[str, Any]
) -> Conversation:
    """Change a locked conversation. Snoozing needs a time to wake up at, which lies ahead."""
    was = conversation.status
    status = wanted_status(conversation, values)
    if status != was:
        change_status(conversation, status)
    for name, value in values.items():
        if name != "status" and not (name == "snoozed_until" and value is None):
            setattr(conversation, name, value)
    conversation.version += 1
    conversation.save()
    if status == Status.RESOLVED and was != status:
        data = {"conversationId": str(conversation.pk), "number": conversation.number}
        events.emit_of("chat.conversation_resolved", conversation, data)
    tell(actor.store_id, events.of_conversation("ConversationUpdated", actor, conversation))
    return conversation


@transaction.atomic
def reopen(actor: Actor, conversation: Conversation) -> Conversation:
    """Whatever is not open becomes open; an open one stays as it is."""
    if conversation.status == Status.OPEN:
        return conversation
    return change_conversation(actor, conversation, {"status": Status.OPEN})


@transaction.atomic
def resolve(actor: Actor, conversation: Conversation) -> Conversation:
    if conversation.status == Status.RESOLVED:
        return conversation
    return change_conversation(actor, conversation, {"status": Status.RESOLVED})


@transaction.atomic
def assign(
    actor: Actor,
    conversation: Conversation,
    user_id: UUID | None,
    expected: UUID | None = None,
    *,
    reason: str = "",
) -> Conversation:
    """Give a locked conversation to a member, or to nobody. With `expected` only when it is
    theirs (NOBODY: nobody's); else Conflict `already_assigned`."""
    if user_id == NOBODY:
        user_id = None
    now = conversation.assigned_user_id
    if expected is not None and expected != (now or NOBODY):
        raise Conflict(
            "already_assigned",
            "Somebody else has it.",
            details={"current": {"assignedUserId": str(now) if now else None}},
        )
    check_agent(actor.store_id, user_id)
    if user_id == now:
        return conversation
    conversation.assigned_user_id = user_id
    conversation.version += 1
    conversation.save(update_fields=["assigned_user", "version", "updated_at"])
    events.emit_assigned(conversation)
    more = {"reason": reason} if reason else {}
    tell(
        actor.store_id, events.of_conversation("ConversationAssigned", actor, conversation, **more)
    )
    return conversation


def check_agent(store_id: UUID, user_id: UUID | None) -> None:
    if user_id is None:
        return
    member = Membership.objects.filter(
        store_id=store_id, user_id=user_id, status=Membership.Status.ACTIVE
    ).first()
    is_owner = member is not None and member.role == Membership.Role.OWNER
    if member is None or "chat.read" not in effective(
        is_owner=is_owner, grants=member.grants, denies=member.denies
    ):
        raise refuse("userId", "validation_error", "Not an active member who may read the inbox.")


def unassign_member(actor: Actor, user_id: UUID) -> None:
    """Somebody leaves the store: the open conversations go back to the others."""
    theirs = Conversation.objects.of(actor.store_id).open().filter(assigned_user_id=user_id)
    for conversation in theirs.order_by("pk").select_for_update(of=("self",)):
        assign(actor, conversation, None, reason="member_gone")


def system_actor(store_id: UUID, label: str) -> Actor:
    return Actor(store=StoreFacts(store_id), grants=frozenset(), kind="system", id="", label=label)


def wake_snoozed() -> int:
    """Conversations whose time has come are open again."""
    due = Conversation.objects.filter(
        status=Status.SNOOZED, snoozed_until__lte=timezone.now()
    ).values_list("pk", "store_id")[:500]
    return sum(wake_one(pk, store_id) for pk, store_id in due)


@transaction.atomic
def wake_one(pk: UUID, store_id: UUID) -> int:
    conversation = locked(store_id, pk)
    until = conversation.snoozed_until
    if conversation.status != Status.SNOOZED or until is None or until > timezone.now():
        return 0
    reopen(system_actor(store_id, "snooze"), conversation)
    return 1
