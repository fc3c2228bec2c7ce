"""The rules of website chat. Lock order everywhere: conversation, then the feed's head, last."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID

import redis
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from PIL import Image

from chat import feed
from chat.feed import Told, tell
from chat.models import (
    Attachment,
    CannedReply,
    Channel,
    Conversation,
    Message,
    Visitor,
    VisitorSession,
)
from store_modules.customers.models import Customer
from store_modules.stores.grants import effective
from store_modules.stores.models import Membership
from storeplatform.kernel import uploads, valkey
from storeplatform.kernel.audit import audit
from storeplatform.kernel.crypto import decrypt, encrypt
from storeplatform.kernel.errors import Conflict, Denied, NotFound, Refusal
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor, StoreFacts

Status = Conversation.Status
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
REOPENED_FOR = timedelta(days=7)  # a resolved conversation goes on so long
EDITED_FOR = timedelta(minutes=15)
UNATTACHED_FOR = timedelta(hours=24)
SHOWN_TYPING_SECONDS, TYPING_EVERY_SECONDS = 6, 2
MOST_MISSED = 20
PREVIEW = 140
NOBODY = UUID(int=0)
SENDERS = {
    "user": Message.Sender.AGENT,
    "api_key": Message.Sender.BOT,
    "visitor": Message.Sender.VISITOR,
    "system": Message.Sender.SYSTEM,
}


class Unchanged:
    """A value that was not given, where None means something."""


UNCHANGED = Unchanged()


def random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def refuse(field: str, message: str, code: str = "validation_error") -> Refusal:
    return Refusal(code, message, errors={field: [message]})


# Channels


def new_channel(store_id: UUID, **values: Any) -> tuple[Channel, str]:
    """A channel and the identity secret, which is shown once."""
    channel = Channel(store_id=store_id, public_key=f"wgt_{random_text(20)}", **values)
    secret = set_secret(channel)
    channel.save()
    return channel, secret


def set_secret(channel: Channel) -> str:
    secret = f"wgs_{random_text(43)}"
    channel.identity_secret = encrypt(secret.encode(), channel.pk.bytes)
    return secret


def rotate_secret(channel: Channel) -> str:
    """A new identity secret for a locked channel; the old one is worth nothing from now on."""
    secret = set_secret(channel)
    channel.version += 1
    channel.save(update_fields=["identity_secret", "version", "updated_at"])
    return secret


def identity_secret(channel: Channel) -> bytes:
    return decrypt(bytes(channel.identity_secret), channel.pk.bytes)


def default_channel(store_id: UUID) -> Channel:
    """The store's first widget, for conversations that a program opens; made when there is
    none."""
    first: Channel | None = (
        Channel.objects.of(store_id)
        .filter(kind=Channel.Kind.WEBSITE)
        .order_by("-is_enabled", "created_at", "id")
        .first()
    )
    if first is not None:
        return first
    try:
        with transaction.atomic():
            return new_channel(store_id, name="Website")[0]
    except IntegrityError:  # another request made it meanwhile
        return default_channel(store_id)


# Visitors


def visitor_of(actor: Actor, given: dict[str, Any]) -> Visitor:
    """The visitor that a program names by id or externalId; a new one when it is unknown."""
    store_id = actor.store_id
    wanted = {name: given[name] for name in ("name", "phone", "email") if given.get(name)}
    if given.get("id"):
        visitor: Visitor | None = Visitor.objects.of(store_id).filter(pk=given["id"]).first()
        if visitor is None:
            raise refuse("visitor.id", "There is no such visitor in this store.", "not_found")
        return visitor
    if not given.get("external_id"):
        created: Visitor = Visitor.objects.create(store_id=store_id, **wanted)
        return created
    visitor, _ = Visitor.objects.get_or_create(
        store_id=store_id, external_id=given["external_id"], defaults=wanted
    )
    return visitor


def blocked() -> Denied:
    return Denied("visitor_blocked", "This visitor may not write.")


def refuse_blocked(actor: Actor) -> None:
    if actor.kind == "visitor" and (
        Visitor.objects.filter(pk=actor.id, blocked_at__isnull=False).exists()
    ):
        raise blocked()


def customer_of(visitor: Visitor) -> UUID | None:
    """The customer with the visitor's phone; only somebody who was vouched for is linked."""
    if visitor.customer_id or visitor.verified == Visitor.Verified.NONE or not visitor.phone:
        return visitor.customer_id
    found: UUID | None = (
        Customer.objects.of(visitor.store_id)
        .live()
        .filter(primary_phone=visitor.phone)
        .values_list("pk", flat=True)
        .first()
    )
    return found


