"""PostgreSQL and the broker die, are away for a while, or are not there yet when the services start."""

import asyncio
import collections
import json
import os
import signal
import time
from typing import Protocol, runtime_checkable

import httpx
import pytest

from sluice.infrastructure.kafka import ApacheKafka
from support.faults import revive, spawn, wait_until_ready
from support.load.driver import LoadDriver
from support.load.plan import Kind, Plan
from support.trial import Trial
from support.waiting import wait_until

_ANSWER_SECONDS_MAX = 30.0
_SILENT_SECONDS = 20.0
_LINES_MAX = 30
"""What a service may log of a broker that is away, however long: each kind of message of each part, once."""


@runtime_checkable
class Killable(Protocol):
    """A server that is a process of our own."""

    @property
    def description(self) -> str: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


@pytest.mark.parametrize("server", ["database", "broker"])
@pytest.mark.parametrize(
    ("kills", "events"),
    [
        pytest.param(1, 250, id="once"),
        pytest.param(10, 4_000, id="10-times", marks=pytest.mark.slow),
    ],
)
async def test_a_killed_server_loses_nothing_that_was_acknowledged(
    trial: Trial, server: str, kills: int, events: int
) -> None:
    async def kill(driver: LoadDriver) -> None:
        for number in range(kills):
            await driver.wait_until_sent(events * (number + 1) // (kills + 1))
            trial.system.pause_watch(server)
            await asyncio.to_thread(_server(trial, server).kill)
            await revive(trial.system, server)

    await trial.hold(trial.plan(events=events), events_per_second=100, during=kill)


@pytest.mark.parametrize(
    "away_seconds",
    [
        pytest.param(10, id="10-s"),
        pytest.param(60, id="60-s", marks=[pytest.mark.slow]),
    ],
)
async def test_http_works_while_the_broker_is_away_and_its_facts_follow(
    trial: Trial, away_seconds: float
) -> None:
    plan = trial.plan(events=200)
    plan.events = plan.of(Kind.HTTP, Kind.COMMAND, Kind.CREDIT, Kind.WAITING)
    releases = len(plan.of(Kind.HTTP))
    assert releases, "the plan has events to release over HTTP"

    async def be_away(driver: LoadDriver) -> None:
        await driver.wait_until_http_is_held(releases)
        trial.system.pause_watch("broker")
        await asyncio.to_thread(trial.system.infrastructure.broker.stop)
        gone_at = time.monotonic()
        driver.hold_http(False)
        await wait_until(driver.has_no_http_left, what="answers without a broker")
        assert all(await _statuses(trial, "live")), "the services live on"
        await asyncio.sleep(max(0.0, away_seconds - (time.monotonic() - gone_at)))
        if away_seconds > 30:
            assert not all(await _statuses(trial, "ready")), "a service that cannot publish says so"
        await revive(trial.system, "broker")

    await trial.hold(plan, events_per_second=200, during=be_away, holds_http=True)


@pytest.mark.slow
@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "refusing"])
async def test_a_silent_broker_is_told_by_every_service_in_few_words_and_leaves_http(
    trial: Trial, is_frozen: bool
) -> None:
    system, broker = trial.system, trial.system.infrastructure.broker
    assert isinstance(broker, ApacheKafka)
    pid = broker.pid
    assert pid is not None
    logs = {name: process.log for name, process in system.services.items()}
    written = {name: len(log.read_bytes()) for name, log in logs.items()}

    async def degraded() -> bool:
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS_MAX, trust_env=False) as client:
            answers = [await client.get(f"{each.url}/health/ready") for each in system.services.values()]
        assert {each.status_code for each in answers} == {httpx.codes.OK}
        return {each.json()["checks"]["broker"]["status"] for each in answers} == {"degraded"}

    system.pause_watch("broker")
    if is_frozen:
        os.kill(pid, signal.SIGSTOP)
    else:
        await asyncio.to_thread(broker.stop)
    try:
        await wait_until(degraded, what="a broker that is told to be away")
        await asyncio.sleep(_SILENT_SECONDS)
        assert await degraded()
        said = {name: log.read_bytes()[written[name] :].splitlines() for name, log in logs.items()}
    finally:
        if is_frozen:
            os.kill(pid, signal.SIGCONT)
            system.resume_watch("broker")
        else:
            await revive(system, "broker")
    await wait_until_ready(system)
    for name, lines in said.items():
        assert len(lines) < _LINES_MAX, (name, collections.Counter(map(_event_of, lines)).most_common(20))


def _event_of(line: bytes) -> str:
    entry = json.loads(line)
    return f"{entry['logger']}: {entry['event']}"


async def test_services_wait_for_servers_that_are_not_there_yet(trial: Trial) -> None:
    system = trial.system
    for service in system.services:
        system.pause_watch(service)
    await asyncio.gather(*(asyncio.to_thread(process.stop) for process in system.services.values()))
    for server in ("broker", "database"):
        system.pause_watch(server)
        await asyncio.to_thread(_server(trial, server).stop)
    for service in system.services:
        spawn(system, service)
    pids = {name: process.pid for name, process in system.services.items()}

    async def all_live() -> bool:
        return all(await _statuses(trial, "live"))

    await wait_until(all_live, what="an answer of each service that it lives")
    assert not any(await _statuses(trial, "ready")), "without servers no service is ready"
    await revive(system, "database", "broker")
    assert {name: process.pid for name, process in system.services.items()} == pids, (
        "none has ended meanwhile"
    )
    for service in system.services:
        system.resume_watch(service)
    await trial.hold(_small(trial), events_per_second=100)


def _small(trial: Trial) -> Plan:
    plan = trial.plan(events=180)
    plan.events = [event for event in plan.events if event.group is None]
    return plan


def _server(trial: Trial, name: str) -> Killable:
    server = trial.system.infrastructure.servers[name]
    assert isinstance(server, Killable), f"{server.description} is not ours to kill"
    return server


async def _statuses(trial: Trial, what: str) -> list[bool]:
    """Whether each service says that it lives, or is ready and not even degraded."""

    async def ask(client: httpx.AsyncClient, url: str) -> bool:
        try:
            answer = await client.get(f"{url}/health/{what}")
        except httpx.HTTPError:
            return False
        is_degraded = what == "ready" and answer.json()["status"] == "degraded"
        return answer.status_code == httpx.codes.OK and not is_degraded

    async with httpx.AsyncClient(timeout=_ANSWER_SECONDS_MAX, trust_env=False) as client:
        urls = [process.url for process in trial.system.services.values()]
        return list(await asyncio.gather(*(ask(client, url) for url in urls)))
