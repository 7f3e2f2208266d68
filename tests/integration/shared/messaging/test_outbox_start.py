"""The relay reads its outbox from where nothing older can come, by the index, whatever was deleted there before."""

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import pytest

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging import outbox_start
from shared.messaging.outbox_start import OutboxStart
from shared.messaging.relay import Relay, measure_outbox
from support.databases import FreshDatabase
from support.waiting import wait_until

from .conftest import HOLD
from .test_relay import FailingProducer, publish, waiting

ALWAYS = 0.0
NEVER = 1e9


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_start, "FOLLOW_SECONDS", ALWAYS)
    monkeypatch.setattr(outbox_start, "WHOLE_SECONDS", NEVER)


async def _read(start: OutboxStart, store: Database, *, delete: bool = True) -> list[int]:
    """Read and delete as the relay does."""
    async with store.pool.acquire() as connection:
        rows = await connection.fetch("select seq from outbox where seq > $1 order by seq", start.after())
        numbers = [row["seq"] for row in rows]
        await start.follow(connection, numbers)
        if delete:
            await connection.execute("delete from outbox where seq = any($1::bigint[])", numbers)
    return numbers


async def test_what_was_read_is_not_read_past_again_once_its_writers_have_ended(store: Database) -> None:
    start = OutboxStart()
    await publish(store, ["a", "b"])
    first, last = await _read(start, store)
    assert (start.after(), first < last) == (0, True)

    assert await _read(start, store) == []

    assert start.after() == last


async def test_a_writer_that_is_still_there_may_hold_a_lower_number(store: Database) -> None:
    start = OutboxStart()
    async with store.pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        work = UnitOfWork(slow)
        work.publish(HOLD, "early", {"billing_event_id": "early", "on_hold": True})
        await work.flush()
        for _ in range(3):
            await publish(store, ["late"])
            await _read(start, store)
            assert start.after() == 0
        await transaction.commit()
    assert len(await _read(start, store)) == 1, "the early number"
    await publish(store, ["later"])
    await _read(start, store)
    await _read(start, store)
    assert start.after() > 0


async def test_a_row_that_could_not_be_sent_is_read_again(store: Database) -> None:
    start = OutboxStart()
    await publish(store, ["a"])
    read = [await _read(start, store, delete=False) for _ in range(3)]
    assert read[0] == read[1] == read[2] != []
    assert start.after() < read[0][0]


async def test_an_outbox_that_counts_anew_is_read_from_its_start(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = OutboxStart()
    await publish(store, ["a", "b"])
    first, _ = await _read(start, store)
    await _read(start, store)
    async with store.transaction() as work:
        await work.connection.execute(
            "insert into outbox (seq, id, aggregatetype, type) overriding system value values ($1, 'x', 't', 'x')",
            first,
        )
    assert await _read(start, store) == []

    monkeypatch.setattr(outbox_start, "WHOLE_SECONDS", ALWAYS)

    assert await _read(start, store) == [first]


async def test_the_relay_reads_by_the_index_even_if_the_outbox_was_empty_when_it_began(
    store: Database, database: FreshDatabase
) -> None:
    administrator = await asyncpg.connect(database.administrator_url)
    await administrator.execute(f"vacuum analyze {database.schema}.outbox")

    async def scans() -> tuple[int, int]:
        row = await administrator.fetchrow(
            "select seq_scan, idx_scan from pg_stat_all_tables where relname = 'outbox' and schemaname = $1",
            database.schema,
        )
        assert row is not None
        return (row["seq_scan"], row["idx_scan"])

    relaying = asyncio.create_task(Relay(store, FailingProducer(set()).keyed(), service="release").run())
    before = await scans()
    await publish(store, [f"key-{number}" for number in range(50)])

    await measure_outbox(store)

    async def counted() -> bool:
        return sum(await scans()) > sum(before) + 20

    await wait_until(counted, what="the scans of the relay")
    assert (await scans())[0] == before[0]
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    assert await waiting(store) == 0
    await administrator.close()


class RecordingRelay(Relay):
    """A relay that keeps the names of what it is to send, in order, and sends nothing."""

    names: list[str]

    async def _send(self, rows: Sequence[asyncpg.Record]) -> list[BaseException | None]:
        self.names += [row["aggregateid"].decode() for row in rows]
        return [None] * len(rows)


async def test_many_writers_at_once_lose_nothing_and_keep_the_order_of_a_key(store: Database) -> None:
    """Whoever holds a key's lock takes the next number, and commits when others have long taken higher ones."""
    relay = RecordingRelay(store, FailingProducer(set()).keyed(), service="release")
    relay.names = []
    keys = 5
    told: list[list[str]] = [[] for _ in range(keys)]
    choice = random.Random(1)

    async def write(writer: int) -> None:
        for turn in range(40):
            key = choice.randrange(keys)
            async with store.transaction() as work:
                await work.connection.execute("select pg_advisory_xact_lock($1)", key)
                name = f"{key}-{writer}-{turn}"
                work.publish(HOLD, name, {"billing_event_id": name, "on_hold": True})
                await work.flush()
                told[key].append(name)
                for _ in range(choice.randrange(10)):
                    await work.connection.execute("select")

    writing = asyncio.gather(*(write(writer) for writer in range(6)))
    connection = await store.connect()
    while await relay.publish_oldest(connection) or not writing.done():
        pass
    await writing
    while await relay.publish_oldest(connection):
        pass
    await connection.close()

    assert [[each for each in relay.names if each.startswith(f"{key}-")] for key in range(keys)] == told
