"""Lines on a real broker: what FastStream's defaults would lose arrives (architecture.md)."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging import batches, lines, polling
from shared.messaging.batches import Line
from shared.messaging.message import Message
from shared.service import make_broker, make_consumers
from shared.settings import ServiceSettings
from sluice.infrastructure.choose import Broker
from support.records import cloud_event_headers
from support.waiting import wait_until

from .conftest import (
    ACCOUNT,
    Effects,
    accounts_of,
    dead_letters_of,
    reading,
    send_account,
    taking,
)


async def committed(broker: Broker, topic: str, group: str) -> int:
    """How many records the group has committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        offsets = [await consumer.committed(TopicPartition(topic, partition)) for partition in range(3)]
        return sum(offset or 0 for offset in offsets)
    finally:
        await consumer.stop()


async def test_poison_of_every_kind_neither_stops_nor_loses_the_stream(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    kafka_server: Broker,
    unique_name: Any,
) -> None:
    service = unique_name("release")
    await send_account(producer, topic, "A-1")
    await send_account(producer, topic, "A-2", ("x", b"\xff\xfe"))
    await send_account(producer, topic, "A-3", ("reply_to", topic.encode()))
    await producer.send_and_wait(topic, None, key=b"A-1")
    await producer.send_and_wait(topic, b"{", key=b"A-1", headers=cloud_event_headers(ACCOUNT, "bad"))
    await send_account(producer, topic, "A-4")
    async with taking(store, settings, reading(effects, topic), service=service):

        async def all_taken() -> bool:
            return await committed(kafka_server, topic, f"{service}.psa") == 6

        await wait_until(all_taken, what="the commit of six records")
    assert await accounts_of(store) == ["A-1", "A-2", "A-3", "A-4"]
    assert len(await dead_letters_of(store)) == 2


async def test_messages_larger_than_what_is_fetched_of_a_partition_arrive_among_others(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "PARTITION_FETCH_BYTES_MAX", 20_000)
    monkeypatch.setattr(lines, "FETCH_BYTES_MAX", 40_000)
    sent = [f"A-{number:02}" for number in range(30)]
    for number, account_id in enumerate(sent):
        padding = 300_000 if number % 5 == 0 else 5_000
        await send_account(producer, topic, account_id, padding_bytes=padding)
    async with taking(store, settings, reading(effects, topic), service=unique_name("release")):

        async def all_taken() -> bool:
            return await accounts_of(store) == sent

        await wait_until(all_taken, what="all accounts")


async def test_a_failing_database_delays_and_loses_nothing(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "BACKOFF_SECONDS_FIRST", 0.01)
    failures = 3

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionResetError
        await effects.handle(work, messages)

    line = Line("psa", (topic,), frozenset({ACCOUNT}), handle)
    for number in range(10):
        await send_account(producer, topic, f"A-{number}")
    async with taking(store, settings, line, service=unique_name("release")):

        async def all_there() -> bool:
            return len(await accounts_of(store)) == 10

        await wait_until(all_there, what="ten effects")
    assert failures < 0


async def test_a_handler_cancelled_from_inside_is_taken_up_again(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
) -> None:
    cancelled = 0

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        nonlocal cancelled
        if cancelled == 0:
            cancelled += 1
            raise asyncio.CancelledError
        await effects.handle(work, messages)

    line = Line("psa", (topic,), frozenset({ACCOUNT}), handle)
    await send_account(producer, topic, "A-1")
    async with taking(store, settings, line, service=unique_name("release")) as consumer:

        async def taken() -> bool:
            return effects.seen == ["A-1"]

        await wait_until(taken, what="the effect after the cancellation")
        assert not consumer.has_died
        await consumer.check()
    assert cancelled == 1
    assert consumer.has_died


async def test_a_restarted_replica_takes_its_partitions_at_once(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
) -> None:
    """Static membership: a replica that was killed does not wait for its own ghost's session (45 s)."""
    service = unique_name("release")
    async with AsyncExitStack() as when_shown:
        for account_id in ("A-1", "A-2"):
            broker = make_broker(settings, service=service)
            (consumer,) = make_consumers(
                broker, store, [reading(effects, topic)], service=service, settings=settings
            )
            await send_account(producer, topic, account_id)
            await broker.start()
            when_shown.push_async_callback(broker.stop)

            async def taken(account_id: str = account_id) -> bool:
                return account_id in effects.seen

            await wait_until(taken, seconds=40, what=f"the effect of {account_id}")
            # As a kill would: nothing is said to the group.
            await consumer.subscriber.consumer._client.close()
            for task in consumer.subscriber.tasks:
                task.cancel()


async def test_a_partition_that_cannot_be_read_is_held_alone_and_nothing_is_lost(
    store: Database,
    effects: Effects,
    topic: str,
    settings: ServiceSettings,
    producer: AIOKafkaProducer,
    unique_name: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "HOLD_SECONDS_FIRST", 0.2)
    monkeypatch.setattr(polling, "HOLD_SECONDS_MAX", 0.2)
    read = PartitionRecords._consumer_record
    damaged = True

    def read_unless_damaged(self: PartitionRecords, partition: TopicPartition, record: Any) -> Any:
        if damaged and partition.partition == 0 and record.offset == 2:
            raise ValueError("not decodable")
        return read(self, partition, record)

    monkeypatch.setattr(PartitionRecords, "_consumer_record", read_unless_damaged)
    for partition in range(3):
        for number in range(5):
            value = json.dumps({"account_id": f"A-{partition}{number}", "version": 1}).encode()
            headers = cloud_event_headers(ACCOUNT, f"{partition} {number}")
            await producer.send(topic, value, partition=partition, headers=headers)
    await producer.flush()
    everything = [f"A-{partition}{number}" for partition in range(3) for number in range(5)]
    readable = [each for each in everything if each not in ("A-02", "A-03", "A-04")]
    async with taking(store, settings, reading(effects, topic), service=unique_name("release")) as consumer:

        async def says_so() -> bool:
            try:
                await consumer.check()
            except RuntimeError as error:
                return f"cannot read {topic}/0 at offset 2 (ValueError)" in str(error)
            return False

        async def taken() -> list[str]:
            return await accounts_of(store)

        await wait_until(says_so, what="the partition that is held")
        await wait_until(lambda: _is(taken, readable), what="the effects of all that can be read")
        damaged = False
        await wait_until(lambda: _is(taken, everything), what="the rest, when it can be read again")
        assert await consumer.check() == "0 records behind"
    assert await dead_letters_of(store) == []


async def _is(look: Any, wanted: Any) -> bool:
    return bool(await look() == wanted)
