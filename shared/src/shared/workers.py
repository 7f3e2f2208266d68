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
from shared.trouble import Trouble

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
    _trouble: Trouble = field(default_factory=Trouble)
    _failed_since: float | None = None

    @property
    def failure(self) -> str | None:
        """Why the last try failed; None if it went well."""
        return self._trouble.reason

    async def run(self) -> None:
        """Work until cancelled."""
        backoff = Backoff(BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX)
        while True:
            self.wake.clear()
            try:
                more = await self.step()
                if self._trouble.ends():
                    log.info("worker goes on", worker=self.name)
                self._failed_since = None
                backoff.succeeded()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling() > 0:
                    raise
                self._trouble.begins("cancelled from inside")
                more = await self._fail(backoff)
            except Exception as error:  # noqa: BLE001 - told, and tried again
                self._tell(error)
                more = await self._fail(backoff)
            if not more:
                try:
                    async with asyncio.timeout(self.idle_seconds):
                        await self.wake.wait()
                except TimeoutError:
                    pass

    def _tell(self, error: Exception) -> None:
        is_new = self._trouble.begins(name_of(error))
        if is_transient(error):
            if is_new:
                log.warning(
                    "worker cannot go on now, trying again", worker=self.name, reason=type(error).__name__
                )
            return
        metrics.count_own_fault(f"worker {self.name}")
        if is_new:
            log.error("worker failed, trying again", worker=self.name, exc_info=error)

    async def _fail(self, backoff: Backoff) -> bool:
        self._failed_since = self._failed_since or time.monotonic()
        await backoff.wait()
        return True

    async def check(self) -> str | None:
        """Raise if the worker has been failing for a while."""
        if self._failed_since is not None and time.monotonic() - self._failed_since > 5:
            raise RuntimeError(f"failing: {self._trouble.reason}")
        return None
