"""Whether the database answers, asked over a connection of its own that no work can take or keep busy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

ANSWER_SECONDS_MAX: Final = 5.0


class Pulse:
    """Asks the database that `connect` reaches whether it is there."""

    def __init__(self, connect: "Callable[[], Awaitable[asyncpg.Connection[Any]]]") -> None:
        self._connect = connect
        self._connection: asyncpg.Connection[Any] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Raise if the database refuses or does not answer in time. Who asks meanwhile waits along."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="database-pulse")
        await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Give the connection up."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self._drop()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                await self._connection.fetchval("select 1")
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
