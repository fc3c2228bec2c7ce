"""What is said in a conversation: sent once, edited or deleted by its author or a moderator."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat import events, visitors
from chat.attachments import claim_attachments
from chat.conversations import Status, change_status, locked
from chat.feed import tell
from chat.models import SENDERS, Attachment, Conversation, Message
from chat.reading import note_read, raise_cursor
from chat.serializers import messages_shown
from storeplatform.kernel import uploads
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, Denied, NotFound, refuse
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.writing import insert

EDITED_FOR = timedelta(minutes=15)
MOST_MISSED = 20
PREVIEW = 140


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as it was sent."""

    text: str | None = None
    attachment_ids: Sequence[UUID] = ()
    private: bool = False
    reply_to_message_id: UUID | None = None
    client_message_id: str | None = None
    expected_last_seq: int | None = None
    sender_name: str | None = None


@transaction.atomic(savepoint=False)
def post_message(actor: Actor, conversation_id: UUID | str, draft: Draft) -> tuple[Message, bool]:
    """Say something; the message, and whether it is new rather than a repeat."""
    return add_message(actor, locked(actor.store_id, conversation_id), draft)


def add_message(
    actor: Actor, conversation: Conversation, draft: Draft, *, is_new: bool = False
) -> tuple[Message, bool]:
    """Add to a locked conversation. Raises Conflict `channel_disabled` or
    `conversation_advanced`, Denied `visitor_blocked`."""
    sender_type = SENDERS[actor.kind]
    if draft.client_message_id and (said := repeated(actor, conversation, draft)):
        return said, False
    refuse_message(actor, conversation, draft)
    attachments = claim_attachments(actor, conversation, draft.attachment_ids)
    reply_to = replied_to(actor, conversation, draft.reply_to_message_id)
    is_inbound = sender_type == Message.Sender.VISITOR
    now = timezone.now()
    message = Message(
        store_id=conversation.store_id,
        conversation=conversation,
        seq=conversation.last_seq + 1,
        direction=Message.Direction.INBOUND if is_inbound else Message.Direction.OUTBOUND,
        sender_type=sender_type,
        sender_id=actor.id,
        sender_name=draft.sender_name or actor.label or None,
        type=Message.Type.TEXT if draft.text else Message.Type.ATTACHMENT,
        text=draft.text,
        private=draft.private,
        reply_to_message=reply_to,
        client_message_id=draft.client_message_id,
    )
    insert([message])
    for attachment in attachments:
        attachment.conversation, attachment.message = conversation, message
    Attachment.objects.bulk_update(attachments, ["conversation", "message"])
    before = conversation.status, conversation.assigned_user_id
    preview = draft.text or (attachments[0].file_name if attachments else "")
    take_in(actor, conversation, message, preview[:PREVIEW], now)
    conversation.save()
    if actor.kind == "user":
        raise_cursor(conversation, actor.principal, message.seq)
    has_read = is_inbound and note_read(conversation, message.seq, by_visitor=True) > 0
    tell_message(actor, conversation, message, before, is_new=is_new, has_read=has_read)
    return message, True


def repeated(actor: Actor, conversation: Conversation, draft: Draft) -> Message | None:
    """The message that this sender sent under the same clientMessageId before."""
    found: Message | None = Message.objects.filter(
        conversation=conversation,
        sender_type=SENDERS[actor.kind],
        sender_id=actor.id,
        client_message_id=draft.client_message_id,
    ).first()
    return found


def refuse_message(actor: Actor, conversation: Conversation, draft: Draft) -> None:
    if not draft.text and not draft.attachment_ids:
        raise refuse("text", "validation_error", "A message has a text or an attachment.")
    if not conversation.channel.is_enabled:
        raise Conflict("channel_disabled", "This channel is switched off.")
    if actor.kind == "visitor" and conversation.visitor.blocked_at:
        raise visitors.blocked()
    expected = draft.expected_last_seq
    if expected is not None and expected < conversation.last_public_seq:
        missed = Message.objects.filter(
            conversation=conversation, private=False, seq__gt=expected
        ).order_by("seq")[:MOST_MISSED]
        raise Conflict(
            "conversation_advanced",
            "Something was said since.",
            details={
                "current": {
                    "lastSeq": conversation.last_seq,
                    "missed": messages_shown(actor.store, missed),
                }
            },
        )


