"""After a restore of the database a line reads again what the database has forgotten (architecture.md, "Restore")."""

from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from shared.database.database import Database
from shared.settings import ServiceSettings
from support.databases import FreshDatabase
from support.waiting import wait_until

from .conftest import Effects, accounts_of, reading, send_account, taking


async def forget(database: FreshDatabase, *statements: str) -> None:
    """Make the tables as a backup has them that is older, or of another topic."""
    connection = await asyncpg.connect(database.administrator_url)
    try:
        for statement in (f"set search_path to {database.schema}", *statements):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_a_restored_database_has_forgotten_is_read_again_and_a_gap_stops_the_line(
    store: Database,
    database: FreshDatabase,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
) -> None:
    service, line = unique_name("release"), reading(effects, topic)
    for number in range(6):
        await send_account(producer, topic, f"A-{number}")

    async def all_taken() -> bool:
        return len(await accounts_of(store)) == 6

    async with taking(store, settings, line, service=service) as consumer:
        await wait_until(all_taken, what="six accounts")
        assert consumer.gap is None
    # As a backup has it that was made before the last records came: no effect of theirs, and an earlier position.
    saved = await store.pool.fetch("select topic, partition, next_offset from consumed_positions")
    await forget(
        database, "delete from accounts", "delete from inbox", "update consumed_positions set next_offset = 0"
    )
    with capture_logs() as logged:
        async with taking(store, settings, line, service=service):
            await wait_until(all_taken, what="the six accounts again")
    told = [each for each in logged if "read less than its group" in each["event"]]
    assert {(each["topic"], each["partition"]) for each in told} == {
        (row["topic"], row["partition"]) for row in saved
    }

    ahead = saved[0]["partition"]
    await forget(database, f"update consumed_positions set next_offset = 1000 where partition = {ahead:d}")
    async with taking(store, settings, line, service=service) as consumer:

        async def has_gap() -> bool:
            return consumer.gap is not None

        await wait_until(has_gap, what="the gap")
        assert f"{topic}/{ahead} to offset 1000, but the topic ends at" in str(consumer.gap)


async def test_offsets_at_which_nothing_is_are_passed_in_the_database_too(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    transactional: AIOKafkaProducer,
    unique_name: Any,
) -> None:
    """The end of a transaction takes an offset; retention would leave the database behind the topic's beginning."""
    for end, partition in ((transactional.commit_transaction, 0), (transactional.abort_transaction, 1)):
        await transactional.begin_transaction()
        await transactional.send(topic, b"{}", partition=partition)
        await end()

    async def passed() -> bool:
        rows = await store.pool.fetch("select partition, next_offset from consumed_positions")
        return {(row["partition"], row["next_offset"]) for row in rows} == {(0, 2), (1, 2)}

    async with taking(store, settings, reading(effects, topic), service=unique_name("release")):
        await wait_until(passed, what="positions behind the ends of the transactions")
