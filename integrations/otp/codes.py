"""One-time codes, derived instead of stored (platform.md, section 12)."""

import hmac
from uuid import UUID

DIGITS = 6


def derive_code(key: bytes, store_id: UUID, phone: str, purpose: str, challenge_id: UUID) -> str:
    """Six digits from the first eight bytes of an HMAC over all that the code is bound to."""
    bound = f"otp|v1|{store_id}|{phone}|{purpose}|{challenge_id}".encode()
    number = int.from_bytes(hmac.digest(key, bound, "sha256")[:8])
    return f"{number % 10**DIGITS:0{DIGITS}d}"
