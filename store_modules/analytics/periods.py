"""Periods and their buckets in a store's own time (domain.md, section 12). Pure."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

GRANULARITIES = ("hour", "day", "week", "month")
MOST = timedelta(days=731)
MOST_BY_HOUR = timedelta(days=31)
BY_SPAN = (("hour", timedelta(days=2)), ("day", timedelta(days=92)), ("week", timedelta(days=366)))


class PeriodError(ValueError):
    """Not a period: the member at fault and a sentence."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Period:
    """The instants [start, end) in a time zone, cut into buckets of a granularity."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    granularity: str
    first_weekday: int = 0  # 0 is Monday

    @property
    def span(self) -> timedelta:
        """Its length on the store's clock, where every day has 24 hours."""
        return self.on_clock(self.end) - self.on_clock(self.start)

    @property
    def before(self) -> "Period":
        """The period of the same length right before; of as many days, where it is whole days."""
        first = self.on_clock(self.start)
        if first.time() == time() and not self.span % timedelta(days=1):
            start = midnight(first.date() - self.span, self.zone)
        else:
            start = self.start - (self.end - self.start)
        return replace(self, start=start, end=self.start)

    @cached_property
    def buckets(self) -> list[datetime]:
        """The starts of all buckets, in order; the first is the period's own."""
        return list(self.cuts())

    def cuts(self) -> Iterator[datetime]:
        at = self.start
        while at < self.end:
            yield at
            at = self.after(at)

    def after(self, instant: datetime) -> datetime:
        """The start of the bucket that follows the one in which an instant lies."""
        local = instant.astimezone(self.zone)
        if self.granularity == "hour":
            past = timedelta(
                minutes=local.minute, seconds=local.second, microseconds=local.microsecond
            )
            return instant - past + timedelta(hours=1)
        day = local.date()
        if self.granularity == "month":
            following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        elif self.granularity == "week":
            following = day + timedelta(days=7 - (day.weekday() - self.first_weekday) % 7)
        else:
            following = day + timedelta(days=1)
        return midnight(following, self.zone)

    def bucket_of(self, moment: date | datetime) -> datetime:
        """The bucket of an instant, or of a day of the store's; of the first one, if it lies before
        the period."""
        if not isinstance(moment, datetime):
            moment = midnight(moment, self.zone)
        return self.buckets[max(0, bisect_right(self.buckets, moment) - 1)]

    def on_clock(self, instant: datetime) -> datetime:
        """An instant on the store's clock, without an offset; a day begins at 00:00 also where its
        clocks skip midnight."""
        day = self.day_of(instant)
        if instant == midnight(day, self.zone):
            return datetime.combine(day, time())
        return instant.astimezone(self.zone).replace(tzinfo=None)

    def day_of(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def shown(self, instant: datetime) -> str:
        """An instant with the offset that holds there."""
        return instant.astimezone(self.zone).isoformat(timespec="seconds")


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant when a day begins, also where its clocks skip midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def read_period(
    start: date | datetime,
    end: date | datetime,
    zone: ZoneInfo,
    granularity: str | None,
    first_weekday: int,
) -> Period:
    """From two dates, both included, or two instants, the second left out. Raises PeriodError."""
    first = instant_of(start, zone)
    is_day = not isinstance(end, datetime)
    last = instant_of(end + timedelta(days=1) if is_day else end, zone)
    if last < first or (is_day and last == first):
        raise PeriodError("to", "It lies before from.")
    period = Period(first, last, zone, granularity or "month", first_weekday)
    if period.span > MOST:
        raise PeriodError("to", f"At most {MOST.days} days.")
    if granularity == "hour" and period.span > MOST_BY_HOUR:
        raise PeriodError("granularity", f"By the hour at most {MOST_BY_HOUR.days} days.")
    if granularity is None:
        fitting = (word for word, most in BY_SPAN if period.span <= most)
        period = replace(period, granularity=next(fitting, "month"))
    return period


def instant_of(moment: date | datetime, zone: ZoneInfo) -> datetime:
    """The beginning of a day, or an instant; without an offset it is on the store's clock."""
    if not isinstance(moment, datetime):
        return midnight(moment, zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)
