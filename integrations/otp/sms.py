"""Where one-time codes leave the house: providers of `kernel.messaging`, chosen by OTP_PROVIDER."""

import sys
import time
from datetime import UTC, datetime

import orjson
import structlog
from django.conf import settings

from storeplatform.kernel.messaging import PROVIDERS, CodeMessage, TextMessage
from storeplatform.kernel.providers import Paused, ProviderFault, Refused, Uncertain, Unreachable

log = structlog.get_logger(__name__)

BUDGET_SECONDS = 6.0  # over all channels


class SendFailed(Exception):
    """No channel took the message."""


class SendingPaused(Exception):
    """The provider's account must be seen to first."""


class Console:
    """For development: shown where the server runs."""

    def send_otp(self, message: CodeMessage, *, within: float) -> None:
        line = f"one-time code for {message.phone} by {message.channel}: {message.code}\n"
        sys.stderr.write(line)

    def send_message(self, message: TextMessage, *, key: str) -> str:
        sys.stderr.write(f"message for {message.phone} by {message.channel}: {message.text}\n")
        return message.reference


class File(Console):
    """For development: a line of JSON each, in OTP_FILE."""

    def send_otp(self, message: CodeMessage, *, within: float) -> None:
        line = {
            "phone": message.phone,
            "code": message.code,
            "channel": message.channel,
            "at": datetime.now(UTC),
        }
        try:
            with settings.OTP_FILE.open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        except OSError as error:
            raise Unreachable(str(error)) from error


class Memory(Console):
    """For tests: they read OUTBOX, and make a phone fail by putting it into REFUSED."""

    def send_otp(self, message: CodeMessage, *, within: float) -> None:
        if message.phone in REFUSED:
            raise Refused("refused", "refused")
        OUTBOX.append({"phone": message.phone, "code": message.code, "channel": message.channel})


OUTBOX: list[dict[str, str]] = []
REFUSED: set[str] = set()


def deliver(phone: str, code: str, channel: str, *, reference: str, locale: str = "") -> str:
    """Send by the channel, or `auto`: WhatsApp, then SMS. Returns the channel that took it. Raises
    SendFailed when none did, Uncertain when one may have, SendingPaused when none is tried."""
    channels = ("whatsapp", "sms") if channel == "auto" else (channel,)
    deadline = time.monotonic() + BUDGET_SECONDS
    faults: list[ProviderFault] = []
    for place, tried in enumerate(channels):
        share = (deadline - time.monotonic()) / (len(channels) - place)
        message = CodeMessage(phone, code, tried, reference, locale)
        try:
            for name in settings.OTP_PROVIDERS:
                PROVIDERS[name].send_otp(message, within=share)
        except ProviderFault as fault:
            log.warning("otp_send_failed", channel=tried, error=str(fault))
            faults.append(fault)
        else:
            return tried
    if unknown := [one for one in faults if isinstance(one, Uncertain)]:
        raise unknown[0]
    if all(isinstance(one, Paused) for one in faults):
        raise SendingPaused(str(faults[0]))
    raise SendFailed("No channel took the message.")
