"""What a line reads of its topics: nothing that was not committed, in whatever codec it comes (domain.md section 7)."""

import secrets
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from shared.contracts import catalogue
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging import lines
from shared.messaging.batches import Line
from shared.messaging.message import Decoded, Message
from shared.settings import ServiceSettings
from sluice.infrastructure.choose import Broker
from support.records import cloud_event_headers
from support.topics import Topics
from support.waiting import wait_until

from .conftest import ACCOUNT, HOLD, taking

CODECS = ("gzip", "snappy", "lz4", "zstd")
BODIES = {
    ACCOUNT: b'{"account_id":"A-1","version":1}',
    HOLD: b'{"billing_event_id":"BE-1","on_hold":true}',
}


@pytest.fixture
def both_topics(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Topics of the test's own, of one partition: one that carries accounts, one that carries commands."""
    names = {ACCOUNT: topics.new("psa.accounts"), HOLD: topics.new("release.commands")}
    entries = {
        type_: SimpleNamespace(type=type_, topic=name, body_model=catalogue.CATALOGUE[type_].body_model)
        for type_, name in names.items()
    }
    monkeypatch.setattr("shared.messaging.message.CATALOGUE", {**catalogue.CATALOGUE, **entries})
    return names


async def send(producer: AIOKafkaProducer, topics: dict[str, str], name: str) -> None:
    """An event and a command, named."""
    for type_, topic in topics.items():
        headers = cloud_event_headers(type_, f"{name} {type_}")
        await producer.send_and_wait(topic, BODIES[type_], headers=headers)


async def test_what_was_aborted_is_never_seen_and_what_is_open_not_before_it_commits(
    store: Database,
    settings: ServiceSettings,
    both_topics: dict[str, str],
    producer: AIOKafkaProducer,
    transactional: AIOKafkaProducer,
    unique_name: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: set[str] = set()

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        taken.update(message.id for message in messages)

    async def until(*names: str) -> None:
        async def all_taken() -> bool:
            return taken == {f"{name} {type_}" for name in names for type_ in BODIES}

        await wait_until(all_taken, what=f"exactly {names}")

    line = Line("psa", tuple(both_topics.values()), frozenset(BODIES), handle)
    monkeypatch.setattr(lines, "STUCK_SECONDS_MAX", 0.0)  # whatever lags at all is stuck
    await send(producer, both_topics, "plain")
    await transactional.begin_transaction()
    await send(transactional, both_topics, "aborted")
    await transactional.abort_transaction()
    await transactional.begin_transaction()
    await send(transactional, both_topics, "open")
    await send(producer, both_topics, "behind it")
    async with taking(store, settings, line, service=unique_name("release")) as consumer:
        await until("plain")
        partitions = [TopicPartition(topic, 0) for topic in both_topics.values()]
        of_kafka = consumer.subscriber.consumer

        async def is_level() -> bool:
            return all([await of_kafka.position(each) == 3 for each in partitions])

        await wait_until(is_level, what="positions behind the abort markers")
        assert [of_kafka.highwater(each) for each in partitions] == [5, 5]
        assert consumer.lag_records() == 0
        assert await consumer.check() == "0 records behind, 4 held back by an open transaction"

        await transactional.commit_transaction()
        await until("plain", "open", "behind it")
        await transactional.begin_transaction()
        await send(transactional, both_topics, "aborted, and last")
        await transactional.abort_transaction()

        async def passed_the_last_marker() -> bool:
            return all([await of_kafka.position(each) == 8 for each in partitions])

        await wait_until(passed_the_last_marker, what="positions behind the last markers")
        assert await consumer.check() == "0 records behind"
    await until("plain", "open", "behind it")
    kept = await store.pool.fetch("select message_id from inbox")
    assert {row["message_id"] for row in kept} == taken


async def test_every_codec_is_read_whether_the_producer_or_the_topic_chooses_it(
    store: Database, settings: ServiceSettings, topics: Topics, kafka_server: Broker, unique_name: Any
) -> None:
    of_producer = topics.new("psa.projects")
    of_topic = [topics.new("psa.projects", settings={"compression.type": codec}) for codec in CODECS]
    values = [b"x" * 100_000, secrets.token_bytes(100_000), b"{}"]  # snappy's blocks have 32 kB
    for codec, topic in [*((codec, of_producer) for codec in CODECS), *((None, topic) for topic in of_topic)]:
        sender = AIOKafkaProducer(
            bootstrap_servers=kafka_server.bootstrap_servers, compression_type=codec, linger_ms=50
        )
        async with sender:
            for sent in [await sender.send(topic, value) for value in values]:
                await sent
    read: list[tuple[str, bytes | None]] = []

    def note(records: "Sequence[ConsumerRecord[bytes, bytes]]", handled: frozenset[str]) -> Decoded:
        read.extend((record.topic, record.value) for record in records)
        return Decoded(ignored=list(records))

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        raise NotImplementedError

    line = Line("psa", (of_producer, *of_topic), frozenset(), handle, decode=note)
    async with taking(store, settings, line, service=unique_name("release")):

        async def all_read() -> bool:
            return len(read) == 3 * 2 * len(CODECS)

        await wait_until(all_read, what="the values of all codecs")
    wanted = [(topic, value) for topic in [of_producer] * len(CODECS) + of_topic for value in values]
    assert sorted(read) == sorted(wanted)