@transaction.atomic
def block_visitor(actor: Actor, visitor: Visitor, *, blocked: bool) -> Visitor:
    """A blocked visitor cannot write and leaves the hub."""
    visitor.blocked_at = timezone.now() if blocked else None
    visitor.version += 1
    visitor.save(update_fields=["blocked_at", "version", "updated_at"])
    audit("chat.visitor_blocked" if blocked else "chat.visitor_unblocked", actor=actor,
          target=visitor.pk)  # fmt: skip
    return visitor


@transaction.atomic
def erase_visitor(actor: Actor, visitor: Visitor) -> None:
    """Forget who it was. What was said stays, without a name; the browser's token ends."""
    visitor.name = visitor.email = visitor.phone = visitor.external_id = visitor.locale = None
    visitor.metadata, visitor.customer_id = {}, None
    visitor.verified = Visitor.Verified.NONE
    visitor.version += 1
    visitor.save()
    conversations = Conversation.objects.filter(visitor=visitor)
    Message.objects.filter(
        conversation__in=conversations, sender_type=Message.Sender.VISITOR
    ).update(sender_name=None)
    conversations.update(metadata={}, page_url=None, referrer=None, customer=None)
    VisitorSession.objects.filter(visitor=visitor).delete()
    audit("chat.visitor_erased", actor=actor, target=visitor.pk)
    found = list(conversations.order_by("pk"))
    feed.forget_visitor(actor.store_id, [conversation.pk for conversation in found])
    tell(actor.store_id, *(of_conversation("ConversationUpdated", actor, one) for one in found))


# Conversations


def conversation_number(store_id: UUID) -> str:
    """The next CNV number, taken outside the conversation's transaction."""
    return f"CNV-{take_numbers(store_id, 'conversation')[0]}"


def locked(store_id: UUID, conversation_id: UUID | str) -> Conversation:
    """The conversation under its lock. Raises NotFound."""
    rows = Conversation.objects.of(store_id).select_for_update(of=("self",))
    found: Conversation | None = rows.filter(pk=conversation_id).first()
    if found is None:
        raise NotFound
    return found


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
    recent = Q(status=Status.RESOLVED, resolved_at__gt=timezone.now() - REOPENED_FOR)
    wanted = ~Q(status=Status.RESOLVED)
    if actor.kind == "visitor":
        wanted |= recent
    # Whoever opens holds the visitor, so that two requests at once do not both open.
    held = Visitor.objects.select_for_update(no_key=True).get(pk=visitor.pk)
    if actor.kind == "visitor" and held.blocked_at:
        raise blocked()
    rows = Conversation.objects.filter(wanted, channel=channel, visitor=visitor)
    found = rows.order_by("-created_at").select_for_update(of=("self",)).first()
    if found is not None:
        if draft is not None:
            add_message(actor, found, draft)
        return found, False
    conversation = Conversation.objects.create(
        store_id=actor.store_id,
        number=number,
        channel=channel,
        visitor=visitor,
        customer_id=customer_of(visitor),
        **values,
    )
    emit(
        "chat.conversation_created",
        store_id=actor.store_id,
        subject_id=conversation.pk,
        data={"conversationId": str(conversation.pk), "number": conversation.number},
    )
    if draft is None:
        tell(actor.store_id, of_conversation("ConversationCreated", actor, conversation))
    else:
        add_message(actor, conversation, draft, is_new=True)
    return conversation, True


def of_conversation(type_: str, actor: Actor, conversation: Conversation, **more: Any) -> Told:
    """The conversation as it stands now, as an event."""
    from chat.serializers import conversation_shown

    return Told(type_, conversation.pk, conversation_shown(actor.store, conversation, **more))


def of_message(type_: str, facts: StoreFacts, message: Message, visitor_id: UUID) -> Told:
    from chat.serializers import message_shown

    public = None if message.private else visitor_id
    return Told(type_, message.conversation_id, message_shown(facts, message), public)


