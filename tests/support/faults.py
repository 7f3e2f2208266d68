"""What can be done to a running system: services killed, frozen, ended at a named point, joined by a replica."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError

from shared.failpoints import KILLED_EXIT_CODE
from sluice.infrastructure.ports import LOOPBACK, free_port, listens
from sluice.infrastructure.processes import Command, ManagedProcess
from sluice.service_process import STOP_SECONDS_MAX, ServiceProcess
from sluice.system import System
from support.books.quiet import look
from support.waiting import wait_until

READY_SECONDS_MAX: Final = 240.0
DEATH_SECONDS_MAX: Final = 240.0
FAILPOINTS: Final = "SLUICE_FAILPOINTS"


def spawn(
    system: System,
    service: str,
    *,
    settings: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Start a service that does not run, with settings beside its own, without waiting until it is ready.

    `arguments` replace `-m MODULE`: a way of starting it that is not its own.
    """
    process = system.services[service]
    assert not process.is_running(), f"{service} runs"
    process._environment = {**system._environment(process), **(settings or {})}
    if arguments is None:
        process._spawn()
        return
    own = {"HTTP_HOST": LOOPBACK, "HTTP_PORT": str(process.port), "INSTANCE_ID": f"{service}-1"}
    process._process = _managed(system, process, service, [sys.executable, *arguments], own)


def _managed(
    system: System, process: ServiceProcess, name: str, arguments: Sequence[str], own: Mapping[str, str]
) -> ManagedProcess:
    command = Command(
        name=name,
        arguments=arguments,
        folder=process.log.parent,
        log=process.log.with_name(f"{name}.log"),
        environment={**process._environment, **own},
        stop_seconds=STOP_SECONDS_MAX,
    )
    managed = ManagedProcess(command, system.state.run)
    managed.start()
    return managed


async def wait_until_ready(system: System, *services: str) -> None:
    """Wait until these services, or all of them, say that they are ready."""
    for name in services or system.services:
        process = system.services[name]
        await wait_until(
            lambda process=process: asyncio.to_thread(process.is_ready),  # type: ignore[misc]
            seconds=READY_SECONDS_MAX,
            what=f"readiness of {name} ({process.log})",
        )


async def kill_at_random(
    system: System, service: str, *, random: Random, kills: int, pause_seconds: float
) -> None:
    """Kill the service again and again, at random moments, also while it is starting; at the end it runs."""
    system.pause_watch(service)
    process = system.services[service]
    for _ in range(kills):
        await asyncio.sleep(random.uniform(0, pause_seconds))
        await asyncio.to_thread(process.kill)
        spawn(system, service)
    system.resume_watch(service)
    await wait_until_ready(system, service)


@asynccontextmanager
async def armed(
    system: System, points: Mapping[str, Sequence[tuple[str, int]]]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Services that die at named points, one after the other, and are at last started again without any.

    `points` are by service the failpoints, each with the count at which it ends the process. Gives what waits until
    all have died everywhere and are back; raises AssertionError if one does not die, or dies of something else.
    """
    deaths = []
    for service in points:
        system.pause_watch(service)
        await asyncio.to_thread(system.services[service].stop)
    for service, sequence in points.items():
        deaths.append(asyncio.create_task(_die_at_each(system, service, sequence)))

    async def all_back() -> None:
        await asyncio.gather(*deaths)
        await wait_until_ready(system, *points)

    try:
        yield all_back
    finally:
        for death in deaths:
            death.cancel()
        ends = await asyncio.gather(*deaths, return_exceptions=True)
        for service, end in zip(points, ends, strict=True):
            if end is not None:  # it may run with its failpoint still
                await asyncio.to_thread(system.services[service].kill)
                spawn(system, service)
            system.resume_watch(service)


async def _die_at_each(system: System, service: str, sequence: Sequence[tuple[str, int]]) -> None:
    for point, count in sequence:
        spawn(system, service, settings={FAILPOINTS: f"{point}:{count}"})
        await wait_for_death(system.services[service], point)
    spawn(system, service)


async def wait_for_death(process: ServiceProcess, point: str) -> None:
    """Wait until a service has died at its failpoint. Raises AssertionError if it lives, or dies of something else."""
    service = process.service.name
    child = process._process._child if process._process is not None else None
    assert child is not None, f"{service} was not started"

    async def has_ended() -> bool:
        return child.poll() is not None

    await wait_until(has_ended, seconds=DEATH_SECONDS_MAX, what=f"{service}'s death at {point}")
    assert child.returncode == KILLED_EXIT_CODE, f"{service} ended with {child.returncode}, not at {point}"


async def revive(system: System, *servers: str) -> None:
    """Let the watch start servers again that were left dead, and wait until they and all services are back."""
    for name in servers:
        system.resume_watch(name)

    async def answer() -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError, KafkaError, TimeoutError):
            await look(system)
            return True
        return False

    await wait_until(answer, seconds=READY_SECONDS_MAX, what=f"{', '.join(servers)} to answer again")
    await wait_until_ready(system)


@asynccontextmanager
async def replica(system: System, service: str) -> AsyncIterator[ManagedProcess]:
    """A second instance of the service, ready when given; killed at the end."""
    process = system.services[service]
    port = free_port()
    own = {"HTTP_HOST": LOOPBACK, "HTTP_PORT": str(port), "INSTANCE_ID": f"{service}-2"}
    arguments = [sys.executable, "-m", process.service.module]
    managed = _managed(system, process, f"{service}-2", arguments, own)
    try:
        await wait_until(
            lambda: _listens(managed, port), seconds=READY_SECONDS_MAX, what=f"{service}'s replica"
        )
        yield managed
    finally:
        await asyncio.to_thread(managed.kill)


async def _listens(managed: ManagedProcess, port: int) -> bool:
    return managed.pid is not None and listens(managed.pid, port)


async def freeze(process: ServiceProcess, *, seconds: float) -> None:
    """Stop the process as a machine that hangs does, and wake it after a while."""
    pid = process.pid
    assert pid is not None, f"{process.service.name} does not run"
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - started >= seconds, "it was frozen for as long as was asked"
