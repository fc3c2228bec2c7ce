"""What changed, as the feed and the webhooks are told it."""

from typing import Any
from uuid import UUID

from chat.feed import Told
from chat.models import Conversation, Message
from chat.serializers import conversation_shown, message_shown
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor, StoreFacts


def of_conversation(type_: str, actor: Actor, conversation: Conversation, **more: Any) -> Told:
    """The conversation as it stands now, as an event."""
    return Told(type_, conversation.pk, conversation_shown(actor.store, conversation, **more))


def of_message(type_: str, facts: StoreFacts, message: Message, visitor_id: UUID) -> Told:
    public = None if message.private else visitor_id
    return Told(type_, message.conversation_id, message_shown(facts, message), public)


def of_reading(actor: Actor, conversation: Conversation, up_to: int) -> Told:
    reader = {} if actor.kind == "visitor" else {"reader": actor.principal}
    data = read_up_to(actor, up_to) | reader
    return Told("MessagesRead", conversation.pk, data, conversation.visitor_id)


def read_up_to(actor: Actor, up_to: int) -> dict[str, Any]:
    return {"by": "visitor" if actor.kind == "visitor" else "team", "upToSeq": up_to}


def emit_of(event: str, conversation: Conversation, data: dict[str, Any]) -> None:
    """Tell the webhooks of a change to a conversation, in the order of its versions."""
    emit(
        event,
        store_id=conversation.store_id,
        subject_id=conversation.pk,
        sequence=conversation.version,
        data=data,
    )


def emit_read(actor: Actor, conversation: Conversation, up_to: int) -> None:
    data = {"conversationId": str(conversation.pk)} | read_up_to(actor, up_to)
    emit_of("chat.message_read", conversation, data)


def emit_assigned(conversation: Conversation) -> None:
    user_id = conversation.assigned_user_id
    data = {
        "conversationId": str(conversation.pk),
        "assignedUserId": str(user_id) if user_id else None,
    }
    emit_of("chat.conversation_assigned", conversation, data)
