"""Source and id identify a message; what was taken before sources were kept matches any (contract.md section 1)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from shared.database.database import Database
from shared.messaging import inbox
from shared.messaging.message import decode
from support.databases import FreshDatabase
from support.records import message_record
from support.waiting import wait_until

from .conftest import ACCOUNT, Effects, account_record, accounts_of, dead_letters_of, position_of


def of(source: str, account_id: str, message_id: str = "m") -> Any:
    return account_record(account_id, message_id=message_id, source=source)


async def keep_without_source(connection: Any, record: Any) -> None:
    """Claim a record as the former version did."""
    (message,) = decode([record], frozenset({ACCOUNT})).messages
    await connection.execute(
        "insert into inbox (message_id, payload_hash) values ($1, $2)", message.id, message.payload_hash
    )


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in several"])
async def test_two_sources_may_use_the_same_id(store: Database, effects: Effects, together: bool) -> None:
    records = [of("one", "A-1"), of("two", "A-2"), of("three", "A-3")]
    for batch in [records] if together else [[record] for record in records]:
        await effects.processor(store).take(batch)
    assert await accounts_of(store) == ["A-1", "A-2", "A-3"]
    for account_id, source in (("A-3", "three"), ("A-1", "one"), ("A-2", "two")):
        await effects.processor(store).take([of(source, account_id)])
    assert len(effects.seen) == 3
    assert await dead_letters_of(store) == []
    position = await position_of(store)
    assert (position["applied"], position["duplicates"], position["records"]) == (3, 3, 6)


async def test_the_same_source_and_id_with_another_payload_is_a_dead_letter(
    store: Database, effects: Effects
) -> None:
    await effects.processor(store).take([of("one", "A-1"), of("two", "A-2")])
    others = [of("one", "A-3"), of("two", "A-4")]
    await effects.processor(store).take(others)
    assert await accounts_of(store) == ["A-1", "A-2"]
    assert [row["payload"] for row in await dead_letters_of(store)] == [record.value for record in others]


async def test_a_row_from_before_matches_any_source(store: Database, effects: Effects) -> None:
    record = of("one", "A-1")
    await keep_without_source(store.pool, record)
    other = of("two", "A-2")
    await effects.processor(store).take([record, of("two", "A-1"), other])
    assert effects.seen == []
    assert [row["payload"] for row in await dead_letters_of(store)] == [other.value]
    assert (await position_of(store))["duplicates"] == 2


async def test_a_former_version_that_takes_a_message_at_the_same_time_takes_it_alone(
    store: Database, effects: Effects, database: FreshDatabase
) -> None:
    record = of("one", "A-1")
    former = await asyncpg.connect(database.url)
    await former.execute(f"set search_path to {database.schema}")
    transaction = former.transaction()
    await transaction.start()
    await keep_without_source(former, record)
    taking = asyncio.create_task(effects.processor(store).take([record]))

    async def waits() -> bool:
        return bool(await store.pool.fetchval("select exists (select from pg_locks where not granted)"))

    await wait_until(waits, what="the claim that waits for the former version's")
    await transaction.commit()
    await taking
    await former.close()
    assert effects.seen == []
    assert (await position_of(store))["duplicates"] == 1


async def test_a_former_version_knows_what_was_taken_with_a_source(store: Database, effects: Effects) -> None:
    await effects.processor(store).take([of("one", "A-1")])
    inserted = await store.pool.fetch(
        "insert into inbox (message_id, payload_hash) values ('m', '') on conflict do nothing returning message_id"
    )
    assert inserted == []


async def test_what_is_rejected_is_given_back_and_what_shares_its_id_is_not(
    store: Database, effects: Effects
) -> None:
    effects.rejected = frozenset({"A-1", "A-3"})
    batch = [of("one", "A-1"), of("two", "A-2"), of("three", "A-3")]
    await effects.processor(store).take(batch)
    assert effects.seen[-3:] == ["A-1", "A-2", "A-3"]
    assert await accounts_of(store) == ["A-2"]
    assert len(await dead_letters_of(store)) == 2
    effects.rejected = frozenset()
    replayed = [of("one", "A-1"), of("two", "A-2"), of("three", "A-3")]
    await effects.processor(store).take(replayed)
    assert await accounts_of(store) == ["A-1", "A-2", "A-3"]
    position = await position_of(store)
    assert (position["applied"], position["duplicates"], position["dead_letters"]) == (3, 1, 2)


async def test_batches_of_two_sources_in_every_order_take_each_message_once(
    store: Database, effects: Effects
) -> None:
    records = [
        message_record(
            ACCOUNT,
            {"account_id": f"{source}-{number:03}", "version": 1},
            message_id=f"m-{number}",
            source=source,
        )
        for number in range(100)
        for source in ("one", "two")
    ]
    orders = [records, records[::-1], sorted(records, key=lambda record: record.key or b"")]
    takers = [Effects() for _ in orders]
    await asyncio.gather(
        *(taker.processor(store).take(order) for taker, order in zip(takers, orders, strict=True))
    )
    assert len(await accounts_of(store)) == 200
    assert sum(len(taker.seen) for taker in takers) == 200
    assert await dead_letters_of(store) == []


async def prune(store: Database) -> int:
    async with store.transaction() as work:
        return await inbox.prune(work.connection, days=35, rows_max=100)


async def test_an_id_is_kept_as_long_as_any_of_its_sources(store: Database, effects: Effects) -> None:
    await effects.processor(store).take([of("one", "A-1")])
    await store.pool.execute("update inbox set received_at = now() - interval '40 days'")
    await effects.processor(store).take([of("two", "A-2")])
    assert await prune(store) == 0
    await effects.processor(store).take([of("two", "A-2"), of("one", "A-1")])
    assert effects.seen == ["A-1", "A-2"]
    for table in ("inbox", "inbox_shared_ids"):
        await store.pool.execute(f"update {table} set received_at = now() - interval '40 days'")
    assert await prune(store) == 2
