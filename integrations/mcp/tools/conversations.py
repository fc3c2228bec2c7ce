"""Conversations with visitors of the store's website."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from chat.messages import Draft, post_message
from chat.models import MAX_TEXT, Conversation, Message
from chat.serializers import ConversationSerializer, MessageSerializer
from chat.views import ConversationFilters
from integrations.mcp.principal import Principal
from integrations.mcp.registry import Subject, tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_ID,
    MAYBE_TEXT,
    MAYBE_TIME,
    TEXT,
    TIME,
    UNTRUSTED,
    Input,
    Keyed,
    Paged,
    array,
    listing,
    obj,
    page,
    project,
    rows_of,
)
from integrations.mcp.tools.catalog import flag
from integrations.mcp.tools.orders import initials, sees_customers
from storeplatform.kernel.errors import NotFound

VISITOR = obj(id=ID, name=UNTRUSTED, phone=UNTRUSTED, email=UNTRUSTED)
SUMMARY = obj(
    id=ID, number=TEXT, status=TEXT, priority=MAYBE_TEXT, channel_id=ID, visitor=VISITOR,
    customer_id=MAYBE_ID, assigned_user_id=MAYBE_ID, subject=UNTRUSTED,
    last_message_preview=UNTRUSTED, last_message_at=TIME, waiting_since=MAYBE_TIME,
    unread_count=INT, last_seq=INT,
)  # fmt: skip
MESSAGE = obj(
    id=ID, seq=INT, direction=TEXT, sender_type=TEXT, sender_name=UNTRUSTED, text=UNTRUSTED,
    attachments=array(obj(file_name=UNTRUSTED, content_type=TEXT, size=INT)), private=BOOL,
    status=TEXT, created_at=TIME,
)  # fmt: skip
CONVERSATION = obj(**SUMMARY["properties"], messages=array(MESSAGE), has_more=BOOL)


def private(principal: Principal, row: dict[str, Any]) -> dict[str, Any]:
    """Without customers:read a conversation shows initials only; what was written stays."""
    if sees_customers(principal):
        return row
    row["visitor"] |= {"name": initials(row["visitor"]["name"]), "phone": None, "email": None}
    for message in row.get("messages", []):
        if message["sender_type"] == Message.Sender.VISITOR:
            message["sender_name"] = initials(message["sender_name"])
    return row


class Inbox(Paged):
    status: list[Literal["open", "pending", "snoozed", "resolved"]] | None = Field(
        None, max_length=4
    )
    unread: bool | None = Field(None, description="Only with messages that you have not read.")
    channel_id: UUID | None = None
    assignee: str | None = Field(None, max_length=40, description="A member's id, me or none.")


@tool(
    "Conversations",
    "Conversations with customers, the latest word first. Names and phones need customers:read.",
    scopes="messaging:read",
    input=Inbox,
    output=listing(SUMMARY),
)
def list_conversations(principal: Principal, given: Inbox) -> dict[str, Any]:
    actor = principal.actor
    found = page(
        actor,
        Conversation.objects.of(actor.store_id),
        ConversationSerializer,
        SUMMARY,
        given,
        filters=ConversationFilters,
        query={
            "status": given.status,
            "hasUnread": flag(given.unread),
            "channelId": given.channel_id,
            "assignedUserId": given.assignee,
        },
        ordering=("-last_message_at",),
        reader=actor.principal,
    )
    found["items"] = [private(principal, row) for row in found["items"]]
    return found


class OneConversation(Input):
    id: UUID
    before: int | None = Field(None, ge=1, le=2**31 - 1, description="Only messages before a seq.")
    limit: int = Field(20, ge=1, le=100, description="How many messages at most.")


@tool(
    "Conversation",
    "One conversation with its last messages, oldest first. While has_more, the smallest seq as "
    "before gives the ones before. Reading marks nothing as read.",
    scopes="messaging:read",
    input=OneConversation,
    output=CONVERSATION,
)
def get_conversation(principal: Principal, given: OneConversation) -> dict[str, Any]:
    actor = principal.actor
    mine = Conversation.objects.of(actor.store_id).filter(pk=given.id)
    found = rows_of(ConversationSerializer, actor, mine, reader=actor.principal)
    if not found:
        raise no_conversation()
    row = found[0][0]
    said = Message.objects.of(actor.store_id).filter(conversation=given.id).order_by("-seq")
    if given.before is not None:
        said = said.filter(seq__lt=given.before)
    messages = [one for (one,) in rows_of(MessageSerializer, actor, said[: given.limit + 1])]
    row["hasMore"] = len(messages) > given.limit
    row["messages"] = messages[: given.limit][::-1]
    return private(principal, project(CONVERSATION, row, actor.store.currency_code))


def no_conversation() -> NotFound:
    return NotFound("not_found", "There is no such conversation; try list_conversations.")


def conversation_names(store_id: UUID, ids: Sequence[str]) -> dict[str, str]:
    rows = Conversation.objects.of(store_id).filter(pk__in=ids).select_related("visitor")
    return {
        str(row.pk): " · ".join(filter(None, (row.visitor.name or row.visitor.phone, row.number)))
        for row in rows
    }


class Saying(Keyed):
    id: UUID
    text: str = Field(min_length=1, max_length=MAX_TEXT)
    expected_last_seq: int | None = Field(
        None, ge=0, le=2**31 - 1, description="last_seq as you read it: refused if more was said."
    )


@tool(
    "Send a message",
    "Sends a message to the customer of a conversation, at once and in the name of the member.",
    scopes="messaging:write",
    input=Saying,
    output=MESSAGE,
    writes=True,
    destructive=True,
    subject=Subject("conversation", "id", conversation_names),
    open_world=True,
)
def send_message(principal: Principal, given: Saying) -> dict[str, Any]:
    actor = principal.actor
    draft = Draft(text=given.text, expected_last_seq=given.expected_last_seq)
    try:
        made, _ = post_message(actor, given.id, draft)
    except NotFound:
        raise no_conversation() from None
    row = rows_of(MessageSerializer, actor, Message.objects.filter(pk=made.pk))[0][0]
    answer: dict[str, Any] = project(MESSAGE, row, actor.store.currency_code)
    return answer
