"""Due instants in business time: months' ends, leap days, daylight saving, outages."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.schedule import Every, Schedule, due_since, latest_due, next_due

LONDON, NEW_YORK, KOLKATA = ZoneInfo("Europe/London"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
LORD_HOWE, AUCKLAND = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Auckland")
ZONES = [ZoneInfo("UTC"), LONDON, NEW_YORK, KOLKATA, LORD_HOWE, AUCKLAND]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(schedule: Schedule, after: str, zone: ZoneInfo, count: int) -> list[str]:
    found, due = [], utc(after)
    for _ in range(count):
        due = next_due(schedule, due, zone)
        found.append(f"{due:%Y-%m-%d %H:%M}")
    return found


def test_hourly_has_its_minute_in_local_time() -> None:
    hourly = Schedule(Every.HOUR, time(2, 15))
    assert following(hourly, "2026-01-01 10:15", LONDON, 2) == ["2026-01-01 11:15", "2026-01-01 12:15"]
    assert following(hourly, "2026-01-01 10:14", LONDON, 1) == ["2026-01-01 10:15"]
    # Kolkata is five hours and a half ahead.
    assert following(hourly, "2026-01-01 10:00", KOLKATA, 2) == ["2026-01-01 10:45", "2026-01-01 11:45"]


def test_hourly_runs_through_both_changes_of_daylight_time() -> None:
    hourly = Schedule(Every.HOUR, time(0, 0))
    for day in ("2026-03-29", "2026-10-25"):
        assert following(hourly, f"{day} 00:00", LONDON, 3) == [f"{day} 0{hour}:00" for hour in (1, 2, 3)]


def test_daily_keeps_its_local_time_over_daylight_saving() -> None:
    daily = Schedule(Every.DAY, time(9, 0))
    assert following(daily, "2026-03-27 12:00", LONDON, 3) == [
        "2026-03-28 09:00",
        "2026-03-29 08:00",
        "2026-03-30 08:00",
    ]


def test_a_time_that_is_skipped_is_due_after_the_jump_and_a_repeated_one_once() -> None:
    daily = Schedule(Every.DAY, time(1, 30))
    # 29 March, 01:30 does not exist in London: 02:30 summer time is 01:30 UTC.
    assert following(daily, "2026-03-28 12:00", LONDON, 2) == ["2026-03-29 01:30", "2026-03-30 00:30"]
    # 25 October, 01:30 comes twice: first at 00:30 UTC.
    assert following(daily, "2026-10-24 12:00", LONDON, 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]


def test_weekly_is_due_on_its_weekday() -> None:
    mondays = Schedule(Every.WEEK, time(2, 0), weekday=1)
    assert following(mondays, "2026-11-18 00:00", ZoneInfo("UTC"), 2) == [
        "2026-11-23 02:00",
        "2026-11-30 02:00",
    ]
    # Sunday evening in New York is Monday in UTC.
    sundays = Schedule(Every.WEEK, time(22, 0), weekday=7)
    assert following(sundays, "2026-11-18 00:00", NEW_YORK, 1) == ["2026-11-23 03:00"]


@pytest.mark.parametrize(
    "day, after, expected",
    [
        (31, "2026-01-15 00:00", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        (31, "2028-01-31 12:00", ["2028-02-29", "2028-03-31"]),
        (29, "2027-02-01 00:00", ["2027-02-28", "2027-03-29"]),
        (30, "2028-02-01 00:00", ["2028-02-29", "2028-03-30"]),
        (1, "2026-12-31 23:00", ["2027-01-01", "2027-02-01"]),
    ],
)
def test_monthly_takes_the_last_day_of_a_short_month(day: int, after: str, expected: list[str]) -> None:
    monthly = Schedule(Every.MONTH, time(6, 0), day=day)
    assert following(monthly, after, ZoneInfo("UTC"), len(expected)) == [f"{each} 06:00" for each in expected]


@pytest.mark.parametrize("every, missed", [(Every.HOUR, "05:00"), (Every.DAY, "02:00")])
def test_an_outage_is_caught_up_once(every: Every, missed: str) -> None:
    schedule = Schedule(every, time(2, 0))
    now, zone = utc("2026-11-20 05:30"), ZoneInfo("UTC")
    due = due_since(schedule, utc("2026-10-01 00:00"), now, zone)
    assert due == utc(f"2026-11-20 {missed}")
    assert due_since(schedule, due, now, zone) is None


def test_nothing_is_due_before_its_time() -> None:
    schedule = Schedule(Every.DAY, time(2, 0))
    set_at = utc("2026-11-20 02:30")
    assert due_since(schedule, set_at, utc("2026-11-21 01:59:59"), ZoneInfo("UTC")) is None
    assert due_since(schedule, set_at, utc("2026-11-21 02:00"), ZoneInfo("UTC")) == utc("2026-11-21 02:00")


@pytest.mark.parametrize(
    "every, weekday, day",
    [(Every.WEEK, None, None), (Every.WEEK, 0, None), (Every.MONTH, None, None), (Every.MONTH, 1, 32)],
)
def test_a_schedule_without_its_day_is_refused(every: Every, weekday: int | None, day: int | None) -> None:
    with pytest.raises(ValueError, match="schedule needs a"):
        Schedule(every, time(2, 0), weekday=weekday, day=day)


@given(
    every=st.sampled_from(Every),
    at=st.times().map(lambda moment: moment.replace(second=0, microsecond=0)),
    weekday=st.integers(1, 7),
    day=st.integers(1, 31),
    zone=st.sampled_from(ZONES),
    now=st.timedeltas(timedelta(0), timedelta(days=5500)).map(lambda past: utc("2020-01-01 00:00") + past),
)
def test_next_and_latest_are_neighbours(
    every: Every, at: time, weekday: int, day: int, zone: ZoneInfo, now: datetime
) -> None:
    schedule = Schedule(every, at, weekday=weekday, day=day)
    latest, following_due = latest_due(schedule, now, zone), next_due(schedule, now, zone)
    assert latest <= now < following_due
    assert next_due(schedule, latest, zone) == following_due
    assert latest_due(schedule, following_due, zone) == following_due
    assert latest_due(schedule, following_due - timedelta(microseconds=1), zone) == latest
    longest = {Every.HOUR: timedelta(hours=2), Every.DAY: timedelta(hours=26), Every.WEEK: timedelta(days=8)}
    assert following_due - latest <= longest.get(every, timedelta(days=32))
