"""UUIDv7 (RFC 9562): time-ordered ids that stay unique and rising when the clock jumps back."""

import os
import threading
import time
from datetime import datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0  # milliseconds << 12 | counter


def uuid7() -> UUID:
    """A new id: 48 bits of milliseconds, a 12-bit counter within them, 62 random bits."""
    global _last  # one clock a process
    now = (time.time_ns() // 1_000_000) << 12
    with _lock:
        _last = now if now > _last else _last + 1
        stamp = _last
    random = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
    high = (stamp >> 12) << 16 | 0x7000 | stamp & 0xFFF
    return UUID(int=high << 64 | 0x8000_0000_0000_0000 | random)


def first_of(instant: datetime) -> UUID:
    """No id made at or after an instant is below this one: a range over ids is one over time."""
    high = int(instant.timestamp() * 1000) << 16 | 0x7000
    return UUID(int=high << 64 | 0x8000_0000_0000_0000)
