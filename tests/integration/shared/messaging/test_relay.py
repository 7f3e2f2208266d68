"""The relay: everything committed reaches the broker, in order per key, whatever fails meanwhile (architecture.md)."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from shared.contracts import catalogue
from shared.database.database import Database
from shared.database.unit_of_work import MESSAGE_BYTES_MAX, Cause, MessageTooLargeError, UnitOfWork
from shared.messaging.producer import KeyedProducer
from shared.messaging.relay import Relay, measure_outbox
from sluice.infrastructure.choose import Broker
from support.topics import Topics
from support.waiting import wait_until

from .conftest import HOLD

BODY = {"billing_event_id": "BE-1", "on_hold": True}


@pytest.fixture
def topic(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic of the test's own, to which the catalogue sends HOLD."""
    name = topics.new("release.commands", partitions=3)
    entry = catalogue.CATALOGUE[HOLD]
    moved = {**catalogue.CATALOGUE, HOLD: SimpleNamespace(**{**_fields(entry), "topic": name})}
    monkeypatch.setattr("shared.database.unit_of_work.CATALOGUE", moved)
    return name


def _fields(entry: Any) -> dict[str, Any]:
    return {
        name: getattr(entry, name) for name in ("type", "topic", "body_model", "key_field", "description")
    }


def plain_producer(broker: Broker) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, acks="all", enable_idempotence=broker.is_idempotent
    )


@pytest.fixture
async def producer(kafka_server: Broker) -> AsyncIterator[KeyedProducer]:
    producer = KeyedProducer(lambda: plain_producer(kafka_server))
    yield producer
    await producer.stop()


async def read_topic(broker: Broker, topic: str, count: int) -> "list[ConsumerRecord[bytes, bytes]]":
    """The first `count` messages of the topic, those that were sent twice once."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: dict[bytes | None, ConsumerRecord[bytes, bytes]] = {}
    try:
        async with asyncio.timeout(120):
            while len(found) < count:
                record = await consumer.getone()
                found.setdefault(dict(record.headers)["ce_id"], record)
        return list(found.values())
    finally:
        await consumer.stop()


async def publish(store: Database, keys: Sequence[str]) -> list[str]:
    """Commit one message per key, in one transaction; returns their ids."""
    async with store.transaction() as work:
        return [work.publish(HOLD, key, BODY) for key in keys]


async def waiting(store: Database) -> int:
    return int(await store.pool.fetchval("select count(*) from outbox"))


class Builder:
    """A batch of keys that is full after three."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def append(self, *, key: bytes, value: bytes, timestamp: None, headers: Any) -> object | None:
        if len(self.keys) == 3:
            return None
        self.keys.append(key)
        return object()


class FailingProducer:
    """A producer whose batches fail, once, that hold certain keys; each key has a partition of its own."""

    def keyed(self) -> KeyedProducer:
        return KeyedProducer(lambda: cast("AIOKafkaProducer", self))

    async def start(self) -> None:
        """It needs no broker."""

    def __init__(self, failing: set[bytes]) -> None:
        self.failing = failing
        self.sent: list[bytes] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(10_000))

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if failing := self.failing.intersection(batch.keys):
            self.failing -= failing
            future.set_exception(KafkaTimeoutError())
        else:
            self.sent += batch.keys
            future.set_result(None)
        return future


