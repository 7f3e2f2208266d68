"""A service's PostgreSQL: one pool, transactions that are retried, sentences for what went wrong."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
import orjson
import structlog

from shared.backoff import Backoff
from shared.database.faults import Fault, fault_of, is_transient
from shared.database.pulse import Pulse
from shared.database.unit_of_work import UnitOfWork
from shared.trouble import Trouble

Result = TypeVar("Result")
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

RETRIES_MAX: Final = 5
CONNECT_BACKOFF_SECONDS_MAX: Final = 5.0
RESERVED_CONNECTIONS_MAX: Final = 4
"""Connections for HTTP alone, which lines and workers cannot take, however much they have to do."""
STATEMENT_SECONDS_MAX: Final = 10
"""How long a statement stays prepared. Its plan was made for the tables as they were: empty, perhaps, a moment ago."""

_reserved: ContextVar[bool] = ContextVar("reserved", default=False)

log = structlog.get_logger(__name__)


@contextmanager
def reserved_connections() -> Iterator[None]:
    """What is done in this block, and in tasks that begin in it, uses the connections that are kept for HTTP."""
    token = _reserved.set(True)
    try:
        yield
    finally:
        _reserved.reset(token)


_JSONB_VERSION: Final = b"\x01"
_EMPTY_OBJECT: Final = _JSONB_VERSION + b"{}"


def _encode_jsonb(value: object) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    # Most objects are empty: custom fields that nobody set, reasons that there are none of.
    return {} if data == _EMPTY_OBJECT else orjson.loads(data[len(_JSONB_VERSION) :])


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    # In binary, which can be copied into tables too: the version of the format, then the text.
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


async def _keep_session(_connection: "asyncpg.Connection[Any]") -> None:
    """Reset nothing when a connection goes back to the pool: what we set or lock is always of one transaction.

    asyncpg's own reset costs each transaction a round trip; an open transaction is rolled back without it.
    """


class Database:
    """The pool of one service. `pool` is for reads; every change goes through `run` or `transaction`."""

    def __init__(
        self,
        url: str,
        *,
        schema: str,
        application_name: str,
        connections_max: int = 8,
        migrations: Sequence[str] = (),
    ) -> None:
        self._url = url
        self._schema = schema
        self._application_name = application_name
        self._connections_max = connections_max
        self._pool: asyncpg.Pool[Any] | None = None
        self._reserved_pool: asyncpg.Pool[Any] | None = None
        self._pulse = Pulse(self.connect, migrations)
        self.committed = asyncio.Event()
        """Set when a transaction has left messages in the outbox; the relay waits for it."""

    @property
    def pool(self) -> "asyncpg.Pool[Any]":
        """The pool, for HTTP its own. Raises ConnectionError while the database has not been reached yet."""
        pool = self._reserved_pool if _reserved.get() else self._pool
        if pool is None:
            raise ConnectionError("the database has not been reached yet")
        return pool

    def _options(self) -> dict[str, Any]:
        return {
            "server_settings": {
                "application_name": self._application_name,
                "search_path": self._schema,
                "lock_timeout": "10s",
                "statement_timeout": "60s",
                "idle_in_transaction_session_timeout": "120s",
                "timezone": "UTC",
                "jit": "off",
            },
            "timeout": 10,
            "command_timeout": 75,
            "statement_cache_size": 300,
            "max_cached_statement_lifetime": STATEMENT_SECONDS_MAX,
        }

    async def open(self) -> None:
        """Wait, with back-off, until the database answers; says so while it does not."""
        backoff, trouble = Backoff(0.2, CONNECT_BACKOFF_SECONDS_MAX), Trouble()
        while self._pool is None:
            try:
                self._pool = await self._make_pool(connections_min=1, connections_max=self._connections_max)
                # Opened by the first request that needs one.
                self._reserved_pool = await self._make_pool(
                    connections_min=0, connections_max=RESERVED_CONNECTIONS_MAX
                )
            except Exception as error:
                if not is_transient(error):
                    raise
                reason = type(error).__name__
                if trouble.begins(reason):
                    log.warning("database is not reachable yet, trying again", reason=reason)
                await backoff.wait()

    async def _make_pool(self, *, connections_min: int, connections_max: int) -> "asyncpg.Pool[Any]":
        return await asyncpg.create_pool(
            self._url,
            min_size=connections_min,
            max_size=connections_max,
            init=_prepare,
            reset=_keep_session,
            max_inactive_connection_lifetime=300,
            **self._options(),
        )

    async def close(self) -> None:
        """Close the pools, waiting a little for what is under way."""
        await self._pulse.close()
        for pool in (self._reserved_pool, self._pool):
            if pool is None:
                continue
            try:
                await asyncio.wait_for(pool.close(), timeout=5)
            except TimeoutError:
                pool.terminate()
        self._pool = self._reserved_pool = None

    async def check(self) -> None:
        """Raise if the database does not answer; needs none of the connections that work may hold."""
        _ = self.pool
        await self._pulse.check()

    async def check_schema(self) -> None:
        """Raise if a migration that this program needs has not been applied; later ones do no harm."""
        _ = self.pool
        await self._pulse.check_schema()

    async def connect(self) -> "asyncpg.Connection[Any]":
        """A connection apart from the pool, for what holds a session lock."""
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self._url, **self._options())
        await _prepare(connection)
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """One transaction: committed with its messages when the block ends, undone when it raises."""
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                work = UnitOfWork(connection)
                yield work
                published = await work.flush()
            if published:
                self.committed.set()

    async def run(self, action: Callable[[UnitOfWork], Awaitable[Result]]) -> Result:
        """Do the action in one transaction, again if it met another one, or a statement that a migration made invalid.

        The action must be repeatable: it may change nothing but the database. At most RETRIES_MAX tries.
        """

        async def act() -> Result:
            async with self.transaction() as work:
                return await action(work)

        return await _repeated(act)

    async def read(self, action: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Do the reading action on one state of the tables, again as `run` does."""

        async def act() -> Result:
            async with (
                self.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await action(connection)

        return await _repeated(act)


async def _repeated(act: Callable[[], Awaitable[Result]]) -> Result:
    for attempt in range(1, RETRIES_MAX + 1):
        try:
            return await act()
        except Exception as error:
            if attempt == RETRIES_MAX or fault_of(error) is not Fault.CONFLICT:
                raise
            log.info("transaction met a conflict, trying again", reason=type(error).__name__, attempt=attempt)
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")
