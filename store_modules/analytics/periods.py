"""Periods and their buckets in a store's own time (domain.md, section 12). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

GRANULARITIES = ("hour", "day", "week", "month")
MAX_DAYS = 731
MAX_HOURLY_DAYS = 31
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class PeriodError(ValueError):
    """Not a period: the member at fault and a sentence."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Period:
    """The instants [start, end) in a time zone, cut into buckets of a granularity."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    granularity: str
    first_weekday: int = 0  # 0 is Monday

    @property
    def before(self) -> "Period":
        """The period of the same length right before."""
        first, last = self.start.astimezone(self.zone), self.end.astimezone(self.zone)
        if first.time() == last.time() == time():
            days = last.date() - first.date()
            start = midnight(first.date() - days, self.zone)
        else:
            start = self.start - (self.end - self.start)
        return Period(start, self.start, self.zone, self.granularity, self.first_weekday)

    def day_of(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def bucket_day(self, day: date) -> date:
        """The first day of the bucket that a day lies in; for days, weeks and months."""
        if self.granularity == "week":
            return day - timedelta(days=(day.weekday() - self.first_weekday) % 7)
        if self.granularity == "month":
            return day.replace(day=1)
        return day

    def bucket_of(self, instant: datetime) -> datetime:
        """The start of the bucket that an instant lies in, clipped to the period."""
        if self.granularity == "hour":
            start = hour_start(instant.astimezone(self.zone))
        else:
            start = midnight(self.bucket_day(self.day_of(instant)), self.zone)
        return max(start, self.start)

    def buckets(self) -> Iterator[datetime]:
        """The starts of all buckets, in order; the first may be later than its own hour or day."""
        at = self.start
        while at < self.end:
            yield at
            at = self.after(at)

    def after(self, instant: datetime) -> datetime:
        """The start of the next bucket."""
        if self.granularity == "hour":
            return hour_start(instant.astimezone(self.zone)) + timedelta(hours=1)
        day = self.bucket_day(self.day_of(instant))
        if self.granularity == "month":
            following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            following = day + timedelta(days=7 if self.granularity == "week" else 1)
        return midnight(following, self.zone)

    def shown(self, instant: datetime) -> str:
        """A bucket's start with the offset that holds there."""
        return instant.astimezone(self.zone).isoformat(timespec="seconds")


def hour_start(local: datetime) -> datetime:
    """The instant when the local clock's present hour began."""
    return local.astimezone(UTC) - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def read_period(
    start: date | datetime,
    end: date | datetime,
    zone: ZoneInfo,
    granularity: str | None,
    first_weekday: int,
) -> Period:
    """From two dates, both included, or two instants, the second left out. Raises PeriodError."""
    first = start if isinstance(start, datetime) else midnight(start, zone)
    last = end if isinstance(end, datetime) else midnight(end + timedelta(days=1), zone)
    if last < first or (last == first and isinstance(end, datetime)):
        raise PeriodError("to", "It lies before from.")
    length = last - first
    if length > timedelta(days=MAX_DAYS, hours=2):
        raise PeriodError("to", f"At most {MAX_DAYS} days.")
    if granularity == "hour" and length > timedelta(days=MAX_HOURLY_DAYS, hours=2):
        raise PeriodError("granularity", f"By the hour at most {MAX_HOURLY_DAYS} days.")
    chosen = granularity or default_granularity(length)
    return Period(first.astimezone(UTC), last.astimezone(UTC), zone, chosen, first_weekday)


def default_granularity(length: timedelta) -> str:
    for most, word in ((2, "hour"), (92, "day"), (366, "week")):
        if length <= timedelta(days=most, hours=2):
            return word
    return "month"
