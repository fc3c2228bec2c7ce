"""The text of an API key: `keyId.secret`, with a checksum that needs no database."""

import hmac
import re
import zlib
from dataclasses import dataclass

from storeplatform.kernel.crypto import ALPHABET, random_text

PREFIX = "stk_"
TOKEN = re.compile(r"(st[kt]_[0-9A-Za-z]{16})\.([0-9A-Za-z]{40})([0-9A-Za-z]{6})")
TOKEN_ANYWHERE = re.compile(f"(?={TOKEN.pattern})")  # also where two overlap


@dataclass(frozen=True, slots=True)
class Token:
    """A key's public id and its whole text, which is shown once."""

    key_id: str
    text: str

    @property
    def hint(self) -> str:
        return self.text[-4:]


def base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits


def checksum(key_id: str, random: str) -> str:
    return base62(zlib.crc32(f"{key_id}.{random}".encode()), 6)


def new_token(key_id: str = "") -> Token:
    """A new secret, for a new key or for the one named."""
    key_id = key_id or PREFIX + random_text(16)
    random = random_text(40)
    return Token(key_id, f"{key_id}.{random}{checksum(key_id, random)}")


def key_id_of(text: str) -> str | None:
    """The key's id when the text is well formed; None for typos, before any query."""
    match = TOKEN.fullmatch(text)
    if match is None or checksum(match[1], match[2]) != match[3]:
        return None
    return match[1]


def exposed_key_ids(text: str) -> list[str]:
    """Ids of the well-formed keys that stand anywhere in a text."""
    return [m[1] for m in TOKEN_ANYWHERE.finditer(text) if checksum(m[1], m[2]) == m[3]]


def hash_token(text: str, pepper: bytes) -> str:
    """Hex HMAC-SHA256 of the whole text."""
    return hmac.digest(pepper, text.encode(), "sha256").hex()
