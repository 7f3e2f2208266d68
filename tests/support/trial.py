"""A system that is put to the test: load on it, something done to it meanwhile, and its books when all is quiet."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sluice.system import System
from support.books.checker import find_differences
from support.books.fact_log import FactLog
from support.books.quiet import wait_until_quiet
from support.load.driver import LoadDriver
from support.load.expectation import Expectation, expect
from support.load.plan import CHUNK_EVENTS, Plan, make_plan
from support.load.records import Record
from support.running import running_system

SETTINGS: Final[Mapping[str, str]] = {
    "RELEASE_BATCH_SIZE": str(CHUNK_EVENTS),
    # A command that waits for what a service that is away has not told yet is not to be given up.
    "COMMAND_WAIT_SECONDS": "300",
    "OPERATORS": "operators@example.com",
}
# What is committed must outlive the server's process, as it would in production; the machine itself does not fail.
_POSTGRES: Final = {"fsync": "off"}

During = Callable[[LoadDriver], Awaitable[None]]


class Trial:
    """One system and all that it has been given so far."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._numbers = itertools.count(1)
        self._expected: list[Expectation] = []
        self._sent: list[Record] = []
        self._told = FactLog()

    def plan(self, *, events: int, seed: int | None = None) -> Plan:
        """A plan with ids of its own."""
        number = next(self._numbers)
        return make_plan(f"T{number}", seed=number if seed is None else seed, events=events)

    async def hold(
        self,
        plan: Plan,
        *,
        events_per_second: float,
        during: During | None = None,
        holds_http: bool = False,
    ) -> None:
        """Send the plan; meanwhile do something to the system; then everything must be as the plan says.

        `holds_http`: releases over HTTP are kept back until `during` lets them go.
        Raises AssertionError with the differences, or with what did not come to an end.
        """
        differences = await self.differences_after(
            plan, events_per_second=events_per_second, during=during, holds_http=holds_http
        )
        assert not differences, "\n".join(differences)

    async def differences_after(
        self,
        plan: Plan,
        *,
        events_per_second: float,
        during: During | None = None,
        holds_http: bool = False,
    ) -> list[str]:
        """The same, for those who want to see the differences."""
        async with LoadDriver(self.system, plan, events_per_second=events_per_second) as driver:
            await wait_until_quiet(self.system)
            driver.hold_http(holds_http)
            load = asyncio.create_task(driver.run())
            try:
                if during is not None:
                    await during(driver)
                await load
            finally:
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            self._expected.append(expect(plan))
            self._sent += driver.sent
        return await self.differences()

    async def differences(self) -> list[str]:
        """What does not balance of all that this system was ever given, once it is quiet."""
        await wait_until_quiet(self.system)
        found = await find_differences(self.system, self._told, expected=self._expected, sent=self._sent)
        if not found:
            self._sent.clear()  # what is stored or a dead letter stays so
        return found

    def note_sent(self, *records: Record) -> None:
        """Records that were sent beside a plan: they, too, must be stored or dead letters."""
        self._sent += records


@contextmanager
def running_trial(settings: Mapping[str, str] | None = None) -> Iterator[Trial]:
    """A system on free ports, watched as `sluice up` does."""
    settings = {**SETTINGS, **(settings or {})}
    with running_system(settings=settings, postgres_settings=_POSTGRES) as system:
        yield Trial(system)