@transaction.atomic
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
    message: Message = Message.objects.create(
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
        raise refuse("text", "A message has a text or an attachment.")
    if not conversation.channel.is_enabled:
        raise Conflict("channel_disabled", "This channel is switched off.")
    if actor.kind == "visitor" and conversation.visitor.blocked_at:
        raise blocked()
    expected = draft.expected_last_seq
    if expected is not None and expected < conversation.last_public_seq:
        from chat.serializers import messages_shown

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


def claim_attachments(
    actor: Actor, conversation: Conversation, ids: Sequence[UUID]
) -> list[Attachment]:
    """The sender's own uploads that no message has yet."""
    if not ids:
        return []
    rows = Attachment.objects.of(conversation.store_id).filter(
        pk__in=ids, message=None, uploaded_by=actor.principal
    )
    found = {row.pk: row for row in rows.order_by("pk").select_for_update()}
    if missing := [str(one) for one in ids if one not in found]:
        message = f"Not an upload of yours that is free: {', '.join(missing)}."
        raise refuse("attachmentIds", message, "not_found")
    return [found[one] for one in dict.fromkeys(ids)]


def replied_to(actor: Actor, conversation: Conversation, message_id: UUID | None) -> Message | None:
    if message_id is None:
        return None
    rows = Message.objects.filter(conversation=conversation, pk=message_id)
    if actor.kind == "visitor":
        rows = rows.filter(private=False)
    found: Message | None = rows.first()
    if found is None:
        raise refuse("replyToMessageId", "There is no such message here.", "not_found")
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
    events = [of_message(type_, actor.store, message, conversation.visitor_id)]
    if is_new:
        events.insert(0, of_conversation("ConversationCreated", actor, conversation))
    if conversation.assigned_user_id != assignee:
        events.append(of_conversation("ConversationAssigned", actor, conversation))
        emit_assigned(conversation)
    elif conversation.status != status:
        events.append(of_conversation("ConversationUpdated", actor, conversation))
    if not message.private:
        emit(
            "chat.message_received" if is_inbound else "chat.message_sent",
            store_id=conversation.store_id,
            subject_id=conversation.pk,
            sequence=conversation.version,
            data=events[1 if is_new else 0].data,
        )
    if has_read:  # who answers has read what was said before
        events.append(of_reading(actor, conversation, message.seq))
    tell(conversation.store_id, *events)


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
    tell(actor.store_id, of_message(type_, actor.store, message, conversation.visitor_id))
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


def change_status(conversation: Conversation, status: str) -> None:
    conversation.status = status
    conversation.resolved_at = timezone.now() if status == Status.RESOLVED else None
    if status != Status.SNOOZED:
        conversation.snoozed_until = None
    if status == Status.RESOLVED:
        conversation.waiting_since = None


@transaction.atomic
def change_conversation(
    actor: Actor, conversation: Conversation, values: dict[str, Any]
) -> Conversation:
    """Change a locked conversation. Snoozing needs a time to wake up at, which lies ahead."""
    values = dict(values)
    status = values.pop("status", conversation.status)
    until = values.pop("snoozed_until", UNCHANGED)
    if isinstance(until, datetime):
        status = Status.SNOOZED
        if until <= timezone.now():
            raise refuse("snoozedUntil", "A time to come.")
    elif until is None and status == Status.SNOOZED:
        status = Status.OPEN
    elif status == Status.SNOOZED and conversation.status != Status.SNOOZED:
        raise refuse("snoozedUntil", "Until when?")
    was = conversation.status
    if status != was:
        change_status(conversation, status)
    if isinstance(until, datetime):
        conversation.snoozed_until = until
    for name, value in values.items():
        setattr(conversation, name, value)
    conversation.version += 1
    conversation.save()
    if status == Status.RESOLVED and was != status:
        emit(
            "chat.conversation_resolved",
            store_id=actor.store_id,
            subject_id=conversation.pk,
            sequence=conversation.version,
            data={"conversationId": str(conversation.pk), "number": conversation.number},
        )
    tell(actor.store_id, of_conversation("ConversationUpdated", actor, conversation))
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
    expected: UUID | Unchanged | None = UNCHANGED,
    *,
    reason: str = "",
) -> Conversation:
    """Give a locked conversation to a member, or to nobody. With `expected` only when it is
    theirs; else Conflict `already_assigned`."""
    if user_id == NOBODY:
        user_id = None
    if expected == NOBODY:
        expected = None
    now = conversation.assigned_user_id
    if not isinstance(expected, Unchanged) and expected != now:
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
    emit_assigned(conversation)
    more = {"reason": reason} if reason else {}
    tell(actor.store_id, of_conversation("ConversationAssigned", actor, conversation, **more))
    return conversation


def emit_assigned(conversation: Conversation) -> None:
    user_id = conversation.assigned_user_id
    emit(
        "chat.conversation_assigned",
        store_id=conversation.store_id,
        subject_id=conversation.pk,
        sequence=conversation.version,
        data={
            "conversationId": str(conversation.pk),
            "assignedUserId": str(user_id) if user_id else None,
        },
    )


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
        raise refuse("userId", "Not an active member who may read the inbox.")


def unassign_member(actor: Actor, user_id: UUID) -> None:
    """Somebody leaves the store: the open conversations go back to the others."""
    theirs = Conversation.objects.of(actor.store_id).open().filter(assigned_user_id=user_id)
    for conversation in theirs.order_by("pk").select_for_update(of=("self",)):
        assign(actor, conversation, None, reason="member_gone")


# Reading


