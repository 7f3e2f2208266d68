"""Services that die at any moment, and at every named point (quality.md, Faults)."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Final

import pytest

from shared import failpoints
from support.faults import armed, kill_at_random
from support.load.driver import LoadDriver
from support.trial import Trial

_KIT: Final = (
    failpoints.CONSUMER_BEFORE_TRANSACTION,
    failpoints.CONSUMER_BEFORE_COMMIT,
    failpoints.CONSUMER_AFTER_COMMIT,
    failpoints.RELAY_BEFORE_SEND,
    failpoints.RELAY_AFTER_SEND,
)
_SERVICES: Final = ("release", "accounting-connector", "billing-runs", "notifier")

Points = Mapping[str, tuple[str, int]]

# Each point once: the kit's points in one service or another, the others in the service that has them.
_SHORT: Final[tuple[Points, ...]] = (
    {
        "release": (failpoints.CONSUMER_BEFORE_COMMIT, 5),
        "accounting-connector": (failpoints.NUMBER_BEFORE_INSERT, 3),
        "billing-runs": (failpoints.STEP_AFTER_COMMIT, 2),
        "notifier": (failpoints.MAIL_AFTER_TAKEN, 1),
    },
    {
        "release": (failpoints.JOB_AFTER_CHUNK, 1),
        "accounting-connector": (failpoints.RELAY_AFTER_SEND, 5),
        "billing-runs": (failpoints.CONSUMER_AFTER_COMMIT, 3),
        "notifier": (failpoints.CONSUMER_BEFORE_TRANSACTION, 3),
    },
    {
        "release": (failpoints.RELAY_BEFORE_SEND, 5),
        "accounting-connector": (failpoints.RENDERING, 2),
    },
)
_LONG: Final[tuple[Points, ...]] = (
    *(dict.fromkeys(_SERVICES, (point, count)) for point in _KIT for count in (1, 7)),
    *(
        {
            "release": (failpoints.JOB_AFTER_CHUNK, count),
            "accounting-connector": (point, count),
            "billing-runs": (failpoints.STEP_AFTER_COMMIT, count),
            "notifier": (failpoints.MAIL_AFTER_TAKEN, count),
        }
        for point in (failpoints.NUMBER_BEFORE_INSERT, failpoints.RENDERING)
        for count in (1, 3)
    ),
)


@pytest.mark.parametrize(
    ("kills", "events", "events_per_second"),
    [
        pytest.param(3, 600, 60, id="3-of-each"),
        pytest.param(50, 20_000, 60, id="50-of-each", marks=[pytest.mark.slow, pytest.mark.timeout(1_800)]),
    ],
)
@pytest.mark.timeout(240)
async def test_killed_services_lose_nothing_and_do_nothing_twice(
    trial: Trial, kills: int, events: int, events_per_second: float
) -> None:
    plan = trial.plan(events=events)
    random = Random(plan.code)

    async def kill_all(_: LoadDriver) -> None:
        await asyncio.gather(
            *(
                kill_at_random(trial.system, service, random=random, kills=kills, pause_seconds=6)
                for service in _SERVICES
            )
        )

    await trial.hold(plan, events_per_second=events_per_second, during=kill_all)


def _name(points: Points) -> str:
    return ",".join(f"{service}-{point}-{count}" for service, (point, count) in points.items())


@pytest.mark.parametrize(
    "points",
    [
        *(pytest.param(points, id=_name(points)) for points in _SHORT),
        *(pytest.param(points, id=f"long-{_name(points)}", marks=pytest.mark.slow) for points in _LONG),
    ],
)
@pytest.mark.timeout(240)
async def test_services_that_die_at_a_named_point_lose_nothing_and_do_nothing_twice(
    trial: Trial, points: Points
) -> None:
    plan = trial.plan(events=200)
    async with armed(trial.system, points) as all_back:

        async def wait(_: LoadDriver) -> None:
            await all_back()

        await trial.hold(plan, events_per_second=200, during=wait)


def test_every_named_point_is_died_at() -> None:
    known = {value for name, value in vars(failpoints).items() if name.isupper() and isinstance(value, str)}
    assert {point for points in _SHORT for point, _ in points.values()} == known
    counts = [point for points in _LONG for point, _ in points.values()]
    assert all(counts.count(point) >= 2 for point in known)