async def test_a_committed_message_arrives_with_its_envelope(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with store.transaction() as work:
        message_id = work.publish(HOLD, "BE-1", BODY, Cause("caused-by", "began-by", trace))
    async with store.pool.acquire() as connection:
        assert await Relay(store, producer, service="release").publish_oldest(connection) == 1
    (record,) = await read_topic(kafka_server, topic, 1)
    headers = dict(record.headers)
    assert record.key == b"BE-1"
    assert record.value == b'{"billing_event_id":"BE-1","on_hold":true}'
    assert headers["ce_id"] == message_id.encode()
    assert headers["ce_type"] == HOLD.encode()
    assert headers["ce_source"] == b"sluice/release"
    assert (headers["ce_causationid"], headers["ce_correlationid"]) == (b"caused-by", b"began-by")
    assert headers["traceparent"] == trace.encode()
    assert await waiting(store) == 0


async def test_a_message_told_by_background_work_begins_a_trace(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    async with store.transaction() as work:
        work.publish(HOLD, "BE-1", BODY, Cause(correlation_id="began-by"))
    async with store.pool.acquire() as connection:
        assert await Relay(store, producer, service="release").publish_oldest(connection) == 1
    (record,) = await read_topic(kafka_server, topic, 1)
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", dict(record.headers)["traceparent"])


async def test_what_is_rolled_back_is_never_sent(store: Database) -> None:
    async def publish_and_fail(work: UnitOfWork) -> None:
        work.publish(HOLD, "BE-1", BODY)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.run(publish_and_fail)
    assert await waiting(store) == 0


async def test_a_row_that_commits_late_is_published_too(store: Database) -> None:
    """A cursor over the sequence would skip it."""
    producer = FailingProducer(set())
    relay = Relay(store, producer.keyed(), service="release")
    async with store.pool.acquire() as slow, store.pool.acquire() as reader:
        transaction = slow.transaction()
        await transaction.start()
        work = UnitOfWork(slow)
        work.publish(HOLD, "early-number", BODY)
        await work.flush()
        await publish(store, ["late-number"])
        await relay.publish_oldest(reader)
        assert producer.sent == [b"late-number"]
        await transaction.commit()
        await relay.publish_oldest(reader)
    assert producer.sent == [b"late-number", b"early-number"]


async def test_a_failed_send_keeps_the_later_rows_of_its_key(store: Database) -> None:
    await publish(store, ["a", "b", "a", "b"])
    producer = FailingProducer({b"a"})
    relay = Relay(store, producer.keyed(), service="release")
    async with store.pool.acquire() as connection:
        with pytest.raises(KafkaTimeoutError):
            await relay.publish_oldest(connection)
        assert await waiting(store) == 2
        producer.sent.clear()
        await relay.publish_oldest(connection)
    assert producer.sent == [b"a", b"a"]
    assert await waiting(store) == 0


async def test_a_batch_that_failed_keeps_the_rows_of_later_batches_too(store: Database) -> None:
    await publish(store, ["a", "a", "a", "a", "b"])
    producer = FailingProducer({b"a"})
    relay = Relay(store, producer.keyed(), service="release")
    async with store.pool.acquire() as connection:
        with pytest.raises(KafkaTimeoutError):
            await relay.publish_oldest(connection)
        assert sorted(producer.sent) == [b"a", b"b"], "the fourth of its key was in a batch of its own"
        assert await waiting(store) == 4
        producer.sent.clear()
        await relay.publish_oldest(connection)
    assert producer.sent == [b"a", b"a", b"a", b"a"]
    assert await waiting(store) == 0


async def test_a_key_has_the_partition_that_other_clients_choose(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    keys = [f"P-{number}" for number in range(30)]
    await publish(store, keys)
    async with store.pool.acquire() as connection:
        await Relay(store, producer, service="release").publish_oldest(connection)
    chosen = {record.key: record.partition for record in await read_topic(kafka_server, topic, len(keys))}
    async with plain_producer(kafka_server) as other:
        for key in keys:
            sent = await other.send_and_wait(topic, b"{}", key=key.encode())
            assert chosen[key.encode()] == sent.partition


async def test_more_messages_than_fit_a_batch_arrive_in_order(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    count = 900
    async with store.transaction() as work:
        ids = [
            work.publish(HOLD, "BE-1", {"billing_event_id": "x" * 1_000, "on_hold": True})
            for _ in range(count)
        ]
    async with store.pool.acquire() as connection:
        assert await Relay(store, producer, service="release").publish_oldest(connection) == count
    records = await read_topic(kafka_server, topic, count)
    assert [dict(record.headers)["ce_id"].decode() for record in records] == ids


async def test_one_of_two_relays_leads_and_the_other_takes_over_in_order(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    relays = [Relay(store, producer, service="release") for _ in range(2)]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]

    async def leaders() -> list[int]:
        return [number for number, relay in enumerate(relays) if relay.state.leading]

    (first,) = await wait_until(leaders, what="a leading relay")
    for number in range(20):
        await publish(store, [f"{key}" for key in range(5)])
        if number == 10:
            tasks[first].cancel()
    await wait_until(lambda: _is_led_by(relays[1 - first]), what="the other relay")

    async def drained() -> bool:
        return await waiting(store) == 0

    await wait_until(drained, what="an empty outbox")
    tasks[1 - first].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    records = await read_topic(kafka_server, topic, 100)
    for key in range(5):
        times = [dict(record.headers)["ce_time"] for record in records if record.key == str(key).encode()]
        assert len(times) == 20
        assert times == sorted(times)


async def test_a_producer_that_the_broker_refuses_for_good_is_replaced(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    """A batch that was given up leaves a gap in an idempotent producer's count, and all later ones are refused."""
    if not kafka_server.is_idempotent:
        pytest.skip("this broker counts no messages")
    relaying = asyncio.create_task(Relay(store, producer, service="release").run())

    async def drained() -> bool:
        return await waiting(store) == 0

    keys = [f"P-{number}" for number in range(20)]
    await publish(store, keys)
    await wait_until(drained, what="an empty outbox")
    refused = producer._producer
    assert refused is not None
    for partition in range(3):
        refused._txn_manager.increment_sequence_number(TopicPartition(topic, partition), 5)
    await publish(store, keys)
    await wait_until(drained, what="an empty outbox")
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    assert producer._producer is not refused
    assert len(await read_topic(kafka_server, topic, 40)) == 40


async def _is_led_by(relay: Relay) -> bool:
    return relay.state.leading


async def test_keys_keep_their_partition(
    store: Database, producer: KeyedProducer, kafka_server: Broker, topic: str
) -> None:
    for _ in range(3):
        await publish(store, [str(key) for key in range(20)])
        async with store.pool.acquire() as connection:
            await Relay(store, producer, service="release").publish_oldest(connection)
    partitions: dict[bytes, set[int]] = {}
    for record in await read_topic(kafka_server, topic, 60):
        partitions.setdefault(record.key or b"", set()).add(record.partition)
    assert len(partitions) == 20
    assert all(len(each) == 1 for each in partitions.values())


async def test_a_message_that_no_topic_carries_is_refused_before_the_commit(store: Database) -> None:
    async with store.transaction() as work:
        with pytest.raises(MessageTooLargeError):
            work.publish(HOLD, "BE-1", {"billing_event_id": "x" * MESSAGE_BYTES_MAX})


async def test_what_waits_is_told_to_the_metrics(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, float]] = []
    monkeypatch.setattr("shared.messaging.relay.metrics.set_outbox", lambda *figures: told.append(figures))
    await measure_outbox(store)
    await publish(store, ["BE-1", "BE-2", "BE-1"])
    await store.pool.execute("update outbox set occurred_at = now() - interval '90 seconds'")
    await measure_outbox(store)
    nothing, (size_messages, oldest_age_seconds) = told
    assert nothing == (0, 0.0)
    assert size_messages == 3
    assert 90 <= oldest_age_seconds < 150
