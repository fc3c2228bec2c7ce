"""Conversations with people who write to the store from their phones: what a messaging provider
brings becomes a message, what the team answers is given to the provider."""

from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from chat.channels import new_channel
from chat.messages import Draft
from chat.models import MAX_TEXT, Channel, Conversation, Message, Visitor
from chat.opening import conversation_number, open_conversation
from store_modules.stores.authentication import store_facts
from store_modules.stores.models import Store
from storeplatform.kernel.tenancy import Actor

NAMES = {Channel.Kind.WHATSAPP: "WhatsApp", Channel.Kind.SMS: "SMS"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the team said to a person on the phone."""

    phone: str
    kind: str
    text: str


def phone_channel(store_id: UUID, kind: str) -> Channel:
    """The store's channel of a kind, made with the first message."""
    found: Channel | None = Channel.objects.of(store_id).filter(kind=kind).first()
    if found is not None:
        return found
    name = NAMES[Channel.Kind(kind)]
    if Channel.objects.of(store_id).filter(name__iexact=name).exists():
        name = f"{name} (Nawa)"
    try:
        with transaction.atomic():
            return new_channel(store_id, kind=kind, name=name)[0]
    except IntegrityError:  # another message made it meanwhile
        return Channel.objects.of(store_id).get(kind=kind)


@transaction.atomic
def take_message(
    store_id: UUID, *, kind: str, phone: str, text: str, message_id: str, name: str | None = None
) -> Conversation:
    """Add what somebody wrote from a phone (E.164) to their open conversation, or begin one; once
    for a `message_id` of the provider. Raises Denied for a blocked visitor, Conflict while the
    channel is off."""
    channel = phone_channel(store_id, kind)
    visitor, _ = Visitor.objects.get_or_create(
        store_id=store_id,
        external_id=f"{kind}:{phone}",
        # the provider vouches for the phone, as a code would
        defaults={"phone": phone, "name": name, "verified": Visitor.Verified.OTP},
    )
    actor = Actor(
        store=store_facts(Store.objects.select_related("settings").get(pk=store_id)),
        grants=frozenset(),
        kind="visitor",
        id=str(visitor.pk),
        label=visitor.name or phone,
    )
    said = Draft(text=text[:MAX_TEXT], client_message_id=message_id)
    number = conversation_number(store_id)
    conversation, _ = open_conversation(actor, channel, visitor, number, said)
    return conversation


def answer_of(message_id: UUID | str) -> Answer | None:
    """The text and the phone of a message to somebody on the phone; None for any other message."""
    message = (
        Message.objects.filter(
            pk=message_id,
            private=False,
            deleted_at=None,
            direction=Message.Direction.OUTBOUND,
            conversation__channel__kind__in=NAMES,
        )
        .select_related("conversation__visitor", "conversation__channel")
        .first()
    )
    if message is None or not message.text or not message.conversation.visitor.phone:
        return None
    talk = message.conversation
    return Answer(talk.visitor.phone, talk.channel.kind, message.text)


def note_arrival(message_id: UUID, *, is_read: bool) -> None:
    """The person has a message of the team, or has read it."""
    now = timezone.now()
    rows = Message.objects.filter(pk=message_id)
    rows.filter(delivered_at=None).update(delivered_at=now)
    if is_read:
        rows.filter(read_at=None).update(read_at=now)
