"""Questions that a lower area asks and a higher one answers, in the same transaction.

The lower area declares `on_open_purchase_order = Port("…")` here and calls it; the higher one
registers its function in `AppConfig.ready`. A test fails on a port that nobody fills.
"""

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Port(Generic[P, R]):
    """A named list of functions with one signature."""

    declared: "list[Port[..., object]]" = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: list[Callable[P, R]] = []
        Port.declared.append(self)  # type: ignore[arg-type]  # any port stands in the list

    def register(self, function: Callable[P, R]) -> Callable[P, R]:
        self.functions.append(function)
        return function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """What each registered function answers."""
        return [function(*args, **kwargs) for function in self.functions]
