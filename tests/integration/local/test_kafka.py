"""Brokers of our own: values of 16 MiB, kill -9 without loss, and topics made once."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from sluice.broker_options import broker_options
from sluice.folders import user_cache
from sluice.infrastructure.choose import Broker
from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.kafka import ApacheKafka
from sluice.state import State, ephemeral_state
from sluice.topics import make_topics, prefixed, read_topics
from support.topics import Topics, unique

VALUE_BYTES_MAX = 16 * 1024 * 1024


def unheard(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def state() -> Iterator[State]:
    made = ephemeral_state()
    made.prepare()
    yield made
    made.remove()


async def send(bootstrap_servers: str, topic: str, values: list[bytes], **options: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", **options)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def receive(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * VALUE_BYTES_MAX,
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_the_contracts_topics_are_made_once_with_their_settings(kafka_server: Broker) -> None:
    options = broker_options(kafka_server.bootstrap_servers)
    wanted = prefixed(read_topics(), unique("t") + ".")
    assert set(await make_topics(options, wanted)) == {topic.name for topic in wanted}
    assert await make_topics(options, wanted) == []
    if not kafka_server.is_idempotent:
        return  # the fall-back broker does not tell a topic's settings
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        (projects,) = [topic.name for topic in wanted if topic.name.endswith("psa.projects")]
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, projects)])
        settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert settings["cleanup.policy"] == "compact"
        assert int(settings["max.message.bytes"]) > VALUE_BYTES_MAX
    finally:
        await admin.close()


async def test_a_value_of_16_mebibytes_passes(kafka_server: Broker, topics: Topics) -> None:
    topic = topics.new("large", settings={"max.message.bytes": str(17 * 1024 * 1024)})
    value = bytes(VALUE_BYTES_MAX)
    await send(kafka_server.bootstrap_servers, topic, [value], max_request_size=2 * VALUE_BYTES_MAX)
    assert await receive(kafka_server.bootstrap_servers, topic, 1) == [value]


async def test_acknowledged_messages_outlive_kill_9_on_the_same_address(state: State) -> None:
    broker = ApacheKafka(state.data / "kafka", state.run, user_cache(), say=unheard)
    try:
        broker.start()
    except UnavailableError as error:
        pytest.skip(f"Apache Kafka cannot be had on this machine: {error}")
    try:
        topic = Topics(broker.bootstrap_servers).new("kept")
        values = [str(number).encode() for number in range(100)]
        await send(broker.bootstrap_servers, topic, values, enable_idempotence=True)
        address = broker.bootstrap_servers
        broker.kill()
        assert not broker.is_running()
        broker.start()
        assert broker.bootstrap_servers == address
        assert await receive(address, topic, len(values)) == values
    finally:
        broker.stop()
