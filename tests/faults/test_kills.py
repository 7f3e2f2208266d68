"""Services that die at any moment, and at every named point (quality.md, Faults)."""

import asyncio
from collections.abc import Mapping, Sequence
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

Points = Mapping[str, Sequence[tuple[str, int]]]

# Each point once: the kit's points in one service or another, the others in the service that has them. First what is
# met as soon as anything comes, then what is met only once: however slow the machine, it is still to come.
_EACH_ONCE: Final[Points] = {
    "release": (
        (failpoints.CONSUMER_BEFORE_COMMIT, 2),
        (failpoints.RELAY_BEFORE_SEND, 1),
        (failpoints.JOB_AFTER_CHUNK, 1),
    ),
    "accounting-connector": (
        (failpoints.RELAY_AFTER_SEND, 1),
        (failpoints.NUMBER_BEFORE_INSERT, 2),
        (failpoints.RENDERING, 2),
    ),
    "billing-runs": ((failpoints.CONSUMER_AFTER_COMMIT, 1), (failpoints.STEP_AFTER_COMMIT, 2)),
    "notifier": ((failpoints.CONSUMER_BEFORE_TRANSACTION, 1), (failpoints.MAIL_AFTER_TAKEN, 1)),
}
# How often a service meets a point at the least: the notifier hears of little, and tells little.
_MET: Final = {"notifier": 2}
_LONG: Final[tuple[Points, ...]] = (
    *(
        {service: ((point, min(count, _MET.get(service, count))),) for service in _SERVICES}
        for point in _KIT
        for count in (1, 7)
    ),
    *(
        {
            "release": ((failpoints.JOB_AFTER_CHUNK, count),),
            "accounting-connector": ((point, count),),
            "billing-runs": ((failpoints.STEP_AFTER_COMMIT, count),),
            "notifier": ((failpoints.MAIL_AFTER_TAKEN, count),),
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


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(_EACH_ONCE, id="each-point-once"),
        *(
            pytest.param(points, id=f"long-{place}", marks=pytest.mark.slow)
            for place, points in enumerate(_LONG)
        ),
    ],
)
async def test_services_that_die_at_a_named_point_lose_nothing_and_do_nothing_twice(
    trial: Trial, points: Points
) -> None:
    plan = trial.plan(events=200)
    async with armed(trial.system, points) as all_back:

        async def wait(driver: LoadDriver) -> None:
            try:
                await all_back()
            except AssertionError as error:
                raise AssertionError(f"{error}; left to do: {driver.left}") from error

        await trial.hold(plan, events_per_second=200, during=wait)


def test_every_named_point_is_died_at() -> None:
    known = {value for name, value in vars(failpoints).items() if name.isupper() and isinstance(value, str)}
    known.discard(
        failpoints.BETWEEN_CLAIMS
    )  # a run under load claims all at once; test_run_kills.py has one that does not
    assert {point for sequence in _EACH_ONCE.values() for point, _ in sequence} == known
    often = [point for points in _LONG for sequence in points.values() for point, _ in sequence]
    assert all(often.count(point) >= 2 for point in known)
