"""Credentials kept for a few seconds in the process; the only mutable data that is."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from storeplatform.kernel import notices

K = TypeVar("K")
V = TypeVar("V")

LIFE_SECONDS = 5.0
MOST = 10_000


class ShortMemory(Generic[K, V]):
    """Values by key for at most five seconds, so that a revocation bites within that time
    everywhere, and at once in the process that `forget`s. The others are told: they forget too,
    as soon as the word arrives."""

    kept: "list[ShortMemory[object, object]]" = []

    def __init__(self, name: str = "") -> None:
        self._values: dict[K, tuple[float, V]] = {}
        self.name = name  # of one whose keys are texts and forgotten everywhere
        ShortMemory.kept.append(self)  # type: ignore[arg-type]  # only ever cleared

    def get(self, key: K, load: Callable[[K], V]) -> V:
        found = self._values.get(key)
        now = time.monotonic()
        if found is not None and found[0] > now:
            return found[1]
        value = load(key)
        if len(self._values) >= MOST:
            self._values.clear()
        self._values[key] = (now + LIFE_SECONDS, value)
        return value

    def forget(self, key: K) -> None:
        self._values.pop(key, None)
        notices.tell({"memory": self.name, "key": key})

    def clear(self) -> None:
        self._values.clear()


def forget_too(notice: notices.Notice) -> None:
    """Another process forgot a key."""
    for memory in ShortMemory.kept:
        if memory.name == notice["memory"]:
            memory._values.pop(notice["key"], None)
