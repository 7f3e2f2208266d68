"""Instances that join, leave and hang: whoever takes over does nothing twice with what the other one still holds."""

import asyncio
from typing import Final

import pytest

from support.faults import freeze, replica, wait_until_ready
from support.load.driver import LoadDriver
from support.trial import Trial

SESSION_SECONDS: Final = 45
_SERVICES: Final = ("release", "accounting-connector", "billing-runs", "notifier")


@pytest.mark.parametrize(
    ("services", "rounds", "events"),
    [
        pytest.param(("release", "accounting-connector"), 1, 300, id="once", marks=pytest.mark.slow),
        pytest.param(_SERVICES, 5, 6_000, id="5-times-each", marks=pytest.mark.slow),
    ],
)
async def test_replicas_that_join_and_leave_share_the_work(
    trial: Trial, services: tuple[str, ...], rounds: int, events: int
) -> None:
    async def join_and_leave(service: str, driver: LoadDriver) -> None:
        for number in range(1, rounds + 1):
            async with replica(trial.system, service):
                await driver.wait_until_sent(events * number // rounds)

    async def during(driver: LoadDriver) -> None:
        await asyncio.gather(*(join_and_leave(service, driver) for service in services))

    await trial.hold(trial.plan(events=events), events_per_second=50, during=during)


@pytest.mark.slow
@pytest.mark.parametrize("service", _SERVICES)
async def test_a_service_frozen_past_its_session_wakes_as_a_zombie_that_does_nothing_twice(
    trial: Trial, service: str
) -> None:
    async def hang(driver: LoadDriver) -> None:
        async with replica(trial.system, service):
            await driver.wait_until_sent(500)
            await freeze(trial.system.services[service], seconds=SESSION_SECONDS + 15)
            await wait_until_ready(trial.system, service)

    await trial.hold(trial.plan(events=4_000), events_per_second=50, during=hang)
