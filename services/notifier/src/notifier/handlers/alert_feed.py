"""New alerts as they come: one look at the table wakes the streams whose alerts it has found.

Each stream then reads its own alerts, from where it is: there is no queue that could overflow or lose one, a slow
reader holds nobody up, and it does not matter which replica wrote an alert.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from notifier.store.alerts import StoredAlert, addresses_between, load_alerts_after, newest_place
from shared.database.database import Database

LOOK_SECONDS: Final = 0.5
STREAM_SECONDS_MAX: Final = 900.0
"""How long a stream lasts; its reader then comes again, with a token that is still valid."""

STREAMS_MAX: Final = 256
STREAMS_OF_ONE_MAX: Final = 8
PAGE_ALERTS: Final = 100


class TooManyStreamsError(RuntimeError):
    """One reader, or all of them together, hold as many streams as there may be."""


@dataclass(eq=False, slots=True)
class Subscription:
    """One stream: whose alerts it carries, and up to which place it has told of them."""

    addresses: frozenset[str]
    place: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class AlertFeed:
    """The streams of one replica."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._place: int | None = None
        self._is_closing = False

    @asynccontextmanager
    async def subscribe(self, addresses: Collection[str], after: int | None) -> AsyncIterator[Subscription]:
        """A stream of the alerts of these addresses, for as long as the block lasts.

        It begins after this place, with what comes from now on if it is None. Raises TooManyStreamsError.
        """
        known = frozenset(addresses)
        of_the_same = sum(each.addresses == known for each in self._subscriptions)
        if len(self._subscriptions) >= STREAMS_MAX or of_the_same >= STREAMS_OF_ONE_MAX:
            raise TooManyStreamsError
        subscription = Subscription(known, place=after or 0)
        self._subscriptions.add(subscription)
        try:
            if after is None:
                subscription.place = await newest_place(self._database.pool)
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def step(self) -> bool:
        """A worker's step: look for what is new."""
        if not self._subscriptions:
            self._place = None
            return False
        newest = await newest_place(self._database.pool)
        if self._place is None:  # what came before this look is for each stream to find
            self._wake(self._subscriptions)
        elif newest > self._place:
            addresses = await addresses_between(self._database.pool, self._place, newest)
            self._wake([each for each in self._subscriptions if each.addresses & addresses])
        self._place = newest
        return False

    async def alerts(self, subscription: Subscription) -> AsyncIterator[StoredAlert]:
        """The alerts of a stream, first those that are there; ends by and by."""
        end = time.monotonic() + STREAM_SECONDS_MAX
        while not self._is_closing:
            subscription.woken.clear()
            alerts = await load_alerts_after(
                self._database.pool, subscription.addresses, subscription.place, rows_max=PAGE_ALERTS
            )
            for alert in alerts:
                subscription.place = alert.place
                yield alert
            if len(alerts) < PAGE_ALERTS:
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
