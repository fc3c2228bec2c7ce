"""Messages to people's phones: what a provider can do, and which ones there are. Areas that own a
provider register it in `AppConfig.ready`."""

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from storeplatform.kernel.ports import Port

Channel = Literal["whatsapp", "sms"]


@dataclass(frozen=True, slots=True)
class CodeMessage:
    """A one-time code. `reference` is ours: the provider names it when it reports."""

    phone: str
    code: str
    channel: str
    reference: str
    locale: str = ""


@dataclass(frozen=True, slots=True)
class TextMessage:
    phone: str
    text: str
    channel: str
    reference: str


class MessagingProvider(Protocol):
    """Raises the faults of `kernel.providers`."""

    def send_otp(self, message: CodeMessage, *, within: float) -> None:
        """Hand the code over in at most `within` seconds."""

    def send_message(self, message: TextMessage, *, key: str) -> str:
        """Hand the text over, once for a key; returns the provider's own id."""


PROVIDERS: dict[str, MessagingProvider] = {}

# How far a code came, by its reference: id of the challenge and the provider's word for it.
# Answers whether the challenge is known; one-time codes fill it.
code_reported: Port[[UUID, str], bool] = Port("code_reported")
