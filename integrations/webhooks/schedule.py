"""When a failed delivery is tried again. Plain arithmetic."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PAUSES = [
    5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR,
    24 * HOUR,
]  # fmt: skip
JITTER = 0.2
LONGEST_WISH = 24 * HOUR


def pause_after(tries: int, retry_after: str | None, now: datetime) -> timedelta | None:
    """How long to wait after the `tries`-th try, a fifth more or less so that receivers are not
    hit by all at once; None when it was the last one. What the receiver wishes is the least."""
    if tries > len(PAUSES):
        return None
    planned = PAUSES[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
    return max(planned, min(wished(retry_after, now), LONGEST_WISH))


def wished(retry_after: str | None, now: datetime) -> timedelta:
    """`Retry-After`: seconds, or a date."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta())
