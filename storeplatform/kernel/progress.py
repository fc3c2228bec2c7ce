"""A bar for commands that take long."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

WIDTH = 30
T = TypeVar("T")


class Bar:
    """How far a command is: redrawn in place on a terminal, a line every ten per cent in a log."""

    def __init__(self, label: str, total: int, stream: Any = None) -> None:
        self.label, self.total = label, max(total, 1)
        self.stream = stream or sys.stderr
        self.on_terminal = self.stream.isatty()
        self.done = self.told = 0
        self.began = time.monotonic()

    def advance(self, by: int = 1) -> None:
        self.done = min(self.done + by, self.total)
        percent = 100 * self.done // self.total
        if self.on_terminal:
            self.stream.write(f"\r{self.text(percent)}")
        elif percent // 10 > self.told:
            self.told = percent // 10
            self.stream.write(f"{self.text(percent)}\n")
        self.stream.flush()

    def text(self, percent: int) -> str:
        filled = "#" * (WIDTH * percent // 100)
        seconds = round(time.monotonic() - self.began)
        return f"{self.label:<12} [{filled:<{WIDTH}}] {percent:3d}% {seconds} s"

    def finish(self) -> None:
        self.advance(self.total - self.done)
        if self.on_terminal:
            self.stream.write("\n")


def watched(items: Iterable[T], label: str, total: int, stream: Any = None) -> Iterator[T]:
    """The items, with a bar that advances by one for each."""
    bar = Bar(label, total, stream)
    for item in items:
        yield item
        bar.advance()
    bar.finish()
