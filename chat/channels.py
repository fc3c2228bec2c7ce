"""Where conversations come in: a website's widget, WhatsApp, SMS; and the secret that locks one."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from chat.models import Channel
from storeplatform.kernel.crypto import decrypt, encrypt, random_text


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
