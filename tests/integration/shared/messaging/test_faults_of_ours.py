"""A fault of ours or of the schema is never the record's: it stops its line, is told, and loses nothing."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import pytest

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.ids import new_id
from shared.messaging import batches
from shared.messaging.batches import BatchNotTakenError, BatchProcessor, Line
from shared.messaging.message import Message
from shared.workers import Worker
from support.databases import FreshDatabase

from .conftest import ACCOUNT, Effects, account_record, accounts_of, dead_letters_of

DEFAULT_DROPPED = """
alter table accounts add column region text not null default 'x';
alter table accounts alter column region drop default;
"""
RAISING = """
create function refuse() returns trigger language plpgsql as $$begin raise 'no'; end$$;
create trigger refuse before insert on accounts for each row execute function refuse();
"""


@pytest.fixture
async def administrator(database: FreshDatabase) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        database.administrator_url, server_settings={"search_path": database.schema}
    )
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BACKOFF_SECONDS_FIRST", 0.0001)
    monkeypatch.setattr(batches, "BACKOFF_SECONDS_MAX", 0.001)


FAULTS: Final = (
    (
        "alter table accounts rename column name to gone",
        "alter table accounts rename column gone to name",
        "42703",
    ),
    ("revoke insert on accounts from sluice_release", "grant insert on accounts to sluice_release", "42501"),
    ("alter table accounts rename to gone", "alter table gone rename to accounts", "42P01"),
    (DEFAULT_DROPPED, "alter table accounts drop column region", "23502"),
    (RAISING, "drop trigger refuse on accounts", "P0001"),
    ("revoke insert on outbox from sluice_release", "grant insert on outbox to sluice_release", "42501"),
)
"""What breaks all, what mends it, and the code of the error."""


async def test_what_every_record_meets_makes_no_dead_letter_and_loses_nothing(
    store: Database, effects: Effects, administrator: "asyncpg.Connection[Any]"
) -> None:
    processor = effects.processor(store)
    expected = []
    for place, (broken, mended, sqlstate) in enumerate(FAULTS):
        records = [account_record(f"A-{place}-{number}") for number in range(3)]
        expected += [f"A-{place}-{number}" for number in range(3)]
        await administrator.execute(broken)
        for _ in range(batches.HELD_TRIES_MAX + 2):
            with pytest.raises(BatchNotTakenError):
                await processor.take(records)
        assert sqlstate in (processor.stopped_by or "")
        await administrator.execute(mended)
        await processor.take(records)
        assert processor.stopped_by is None
        assert await accounts_of(store) == expected
    assert await dead_letters_of(store) == []


async def test_a_server_that_is_read_only_is_waited_for(
    store: Database, effects: Effects, administrator: "asyncpg.Connection[Any]", database: FreshDatabase
) -> None:
    processor = effects.processor(store)

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await work.connection.execute("set transaction read only")
        await effects.handle(work, messages)

    read_only = BatchProcessor(
        store, Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), handle), service="release"
    )
    with pytest.raises(BatchNotTakenError):
        await read_only.take([account_record("A-1")])
    assert read_only.stopped_by is None
    await processor.take([account_record("A-1")])
    assert await accounts_of(store) == ["A-1"]
    assert await dead_letters_of(store) == []


async def test_a_value_that_the_database_cannot_take_is_put_aside_at_once(
    store: Database, effects: Effects
) -> None:
    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        for message in messages:
            await work.connection.execute("select $1::text::int", message.body.name)
        await effects.handle(work, messages)

    line = Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), handle)
    await BatchProcessor(store, line, service="release").take([account_record("A-1")])
    assert len(await dead_letters_of(store)) == 1


async def test_a_message_that_breaks_its_handler_is_held_while_it_is_alone(
    store: Database, effects: Effects
) -> None:
    effects.broken = frozenset({"A-1"})
    processor = effects.processor(store)
    for _ in range(batches.HELD_TRIES_MAX):
        with pytest.raises(BatchNotTakenError):
            await processor.take([account_record("A-1")])
    assert await dead_letters_of(store) == []
    await processor.take([account_record("A-1")])
    assert len(await dead_letters_of(store)) == 1


async def test_a_message_that_breaks_its_handler_is_put_aside_as_soon_as_another_one_passes(
    store: Database, effects: Effects
) -> None:
    effects.broken = frozenset({"A-1", "A-2"})
    await effects.processor(store).take([account_record(f"A-{number}") for number in (1, 2, 3)])
    assert await accounts_of(store) == ["A-3"]
    assert await store.pool.fetchval("select count(*) from outbox where type <> 'dead-letter'") == 1
    assert len(await dead_letters_of(store)) == 2


async def test_what_breaks_every_message_puts_none_aside(store: Database, effects: Effects) -> None:
    everyone = [f"A-{number}" for number in range(5)]
    effects.broken = frozenset(everyone)
    processor = effects.processor(store)
    records = [account_record(account_id) for account_id in everyone]
    for _ in range(2):
        with pytest.raises(BatchNotTakenError):
            await processor.take(records)
    effects.broken = frozenset()
    await processor.take(records)
    assert await accounts_of(store) == sorted(everyone)
    assert await dead_letters_of(store) == []


WIDEN = "alter table accounts alter column name type varchar(400)"
NARROW = "alter table accounts alter column name type text"
NAMES = "select name from accounts where account_id = any($1::text[])"


async def _in_a_line(store: Database, effects: Effects) -> None:
    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await work.connection.fetch(NAMES, ["A-1"])

    line = Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), handle)
    await BatchProcessor(store, line, service="release").take([account_record(new_id())])


async def _in_a_transaction(store: Database, effects: Effects) -> None:
    await store.run(lambda work: work.connection.fetch(NAMES, ["A-1"]))


async def _in_a_savepoint(store: Database, effects: Effects) -> None:
    async def act(work: UnitOfWork) -> None:
        async with work.connection.transaction():
            await work.connection.fetch(NAMES, ["A-1"])

    await store.run(act)


async def _in_a_read(store: Database, effects: Effects) -> None:
    await store.read(lambda connection: connection.fetch(NAMES, ["A-1"]))


async def _by_the_pool(store: Database, effects: Effects) -> None:
    await store.pool.fetch(NAMES, ["A-1"])


async def _in_a_worker(store: Database, effects: Effects) -> None:
    done = asyncio.Event()

    async def step() -> bool:
        await store.run(lambda work: work.connection.fetch(NAMES, ["A-1"]))
        done.set()
        return False

    worker = Worker("names", step)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(done.wait(), timeout=30)
    running.cancel()
    assert worker.failure is None


async def test_a_plan_that_a_migration_made_invalid_is_prepared_again(
    store: Database, effects: Effects, administrator: "asyncpg.Connection[Any]"
) -> None:
    ways = (_in_a_line, _in_a_transaction, _in_a_savepoint, _in_a_read, _by_the_pool, _in_a_worker)
    for way, change in itertools.product(ways, (WIDEN, NARROW)):
        # Prepared on every connection of the pool.
        connections = [await store.pool.acquire() for _ in range(8)]
        for connection in connections:
            await connection.fetch(NAMES, ["A-1"])
            await store.pool.release(connection)
        await administrator.execute(change)
        await way(store, effects)
    assert await dead_letters_of(store) == []
