"""Gives memory that is free back to the system. The C library keeps what each of a worker's threads
freed, and a worker that answers long lists would grow by megabytes a minute."""

import asyncio
import ctypes
import gc

EVERY_SECONDS = 60


def trim() -> None:
    """Nothing where the C library has no such call; it holds no lock of Python's meanwhile."""
    if call := getattr(ctypes.CDLL(None), "malloc_trim", None):
        call(0)


async def keep_trimmed() -> None:
    """What was loaded at the start stays; the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.to_thread(trim)
        await asyncio.sleep(EVERY_SECONDS)
