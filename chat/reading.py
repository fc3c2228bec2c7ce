"""How far the team and the visitor have read, and what has reached the visitor."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat import events
from chat.conversations import locked
from chat.feed import tell
from chat.models import Conversation, Message
from storeplatform.kernel.database import prepared
from storeplatform.kernel.tenancy import Actor

RAISE = """
INSERT INTO chat_readcursor AS kept (conversation_id, reader, up_to_seq) VALUES (%s, %s, %s)
ON CONFLICT (conversation_id, reader) DO UPDATE
SET up_to_seq = greatest(kept.up_to_seq, EXCLUDED.up_to_seq) RETURNING up_to_seq
"""


def raise_cursor(conversation: Conversation, reader: str, up_to: int) -> int:
    """A reader's cursor, which only rises."""
    with prepared() as cursor:
        cursor.execute(RAISE, [conversation.pk, reader, up_to])
        return int(cursor.fetchone()[0])


@transaction.atomic
def mark_read(
    actor: Actor, conversation_id: UUID | str, up_to: int, *, visible: bool
) -> dict[str, Any]:
    """Raise the caller's cursor; `visible` lets the other side see it. Answers the cursors."""
    conversation = locked(actor.store_id, conversation_id)
    is_visitor = actor.kind == "visitor"
    up_to = min(up_to, conversation.last_public_seq if is_visitor else conversation.last_seq)
    up_to = up_to if is_visitor else raise_cursor(conversation, actor.principal, up_to)
    known = conversation.visitor_read_seq if is_visitor else conversation.team_read_seq
    if visible and up_to > known:
        show_read(actor, conversation, up_to, is_visitor=is_visitor)
    return {
        "conversationId": conversation.pk,
        "upToSeq": up_to,
        "visitorReadSeq": conversation.visitor_read_seq,
        "teamReadSeq": conversation.team_read_seq,
    }


def show_read(actor: Actor, conversation: Conversation, up_to: int, *, is_visitor: bool) -> None:
    note_read(conversation, up_to, by_visitor=is_visitor)
    if is_visitor:
        conversation.visitor_read_seq = up_to
    else:
        conversation.team_read_seq = up_to
    conversation.save(update_fields=["visitor_read_seq", "team_read_seq", "updated_at"])
    events.emit_read(actor, conversation, up_to)
    tell(actor.store_id, events.of_reading(actor, conversation, up_to))


def note_read(conversation: Conversation, up_to: int, *, by_visitor: bool) -> int:
    """The other side's messages up to here are read now; how many were not before."""
    now = timezone.now()
    direction = Message.Direction.OUTBOUND if by_visitor else Message.Direction.INBOUND
    rows = Message.objects.filter(
        conversation=conversation, direction=direction, private=False, seq__lte=up_to, read_at=None
    )
    return rows.update(read_at=now, delivered_at=Coalesce("delivered_at", now))


def note_delivery(messages: QuerySet[Any]) -> int:
    """The visitor has these now."""
    outbound = messages.filter(
        direction=Message.Direction.OUTBOUND, private=False, delivered_at=None
    )
    return outbound.update(delivered_at=timezone.now())
