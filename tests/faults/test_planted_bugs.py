"""Defects planted in the safeguards: load and checker must notice every one of them (quality.md, Faults)."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from shared import failpoints
from support.books.checker import find_differences
from support.books.fact_log import FactLog
from support.books.quiet import wait_until_quiet
from support.cap_race import race_for_one_cap
from support.faults import spawn, wait_until_ready
from support.load.driver import LoadDriver
from support.load.expectation import expect
from support.planted import DEFECTS, REACHED_FILE
from support.trial import Trial, running_trial
from support.waiting import wait_until

_DRIVE_SECONDS: Final = 30
_QUIET_SECONDS: Final = 40
_TESTS: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Planted:
    """Where a defect is planted, what brings it to light, and what the checker must say of it."""

    service: str
    says: str
    settings: Mapping[str, str] = field(default_factory=dict)
    races: bool = False
    repeats: bool = False


PLANTED: Final = {
    "claim always fresh": Planted("release", "counted as applied|was refused although", repeats=True),
    "acknowledge before commit": Planted(
        "release",
        "are accounted for",
        settings={"SLUICE_FAILPOINTS": f"{failpoints.CONSUMER_BEFORE_COMMIT}:12"},
    ),
    "delete before send": Planted(
        "release",
        "0 on the topic, 1 wanted",
        settings={"SLUICE_FAILPOINTS": f"{failpoints.RELAY_BEFORE_SEND}:8"},
    ),
    "skip project lock": Planted("release", "counts on without a leap", races=True),
    "less than": Planted("release", "stage of|released total of"),
}


def test_every_defect_is_planted() -> None:
    assert PLANTED.keys() == DEFECTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PLANTED))
async def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    planted = PLANTED[name]
    reached = tmp_path / "reached"
    with running_trial() as trial:
        system = trial.system
        system.pause_watch(planted.service)
        await asyncio.to_thread(system.services[planted.service].stop)
        module = system.services[planted.service].service.module
        program = f"from support.planted import run; run({name!r}, {module!r})"
        settings = {"PYTHONPATH": str(_TESTS), REACHED_FILE: str(reached), **planted.settings}
        spawn(system, planted.service, settings=settings, arguments=["-c", program])
        if not planted.settings:
            await wait_until_ready(system, planted.service)
        found = await (_race(trial) if planted.races else _load(trial, planted))
    assert reached.exists(), f"nothing came to where {name!r} is planted"
    assert any(re.search(planted.says, each) for each in found), found[:50]


async def _race(trial: Trial) -> list[str]:
    race = await race_for_one_cap(trial, events=600, fitting=250)
    found = [f"answered: {answer}" for answer in race.answers if answer[0] not in (200, 409)]
    return found + await trial.differences()


async def _load(trial: Trial, planted: Planted) -> list[str]:
    """What is found after a load; it need not come to its end, and the system need not become quiet."""
    plan = trial.plan(events=300)
    found = []
    async with LoadDriver(trial.system, plan, events_per_second=200) as driver:
        dying = asyncio.create_task(_start_again_once_dead(trial, planted))
        try:
            await driver.run(seconds=_DRIVE_SECONDS)
        except AssertionError as error:
            found.append(str(error))
        if planted.repeats:
            await driver.send(list(driver.sent))
        await dying
        try:
            await wait_until_quiet(trial.system, seconds=_QUIET_SECONDS)
        except AssertionError as error:
            found.append(str(error))
        return found + await find_differences(
            trial.system, FactLog(), expected=[expect(plan)], sent=driver.sent
        )


async def _start_again_once_dead(trial: Trial, planted: Planted) -> None:
    if not planted.settings:
        return
    process = trial.system.services[planted.service]

    async def is_dead() -> bool:
        return not process.is_running()

    await wait_until(is_dead, seconds=_DRIVE_SECONDS, what=f"{planted.service}'s death")
    spawn(trial.system, planted.service)
    await wait_until_ready(trial.system, planted.service)
