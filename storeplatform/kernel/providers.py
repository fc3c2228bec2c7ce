"""What all companies that we call over the network share: how a call fails, and a breaker that
spares a failing one (reliability.md, section 4)."""

import threading
import time
from collections.abc import Callable
from uuid import UUID


class ProviderFault(Exception):
    """A call that brought no good answer."""


class Refused(ProviderFault):
    """A definite no: nothing has happened, and asking again changes nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(ProviderFault):
    """Down, overloaded or failing; worth another try later."""


class Paused(Unreachable):
    """We do not even try for now."""


class Uncertain(ProviderFault):
    """The answer was lost or made no sense: it may have happened. A repeat under the same key
    finds out without doing it twice."""


class Breaker:
    """Opens for `pause` seconds after `limit` failures in a row; then one call may try."""

    def __init__(
        self, *, limit: int = 5, pause: float = 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit, self.pause, self.clock = limit, pause, clock
        self.lock = threading.Lock()
        self.failures = 0
        self.closed_again_at = 0.0

    def check(self) -> None:
        """Raises Paused while it is open."""
        with self.lock:
            if self.failures < self.limit:
                return
            now = self.clock()
            if now < self.closed_again_at:
                raise Paused("It failed too often just now.")
            self.closed_again_at = now + self.pause  # the others wait for this one's luck

    def succeeded(self) -> None:
        with self.lock:
            self.failures = 0

    def failed(self) -> None:
        with self.lock:
            self.failures += 1
            if self.failures >= self.limit:
                self.closed_again_at = self.clock() + self.pause

    def reset(self) -> None:
        self.succeeded()


def reference_of(kind: str, row_id: UUID) -> str:
    """How we name a row of ours to a provider: `shp_0197…`."""
    return f"{kind}_{row_id.hex}"


def id_of(kind: str, reference: str) -> UUID | None:
    """The row's id again, or None for what is no reference of this kind."""
    prefix, _, digits = reference.partition("_")
    if prefix != kind or len(digits) != 32:
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None
