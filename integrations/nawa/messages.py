"""One-time codes and texts by Nawa."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import Field

from chat.phones import answer_of, note_arrival
from integrations.nawa.client import Shape, call
from integrations.nawa.models import OutgoingMessage, ProviderAlert
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.messaging import PROVIDERS, CodeMessage, TextMessage
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import on
from storeplatform.kernel.providers import Paused, Refused, reference_of

EXHAUSTED = "credits.exhausted"
Status = OutgoingMessage.Status
RANK = {Status.QUEUED: 0, Status.SENT: 1, Status.DELIVERED: 2, Status.READ: 3}


class Taken(Shape):
    id: str = Field(min_length=1, max_length=100)


class NawaMessages:
    """`MessagingProvider` over HTTP."""

    def send_otp(self, message: CodeMessage, *, within: float) -> None:
        if ProviderAlert.objects.filter(kind=EXHAUSTED, resolved_at=None).exists():
            raise Paused("The credits for messages are used up.")
        body = {
            "reference": message.reference,
            "phone": message.phone,
            "code": message.code,
            "channel": message.channel,
            "locale": message.locale,
        }
        key = f"{message.reference}:{message.channel}"
        call("/v1/otp", body, Taken, key=key, within=within)

    def send_message(self, message: TextMessage, *, key: str) -> str:
        body = {
            "reference": message.reference,
            "phone": message.phone,
            "text": message.text,
            "channel": message.channel,
        }
        return call("/v1/messages", body, Taken, key=key).id


@transaction.atomic
def queue_message(
    store_id: UUID,
    *,
    phone: str,
    text: str,
    channel: str = "whatsapp",
    chat_message_id: UUID | None = None,
) -> OutgoingMessage:
    """Store a text to be sent after the caller's transaction; once for a message of a chat."""
    message = OutgoingMessage(
        store_id=store_id,
        phone=phone,
        text=text,
        channel=channel,
        chat_message_id=chat_message_id,
    )
    if chat_message_id:
        message, is_new = OutgoingMessage.objects.get_or_create(
            chat_message_id=chat_message_id,
            defaults={"store_id": store_id, "phone": phone, "text": text, "channel": channel},
        )
        if not is_new:
            return message
    else:
        message.save(force_insert=True)
    enqueue(send_queued, message_id=str(message.pk))
    return message


@on("chat.message_sent")
def send_answer(event: OutboxEvent) -> None:
    """What the team says to somebody on the phone goes there."""
    answer = answer_of(event.data["id"])
    if answer is None or not settings.NAWA_BASE_URL:
        return
    queue_message(
        event.store_id,
        phone=answer.phone,
        text=answer.text,
        channel=answer.kind,
        chat_message_id=UUID(event.data["id"]),
    )


@background(in_transaction=False)
def send_queued(message_id: str) -> None:
    message = OutgoingMessage.objects.filter(pk=message_id).first()
    if message is None or message.provider_id or message.status == Status.FAILED:
        return
    text = TextMessage(
        message.phone, message.text, message.channel, reference_of("msg", message.pk)
    )
    try:
        provider_id = PROVIDERS["nawa"].send_message(text, key=str(message.pk))
    except Refused as refusal:
        report_message(message.pk, Status.FAILED, error=str(refusal))
        return
    OutgoingMessage.objects.filter(pk=message.pk).update(provider_id=provider_id)
    report_message(message.pk, Status.SENT)


@transaction.atomic
def report_message(message_id: UUID, status: str, *, error: str = "") -> UUID | None:
    """Raise a message's status; what is lower than the present one changes nothing. Returns the
    store, or None for an unknown message."""
    message = OutgoingMessage.objects.select_for_update().filter(pk=message_id).first()
    if message is None:
        return None
    if message.status in (status, Status.FAILED, Status.READ):
        return message.store_id
    failed_late = status == Status.FAILED and message.status == Status.DELIVERED
    if failed_late or (status != Status.FAILED and rank(status) <= rank(message.status)):
        return message.store_id
    message.status, message.status_at, message.error = status, timezone.now(), error[:500]
    message.save(update_fields=["status", "status_at", "error"])
    if message.chat_message_id and status in (Status.DELIVERED, Status.READ):
        note_arrival(message.chat_message_id, is_read=status == Status.READ)
    return message.store_id


def rank(status: Any) -> int:
    return RANK[Status(status)]
