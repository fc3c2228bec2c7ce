"""Opening a conversation, or going on with the one that is open."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat import events, visitors
from chat.conversations import Status
from chat.feed import tell
from chat.messages import Draft, add_message
from chat.models import Channel, Conversation, Visitor
from storeplatform.kernel.errors import Conflict
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

REOPENED_FOR = timedelta(days=7)  # a resolved conversation goes on so long


def conversation_number(store_id: UUID) -> str:
    """The next CNV number, taken outside the conversation's transaction."""
    return f"CNV-{take_numbers(store_id, 'conversation')[0]}"


def locked_open(channel: Channel, visitor: Visitor, *, by_visitor: bool) -> Conversation | None:
    """The conversation to go on with, under its lock."""
    wanted = ~Q(status=Status.RESOLVED)
    if by_visitor:
        wanted |= Q(status=Status.RESOLVED, resolved_at__gt=timezone.now() - REOPENED_FOR)
    rows = Conversation.objects.filter(wanted, channel=channel, visitor=visitor)
    found: Conversation | None = (
        rows.order_by("-created_at").select_for_update(of=("self",)).first()
    )
    return found


@transaction.atomic
def open_conversation(
    actor: Actor,
    channel: Channel,
    visitor: Visitor,
    number: str,
    draft: Draft | None = None,
    **values: Any,
) -> tuple[Conversation, bool]:
    """The visitor's open conversation in a channel, and whether it is new. A visitor who writes
    within seven days of the end goes on with the old one."""
    if not channel.is_enabled:
        raise Conflict("channel_disabled", "This channel is switched off.")
    # Whoever opens holds the visitor, so that two requests at once do not both open.
    held = Visitor.objects.select_for_update(no_key=True).get(pk=visitor.pk)
    if actor.kind == "visitor" and held.blocked_at:
        raise visitors.blocked()
    found = locked_open(channel, visitor, by_visitor=actor.kind == "visitor")
    if found is not None:
        if draft is not None:
            add_message(actor, found, draft)
        return found, False
    conversation = Conversation.objects.create(
        store_id=actor.store_id,
        number=number,
        channel=channel,
        visitor=visitor,
        customer_id=visitors.customer_of(visitor),
        **values,
    )
    emit(
        "chat.conversation_created",
        store_id=actor.store_id,
        subject_id=conversation.pk,
        data={"conversationId": str(conversation.pk), "number": conversation.number},
    )
    if draft is None:
        tell(actor.store_id, events.of_conversation("ConversationCreated", actor, conversation))
    else:
        add_message(actor, conversation, draft, is_new=True)
    return conversation, True
