"""Schedules in crontab syntax, UTC: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).

A field is `*`, a number, a range `a-b`, either of them with a step `/n`, or several of these with commas; months and days of
the week may be named by three letters. As with cron, where both kinds of day are restricted, either of them is enough. `off`
is no schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

OFF = "off"
_MONTHS = dict(jan=1, feb=2, mar=3, apr=4, may=5, jun=6, jul=7, aug=8, sep=9, oct=10, nov=11, dec=12)  # noqa: C408 - a table
_DAYS = dict(sun=0, mon=1, tue=2, wed=3, thu=4, fri=5, sat=6)  # noqa: C408 - the same
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_HORIZON = timedelta(days=4 * 366 + 1)  # a schedule for the 29th of February has one in every eight years at the worst


@dataclass(frozen=True)
class Schedule:
    """When a job is due. Equal text is an equal schedule."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read one; None for `off`. Raises ValueError that names the field."""
        if text.strip().lower() == OFF:
            return None
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"{text!r} has not the five fields of crontab syntax, and is not {OFF!r}")
        minutes, hours, days, months, weekdays = (
            _field(field, *rules) for field, rules in zip(fields, _FIELDS, strict=True)
        )
        found = cls(
            text=" ".join(fields),
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=frozenset(days),
            months=frozenset(months),
            weekdays=frozenset(day % 7 for day in weekdays),
            either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        )
        if found._search(datetime(2024, 1, 1, tzinfo=UTC), 1) is None:
            raise ValueError(f"{text!r} names a day that no calendar has")
        return found

    def newest(self, now: datetime) -> datetime | None:
        """The last tick that is not after `now`; None where there was none for years."""
        return self._search(now, -1)

    def next(self, now: datetime) -> datetime | None:
        """The first tick after `now`."""
        return self._search(now, 1)

    def _search(self, now: datetime, step: int) -> datetime | None:
        now = now.astimezone(UTC)
        day, last = now.date(), (now + step * _HORIZON).date()
        while (day <= last) if step > 0 else (day >= last):
            if self._on(day):
                ticks = (
                    datetime.combine(day, time(hour, minute), UTC)
                    for hour in self.hours[::step]
                    for minute in self.minutes[::step]
                )
                for tick in ticks:
                    if (tick > now) if step > 0 else (tick <= now):
                        return tick
            day += timedelta(days=step)
        return None

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def _field(field: str, name: str, lowest: int, highest: int, names: Mapping[str, int]) -> set[int]:
    """The numbers that a field means."""

    def number(part: str) -> int:
        found = names.get(part.lower(), int(part) if part.isascii() and part.isdigit() else -1)
        if not lowest <= found <= highest:
            raise ValueError(f"{part!r} is no {name}: {lowest} to {highest}")
        return found

    found: set[int] = set()
    for part in field.split(","):
        span, _, every = part.partition("/")
        if "/" in part and not (every.isascii() and every.isdigit() and int(every) > 0):
            raise ValueError(f"{part!r} has a step that is no number above 0 ({name})")
        if span == "*":
            first, last = lowest, highest
        else:
            begin, dash, end = span.partition("-")
            first = number(begin)
            last = number(end) if dash else highest if every else first
        if last < first:
            raise ValueError(f"{part!r} ends before it begins ({name})")
        found.update(range(first, last + 1, int(every) if every else 1))
    return found
