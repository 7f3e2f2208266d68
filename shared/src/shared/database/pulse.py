"""Whether the database answers and has its migrations, asked over a connection that no work can take."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg

ANSWER_SECONDS_MAX: Final = 5.0
_MISSING: Final = """
select array(
  select version from unnest($1::text[]) as needed (version)
  where version not in (select applied.version from schema_migrations as applied) order by version)
"""


class Pulse:
    """Asks the database that `connect` reaches whether it is there, and which of `migrations` (versions) it lacks."""

    def __init__(
        self, connect: "Callable[[], Awaitable[asyncpg.Connection[Any]]]", migrations: Sequence[str] = ()
    ) -> None:
        self._connect = connect
        self._migrations = list(migrations)
        self._connection: asyncpg.Connection[Any] | None = None
        self._asking: asyncio.Task[list[str]] | None = None

    async def check(self) -> None:
        """Raise if the database refuses or does not answer in time. Who asks meanwhile waits along."""
        await self._answer()

    async def check_schema(self) -> None:
        """Raise as `check` does, and RuntimeError if migrations are missing."""
        if missing := await self._answer():
            raise RuntimeError(f"{len(missing)} migrations are missing, the first one is {missing[0]}")

    async def _answer(self) -> list[str]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="database-pulse")
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Give the connection up."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self._drop()

    async def _ask(self) -> list[str]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await self._missing(self._connection)
        except BaseException:
            self._drop()
            raise

    async def _missing(self, connection: "asyncpg.Connection[Any]") -> list[str]:
        try:
            missing: list[str] = await connection.fetchval(_MISSING, self._migrations)
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            return (
                self._migrations
            )  # the database is there, but was never migrated, or not by a program as new as this
        return missing

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
