"""Where one-time codes leave the house: a provider is a function, chosen by OTP_PROVIDER."""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

import orjson
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

Channel = Literal["whatsapp", "sms"]


class SendFailed(Exception):
    """The provider refused the message."""


def to_console(phone: str, code: str, channel: str) -> None:
    sys.stderr.write(f"one-time code for {phone} by {channel}: {code}\n")


def to_file(phone: str, code: str, channel: str) -> None:
    line = {"phone": phone, "code": code, "channel": channel, "at": datetime.now(UTC)}
    try:
        with settings.OTP_FILE.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")
    except OSError as error:
        raise SendFailed(str(error)) from error


OUTBOX: list[dict[str, str]] = []


def to_memory(phone: str, code: str, channel: str) -> None:
    """For tests: they read OUTBOX, and make a phone fail by putting it into REFUSED."""
    if phone in REFUSED:
        raise SendFailed("refused")
    OUTBOX.append({"phone": phone, "code": code, "channel": channel})


REFUSED: set[str] = set()
PROVIDERS: Mapping[str, Callable[[str, str, str], None]] = {
    "console": to_console,
    "file": to_file,
    "memory": to_memory,
}


def deliver(phone: str, code: str, channel: str) -> str:
    """Send by the channel, or `auto`: WhatsApp, then SMS. Returns the channel that took it.
    Raises SendFailed when none did."""
    for tried in ("whatsapp", "sms") if channel == "auto" else (channel,):
        try:
            for name in settings.OTP_PROVIDERS:
                PROVIDERS[name](phone, code, tried)
        except SendFailed as error:
            log.warning("otp_send_failed", channel=tried, error=str(error))
        else:
            return tried
    raise SendFailed("No channel took the message.")
