"""Keyed hashes and encryption with the versioned keys of the settings."""

import hashlib
import hmac
import os
import secrets
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NONCE_BYTES = 12
LEAST_BYTES = 2 + NONCE_BYTES + 16  # version, nonce, tag


class Undecipherable(Exception):
    """The text was changed, belongs elsewhere, or its key is gone."""


def random_text(length: int) -> str:
    """Letters and digits that nobody guesses, just under six bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def current(name: str) -> tuple[int, bytes]:
    """Version and material of the key in use."""
    return next(iter(settings.KEYS[name].items()))


def keyed_hash(name: str, data: bytes) -> str:
    """`version:hex`, HMAC-SHA256 under the current key."""
    version, key = current(name)
    return f"{version}:{hmac.digest(key, data, 'sha256').hex()}"


def keyed_hashes(name: str, data: bytes) -> list[str]:
    """The hash under every key still known, for look-ups."""
    return [
        f"{version}:{hmac.digest(key, data, 'sha256').hex()}"
        for version, key in settings.KEYS[name].items()
    ]


@cache
def cipher(version: int, key: bytes) -> AESGCM:
    return AESGCM(hashlib.sha256(b"field" + key).digest())


def encrypt(data: bytes, context: bytes) -> bytes:
    """AES-256-GCM; `context` must be the same when it is read back."""
    version, key = current("FIELD_KEY")
    nonce = os.urandom(NONCE_BYTES)
    return version.to_bytes(2) + nonce + cipher(version, key).encrypt(nonce, data, context)


def decrypt(sealed: bytes, context: bytes) -> bytes:
    """The data that `encrypt` sealed. Raises Undecipherable."""
    version, nonce, text = int.from_bytes(sealed[:2]), sealed[2:14], sealed[14:]
    key = settings.KEYS["FIELD_KEY"].get(version)
    if key is None or len(sealed) < LEAST_BYTES:
        raise Undecipherable
    try:
        return cipher(version, key).decrypt(nonce, text, context)
    except InvalidTag:
        raise Undecipherable from None
