"""Whether the broker answers, asked now and then: a consumer that waits for a frozen one hears nothing of it."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

LOOK_SECONDS: Final = 10.0
ANSWER_SECONDS_MAX: Final = 10.0


class BrokerPulse:
    """Asks the brokers for their nodes, for as long as the service lives, by a client of its own that `make` makes."""

    def __init__(
        self, make: Callable[[], AIOKafkaAdminClient], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._clock = clock
        self._client: AIOKafkaAdminClient | None = None
        self._trouble: str | None = "not reached yet"
        self._asked_at: float | None = None

    async def check(self) -> str | None:
        """Raise if the broker did not answer when it was asked last, or has owed an answer for too long."""
        if self._asked_at is not None and (silent := self._clock() - self._asked_at) > ANSWER_SECONDS_MAX:
            raise RuntimeError(f"no answer for {silent:.0f} s")
        if self._trouble is not None:
            raise RuntimeError(self._trouble)
        return None

    async def run(self) -> None:
        """Ask until cancelled. A request that gets no answer is given up by the client, after a time of its own."""
        try:
            while True:
                self._asked_at = self._clock()
                self._trouble = await self._ask()
                self._asked_at = None
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._close()

    async def _ask(self) -> str | None:
        asking = asyncio.create_task(self._describe(), name="broker-pulse")
        try:
            await asyncio.wait({asking})
        finally:
            asking.cancel()
        error = asyncio.CancelledError() if asking.cancelled() else asking.exception()
        if error is None:
            return None
        await self._close()  # the next one begins anew, at brokers that may have moved
        return f"cannot be asked: {type(error).__name__}"

    async def _describe(self) -> None:
        if self._client is None:
            client = self._make()
            try:
                await client.start()
            except BaseException:
                await client.close()
                raise
            self._client = client
        await self._client.describe_cluster()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaError, OSError):
                await client.close()