RAISE = """
INSERT INTO chat_readcursor AS kept (conversation_id, reader, up_to_seq) VALUES (%s, %s, %s)
ON CONFLICT (conversation_id, reader) DO UPDATE
SET up_to_seq = greatest(kept.up_to_seq, EXCLUDED.up_to_seq) RETURNING up_to_seq
"""


def raise_cursor(conversation: Conversation, reader: str, up_to: int) -> int:
    """A reader's cursor, which only rises."""
    with connection.cursor() as cursor:
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
    tell(actor.store_id, of_reading(actor, conversation, up_to))


def note_read(conversation: Conversation, up_to: int, *, by_visitor: bool) -> int:
    """The other side's messages up to here are read now; how many were not before."""
    now = timezone.now()
    direction = Message.Direction.OUTBOUND if by_visitor else Message.Direction.INBOUND
    rows = Message.objects.filter(
        conversation=conversation, direction=direction, private=False, seq__lte=up_to, read_at=None
    )
    return rows.update(read_at=now, delivered_at=Coalesce("delivered_at", now))


def of_reading(actor: Actor, conversation: Conversation, up_to: int) -> Told:
    """How far somebody has read, as an event; webhooks hear of it too."""
    data = {"by": "visitor" if actor.kind == "visitor" else "team", "upToSeq": up_to}
    emit(
        "chat.message_read",
        store_id=actor.store_id,
        subject_id=conversation.pk,
        sequence=conversation.version,
        data={"conversationId": str(conversation.pk), **data},
    )
    reader = {} if actor.kind == "visitor" else {"reader": actor.principal}
    return Told("MessagesRead", conversation.pk, data | reader, conversation.visitor_id)


def note_delivery(messages: QuerySet[Any]) -> int:
    """The visitor has these now."""
    outbound = messages.filter(
        direction=Message.Direction.OUTBOUND, private=False, delivered_at=None
    )
    return outbound.update(delivered_at=timezone.now())


# Typing


def note_typing(actor: Actor, conversation: Conversation, *, is_typing: bool) -> None:
    """Tell the other side, at most once in two seconds; forgotten after six."""
    refuse_blocked(actor)
    place = f"chat:typing:{conversation.pk}:{actor.principal}"
    try:
        client = valkey.client()
        if is_typing:
            client.set(place, 1, ex=SHOWN_TYPING_SECONDS)
        else:
            client.delete(place)
        word = "on" if is_typing else "off"
        if not client.set(f"{place}:{word}", 1, ex=TYPING_EVERY_SECONDS, nx=True):
            return
    except redis.RedisError:
        return  # at most once
    data = {
        "isTyping": is_typing,
        "senderType": SENDERS[actor.kind],
        "senderName": actor.label or None,
        "expiresInSeconds": SHOWN_TYPING_SECONDS,
    }
    if actor.kind != "visitor":
        public = feed.envelope("TypingChanged", actor.store_id, conversation.pk, data)
        feed.publish(feed.VISITOR_HUB, str(conversation.visitor_id), {"event": public})
    told = feed.envelope(
        "TypingChanged", actor.store_id, conversation.pk, data | {"senderId": actor.id}
    )
    feed.publish(feed.STORE_HUB, str(actor.store_id), {"event": told})


# Attachments


def keep_upload(actor: Actor, upload: uploads.Upload) -> Attachment:
    """Store a file that a message may carry. Raises Denied `visitor_blocked`."""
    refuse_blocked(actor)
    width = height = None
    if upload.content_type in uploads.FORMATS:
        with Image.open(BytesIO(upload.content)) as image:
            width, height = image.size
    kept: Attachment = Attachment.objects.create(
        store_id=actor.store_id,
        uploaded_by=actor.principal,
        file_name=upload.name,
        content_type=upload.content_type,
        size=len(upload.content),
        sha256=sha256(upload.content).hexdigest(),
        width=width,
        height=height,
        stored_as=uploads.keep("chat", upload.content),
    )
    return kept


# Canned replies


def save_reply(store_id: UUID, reply: CannedReply, values: dict[str, Any]) -> CannedReply:
    for name, value in values.items():
        setattr(reply, name, value)
    reply.store_id = store_id
    reply.save()
    return reply


# In the background


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


def purge_attachments() -> int:
    """Forget files that no message took within a day."""
    old = Attachment.objects.filter(
        message=None, created_at__lt=timezone.now() - UNATTACHED_FOR
    ).order_by("pk")
    return forget(old[:500])


@transaction.atomic
def forget(attachments: Iterable[Attachment]) -> int:
    count = 0
    for attachment in attachments:
        gone, _ = Attachment.objects.filter(pk=attachment.pk, message=None).delete()
        if gone:
            uploads.forget(attachment.stored_as)
            count += 1
    return count


def purge_sessions() -> int:
    gone, _ = VisitorSession.objects.filter(expires_at__lt=timezone.now()).delete()
    return gone
