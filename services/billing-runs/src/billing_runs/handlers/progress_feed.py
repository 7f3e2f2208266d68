"""The progress of runs as it comes: one look at the tables wakes the streams whose runs have moved.

A stream tells how its run stands, not every change: a slow reader misses what lies between and nothing else, there is
no queue that could overflow, and it does not matter which replica did the work.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from billing_runs.store.progress import progress_marks
from shared.database.database import Database

LOOK_SECONDS: Final = 0.5
STREAM_SECONDS_MAX: Final = 900.0
"""How long a stream lasts; its reader then comes again, with a token that is still valid."""

STREAMS_MAX: Final = 256
STREAMS_OF_ONE_MAX: Final = 8


class TooManyStreamsError(RuntimeError):
    """One reader, or all of them together, hold as many streams as there may be."""


@dataclass(eq=False, slots=True)
class Subscription:
    """One stream: whose it is, the run that it tells of, and the mark of what it has told last."""

    user_id: str
    run_id: str
    mark: str | None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class ProgressFeed:
    """The streams of one replica."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._is_closing = False

    @asynccontextmanager
    async def subscribe(self, user_id: str, run_id: str, mark: str | None) -> AsyncIterator[Subscription]:
        """A stream of a run's progress, for as long as the block lasts.

        It begins with how the run stands, unless that is what `mark` stands for. Raises TooManyStreamsError.
        """
        of_the_same = sum(each.user_id == user_id for each in self._subscriptions)
        if len(self._subscriptions) >= STREAMS_MAX or of_the_same >= STREAMS_OF_ONE_MAX:
            raise TooManyStreamsError
        subscription = Subscription(user_id, run_id, mark)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def step(self) -> bool:
        """A worker's step: look for what has moved."""
        if self._subscriptions:
            watched = {each.run_id for each in self._subscriptions}
            marks = await progress_marks(self._database.pool, watched)
            self._wake([each for each in self._subscriptions if marks.get(each.run_id) != each.mark])
        return False

    async def marks(self, subscription: Subscription) -> AsyncIterator[str]:
        """A mark whenever the run has moved, whose state is then to be read; ends by and by."""
        end = time.monotonic() + STREAM_SECONDS_MAX
        while not self._is_closing:
            subscription.woken.clear()
            found = await progress_marks(self._database.pool, [subscription.run_id])
            mark = found.get(subscription.run_id)
            if mark is not None and mark != subscription.mark:
                subscription.mark = mark
                yield mark
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await subscription.woken.wait()
            except TimeoutError:
                return

    async def close(self) -> None:
        """End all streams: the service stops."""
        self._is_closing = True
        self._wake(self._subscriptions)

    @staticmethod
    def _wake(subscriptions: Collection[Subscription]) -> None:
        for subscription in subscriptions:
            subscription.woken.set()
