"""Background work of a service: a step, done again and again, at once while there is more, else after a wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from shared.backoff import Backoff
from shared.database.faults import is_transient, name_of
from shared.telemetry import metrics

BACKOFF_SECONDS_FIRST: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 15.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Worker:
    """`step` does one bounded piece of work and says whether there may be more.

    A step that fails is tried again with back-off; it must be safe to repeat (its effect is one transaction).
    `wake` lets other code of the service call for the next step before `idle_seconds` are over.
    """

    name: str
    step: Callable[[], Awaitable[bool]]
    idle_seconds: float = 1.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None
    _failed_since: float | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        backoff = Backoff(BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX)
        while True:
            self.wake.clear()
            try:
                more = await self.step()
                self.failure = None
                self._failed_since = None
                backoff.succeeded()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling() > 0:
                    raise
                more = await self._fail("cancelled from inside", backoff)
            except Exception as error:
                if is_transient(error):
                    log.warning(
                        "worker cannot go on now, trying again", worker=self.name, reason=type(error).__name__
                    )
                else:
                    log.exception("worker failed, trying again", worker=self.name)
                    metrics.count_own_fault(f"worker {self.name}")
                more = await self._fail(name_of(error), backoff)
            if not more:
                try:
                    async with asyncio.timeout(self.idle_seconds):
                        await self.wake.wait()
                except TimeoutError:
                    pass

    async def _fail(self, reason: str, backoff: Backoff) -> bool:
        self.failure = reason
        self._failed_since = self._failed_since or time.monotonic()
        await backoff.wait()
        return True

    async def check(self) -> str | None:
        """Raise if the worker has been failing for a while."""
        if self._failed_since is not None and time.monotonic() - self._failed_since > 5:
            raise RuntimeError(f"failing: {self.failure}")
        return None
