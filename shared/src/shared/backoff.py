"""How long to wait before what has failed is tried again: twice as long each time, up to a limit, with jitter."""

import asyncio
import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """The waits of one thing that may fail again and again; `succeeded` brings them back to the first one.

    A wait lies between half of the full one and the full one, so that those who failed together do not come together.
    """

    first_seconds: float
    seconds_max: float
    failures: int = 0

    def succeeded(self) -> None:
        """The next wait is the first one again."""
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; gives how long to wait (seconds) before the next try."""
        # Bounded, or the power of a thing that has failed for days would be no number any more.
        full_seconds = min(self.first_seconds * 2.0 ** min(self.failures, 64), self.seconds_max)
        self.failures += 1
        return random.uniform(full_seconds / 2, full_seconds)  # noqa: S311 - jitter, not a secret

    async def wait(self) -> None:
        """Count a failure, and wait."""
        await asyncio.sleep(self.failed())
