"""When a company's scheduled process run is due, in business time (domain.md section 4, "Ways in")."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import count
from typing import Final
from zoneinfo import ZoneInfo

_DAY: Final = timedelta(days=1)
_HALF_HOUR: Final = timedelta(minutes=30)
"""No clock changes by less, so that no local hour is stepped over."""


class Every(StrEnum):
    """How often a schedule is due."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule in business time. Raises ValueError if a week has no weekday or a month no day.

    at: the time of day; hourly: its minute of every hour.
    weekday: 1 (Monday) to 7 (Sunday), for `week`.
    day: 1 to 31, for `month`; a month without that day is due on its last day.
    """

    every: Every
    at: time
    weekday: int | None = None
    day: int | None = None

    def __post_init__(self) -> None:
        if self.every is Every.WEEK and (self.weekday is None or not 1 <= self.weekday <= 7):
            raise ValueError("a weekly schedule needs a weekday from 1 (Monday) to 7 (Sunday)")
        if self.every is Every.MONTH and (self.day is None or not 1 <= self.day <= 31):
            raise ValueError("a monthly schedule needs a day from 1 to 31")


def next_due(schedule: Schedule, after: datetime, zone: ZoneInfo) -> datetime:
    """The first due instant strictly after this one, in UTC.

    A time of day that daylight saving skips is due as much later as the clock jumps; one that comes twice
    is due the first time only. Hourly schedules are due every hour that passes, also in the repeated one.
    """
    if schedule.every is Every.HOUR:
        marks = (_hour_mark(schedule, after + step * _HALF_HOUR, zone) for step in count())
        return next(due for due in marks if due > after)
    first = after.astimezone(zone).date() - _DAY
    return next(due for due in _instants(schedule, first, zone, 1) if due > after)


def latest_due(schedule: Schedule, now: datetime, zone: ZoneInfo) -> datetime:
    """The last due instant not after now, in UTC; times of day as in `next_due`."""
    if schedule.every is Every.HOUR:
        marks = (_hour_mark(schedule, now - step * _HALF_HOUR, zone) for step in count())
        return next(due for due in marks if due <= now)
    first = now.astimezone(zone).date() + _DAY
    return next(due for due in _instants(schedule, first, zone, -1) if due <= now)


def due_since(schedule: Schedule, last_run: datetime, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant for which a run is due now, None if there is none: once, however many an outage has missed.

    `last_run` is the instant of the last run, or, before the first one, when the schedule was set.
    """
    due = latest_due(schedule, now, zone)
    return due if due > last_run else None


def _hour_mark(schedule: Schedule, near: datetime, zone: ZoneInfo) -> datetime:
    """The instant with the schedule's minute in the local hour around `near`."""
    local = near.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return near.astimezone(UTC) - past + timedelta(minutes=schedule.at.minute)


def _instants(schedule: Schedule, start: date, zone: ZoneInfo, direction: int) -> Iterator[datetime]:
    """The schedule's due instants on its days from `start` on, in this direction of time (1 or -1)."""
    for day in _days(schedule, start, direction):
        yield datetime.combine(day, schedule.at, tzinfo=zone).astimezone(UTC)


def _days(schedule: Schedule, start: date, direction: int) -> Iterator[date]:
    if schedule.every is Every.MONTH:
        months = start.year * 12 + start.month - 1 - direction
        while True:
            year, month = divmod(months, 12)
            last_day = calendar.monthrange(year, month + 1)[1]
            yield date(year, month + 1, min(schedule.day or last_day, last_day))
            months += direction
    day, step = start, 1
    if schedule.every is Every.WEEK:
        day += timedelta(days=((schedule.weekday or 1) - start.isoweekday()) * direction % 7 * direction)
        step = 7
    while True:
        yield day
        day += timedelta(days=step * direction)