def replied_to(actor: Actor, conversation: Conversation, message_id: UUID | None) -> Message | None:
    if message_id is None:
        return None
    rows = Message.objects.filter(conversation=conversation, pk=message_id)
    if actor.kind == "visitor":
        rows = rows.filter(private=False)
    found: Message | None = rows.first()
    if found is None:
        raise refuse("replyToMessageId", "not_found", "There is no such message here.")
    return found


def take_in(
    actor: Actor, conversation: Conversation, message: Message, preview: str, now: datetime
) -> None:
    """What a message means for its conversation."""
    conversation.last_seq = message.seq
    conversation.version += 1
    if message.private:
        return
    conversation.last_public_seq = message.seq
    conversation.last_message_at = now
    conversation.last_message_preview = preview or None
    if message.direction == Message.Direction.INBOUND:
        conversation.last_inbound_seq = message.seq
        conversation.visitor_read_seq = message.seq
        conversation.waiting_since = conversation.waiting_since or now
        if conversation.status in (Status.SNOOZED, Status.RESOLVED):
            change_status(conversation, Status.OPEN)
        return
    conversation.waiting_since = None
    if actor.kind in ("user", "api_key"):
        conversation.first_responded_at = conversation.first_responded_at or now
    is_free = conversation.assigned_user_id is None and actor.kind == "user"
    if is_free and conversation.channel.assign_on_reply:
        conversation.assigned_user_id = actor.user_id


def tell_message(
    actor: Actor,
    conversation: Conversation,
    message: Message,
    before: tuple[str, UUID | None],
    *,
    is_new: bool,
    has_read: bool,
) -> None:
    status, assignee = before
    is_inbound = message.direction == Message.Direction.INBOUND
    type_ = "NewCustomerMessage" if is_inbound else "MessageSent"
    told = [events.of_message(type_, actor.store, message, conversation.visitor_id)]
    if is_new:
        told.insert(0, events.of_conversation("ConversationCreated", actor, conversation))
    if conversation.assigned_user_id != assignee:
        told.append(events.of_conversation("ConversationAssigned", actor, conversation))
        events.emit_assigned(conversation)
    elif conversation.status != status:
        told.append(events.of_conversation("ConversationUpdated", actor, conversation))
    if not message.private:
        event = "chat.message_received" if is_inbound else "chat.message_sent"
        events.emit_of(event, conversation, told[1 if is_new else 0].data)
    if has_read:  # who answers has read what was said before
        events.emit_read(actor, conversation, message.seq)
        told.append(events.of_reading(actor, conversation, message.seq))
    tell(conversation.store_id, *told)


@transaction.atomic
def edit_message(actor: Actor, message: Message, text: str | None) -> Message:
    """Change a text, or delete the message when it is None: its number stays, its text goes.
    Authors may for fifteen minutes, moderators always; a key only its own."""
    conversation = locked(actor.store_id, message.conversation_id)
    message = Message.objects.select_for_update(of=("self",)).get(pk=message.pk)
    if message.deleted_at:
        raise NotFound
    refuse_edit(actor, message)
    now = timezone.now()
    message.text = text
    if text is None:
        message.deleted_at = now
        for attachment in Attachment.objects.filter(message=message):
            uploads.forget(attachment.stored_as)
            attachment.delete()
    else:
        message.edited_at = now
    message.save(update_fields=["text", "edited_at", "deleted_at"])
    if message.seq == conversation.last_public_seq:
        conversation.last_message_preview = (text or "")[:PREVIEW] or None
    conversation.version += 1
    conversation.save(update_fields=["last_message_preview", "version", "updated_at"])
    if message.sender_type != SENDERS[actor.kind] or message.sender_id != actor.id:
        audit("chat.message_moderated", actor=actor, target=message.pk)
    type_ = "MessageUpdated" if text is not None else "MessageDeleted"
    tell(actor.store_id, events.of_message(type_, actor.store, message, conversation.visitor_id))
    return message


def refuse_edit(actor: Actor, message: Message) -> None:
    is_own = message.sender_type == SENDERS[actor.kind] and message.sender_id == actor.id
    if actor.kind == "api_key":
        if not is_own:
            raise Denied("not_author", "A key changes its own messages only.")
        return
    if actor.may("chat.moderate"):
        return
    if not is_own or timezone.now() - message.created_at > EDITED_FOR:
        raise Denied(
            "missing_permission",
            "Authors may for fifteen minutes; the permission chat.moderate is needed.",
            details={"requiredPermission": "chat.moderate"},
        )
