"""Reading the figures of a period.

Whole days come from the kept figures; hours, and days that a period cuts, from the orders of just
those hours. So a report costs what its days hold, however many orders the store has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection

from store_modules.analytics.contributions import OF_STORE, Kind, contributed
from store_modules.analytics.periods import Period, midnight
from storeplatform.kernel.money import format_money, minor_units

ZERO = Decimal(0)
RATE_PLACES = Decimal("0.0001")
Sums = Mapping[str, Decimal]
NO_SUMS: Sums = defaultdict(lambda: ZERO)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose report it is."""

    store_id: UUID
    currency: str

    def money(self, amount: Decimal) -> str:
        return format_money(amount, self.currency)


def rate(part: Decimal | int, of: Decimal | int) -> str | None:
    """A share from 0 to 1 with four places; null of nothing."""
    if not of:
        return None
    return f"{(Decimal(part) / Decimal(of)).quantize(RATE_PLACES, ROUND_HALF_UP):f}"


@dataclass(frozen=True, slots=True)
class Days:
    """The whole days of a period, from `first` to `last`, and the ranges at its ends that cut one.
    By the hour all of it is such a range."""

    first: date
    last: date
    edges: list[tuple[datetime, datetime]]


def days_of(period: Period) -> Days:
    first, last = period.day_of(period.start), period.day_of(period.end)  # last is not included
    begins, ends = midnight(first, period.zone), midnight(last, period.zone)
    if period.granularity == "hour" or (first == last and begins < period.start):
        return Days(first, first - timedelta(days=1), [(period.start, period.end)])
    edges = []
    if begins < period.start:
        first += timedelta(days=1)
        edges.append((period.start, midnight(first, period.zone)))
    if ends < period.end:
        edges.append((ends, period.end))
    return Days(first, last - timedelta(days=1), edges)


class Figures:
    """A period's contributions of some bases, or of all."""

    def __init__(self, scope: Scope, period: Period, kind: Kind, *bases: str) -> None:
        self.scope, self.period, self.kind, self.bases = scope, period, kind, bases

    @cached_property
    def source(self) -> tuple[str, dict[str, Any]]:
        """A subquery of rows with their `slot`, an hour or a day, and its parameters."""
        days = days_of(self.period)
        values: dict[str, Any] = {
            "store": self.scope.store_id,
            "zone": self.period.zone.key,
            "bases": list(self.bases),
            "first": days.first,
            "last": days.last,
        }
        columns = ", ".join((*self.kind.dimensions, *self.kind.measures))
        parts = []
        if days.first <= days.last or not days.edges:
            of_bases = " AND basis = ANY(%(bases)s)" if self.bases else ""
            parts.append(
                f"SELECT day AS slot, {columns} FROM {self.kind.table}"  # noqa: S608  # our names
                f" WHERE store_id = %(store)s AND day BETWEEN %(first)s AND %(last)s{of_bases}"
            )
        by_hour = self.period.granularity == "hour"
        slot = "date_trunc('hour', at, %(zone)s)" if by_hour else "(at AT TIME ZONE %(zone)s)::date"
        digits = minor_units(self.scope.currency)
        for place, (start, end) in enumerate(days.edges):
            values |= {f"start{place}": start, f"end{place}": end}
            live = contributed(self.kind, digits, OF_STORE, bases=self.bases, edge=str(place))
            parts.append(f"SELECT {slot} AS slot, {columns} FROM ({live}) live")  # noqa: S608
        return " UNION ALL ".join(parts), values

    def select(self, columns: str, rest: str = "", **values: Any) -> list[tuple[Any, ...]]:
        source, whose = self.source
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns} FROM ({source}) rows {rest}",  # noqa: S608  # our own names
                whose | values,
            )
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def total(self, measures: Iterable[str]) -> Sums:
        names = list(measures)
        row = self.select(", ".join(f"coalesce(sum({name}), 0)" for name in names))[0]
        return dict(zip(names, row, strict=True))

    def by_bucket(self, measures: Iterable[str]) -> dict[datetime, Sums]:
        """Sums of the buckets in which something happened."""
        names = list(measures)
        summed = ", ".join(f"sum({name})" for name in names)
        buckets: dict[datetime, Sums] = {}
        for slot, *values in self.select(f"slot, {summed}", "GROUP BY slot"):
            bucket = self.period.bucket_of(slot)
            sums = dict(zip(names, values, strict=True))
            buckets[bucket] = added(buckets.get(bucket, {}), sums)
        return buckets


def added(one: Sums, other: Sums) -> Sums:
    return {name: one.get(name, ZERO) + other.get(name, ZERO) for name in {*one, *other}}


def combined(parts: Iterable[Sums]) -> Sums:
    """The sums of all parts together; nothing where no part has a member."""
    total: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for sums in parts:
        for name, amount in sums.items():
            total[name] += amount
    return total


def filled(period: Period, buckets: Mapping[datetime, Sums], show: Any) -> list[dict[str, Any]]:
    """Every bucket of the period, also those in which nothing happened."""
    return [
        {"bucketStart": period.shown(start), **show(buckets.get(start, NO_SUMS))}
        for start in period.buckets
    ]


def former(period: Period, totals: dict[str, Any]) -> dict[str, Any]:
    """The totals of the period before, with its bounds."""
    return {"from": period.shown(period.start), "to": period.shown(period.end), "totals": totals}
