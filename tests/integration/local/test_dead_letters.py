"""Dead letters are shown as they came, and go back to their topic with their own key, value and headers."""

import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typer.testing import CliRunner

from sluice.broker_options import broker_options
from sluice.dead_letters import (
    DeadLetter,
    DeadLetterError,
    Place,
    read_dead_letters,
    read_dead_letters_at,
    replay,
)
from sluice.infrastructure.choose import Broker
from sluice.main import app
from sluice.topics import Topic, make_topics
from support.topics import Topics, unique

OWN_HEADERS: tuple[tuple[str, bytes | None], ...] = (("ce_id", b"1"), ("odd", b"\xff\xfe"), ("none", None))


@pytest.fixture
async def service(kafka_server: Broker) -> str:
    """A service that no other test uses, with its dead-letter topic."""
    name = unique("service")
    options = broker_options(kafka_server.bootstrap_servers)
    await make_topics(options, [Topic(f"{name}.dead-letters", 2, {})])
    return name


async def put_dead_letter(
    broker: Broker, service: str, origin: str, *, value: bytes | None, key: bytes | None
) -> None:
    why = {"reason": "malformed", "errors": '[{"field":"amount","message":"no number"}]', "topic": origin}
    headers = [*OWN_HEADERS, *((f"dl_{name}", text.encode()) for name, text in why.items())]
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(f"{service}.dead-letters", key=key, value=value, headers=headers)
    await producer.stop()


async def received(broker: Broker, topic: str, count: int) -> list[tuple[bytes | None, bytes | None, object]]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    return [(record.key, record.value, tuple(record.headers)) for record in records]


async def test_a_letter_tells_why_and_is_replayed_as_it_was(
    kafka_server: Broker, topics: Topics, service: str
) -> None:
    origin = topics.new("origin")
    await put_dead_letter(kafka_server, service, origin, key=b"\xff", value=b'{"amount": NaN}')
    options = broker_options(kafka_server.bootstrap_servers)
    (letter,) = await read_dead_letters(options, service, letters_max=10)
    assert letter.full()["errors"] == [{"field": "amount", "message": "no number"}]
    assert letter.outline()["topic"] == origin
    await replay(options, [letter])
    assert await received(kafka_server, origin, 1) == [(b"\xff", b'{"amount": NaN}', OWN_HEADERS)]


async def test_a_mended_value_goes_with_the_letters_own_key_and_headers(
    kafka_server: Broker, topics: Topics, service: str
) -> None:
    origin = topics.new("origin")
    await put_dead_letter(kafka_server, service, origin, key=b"P-1", value=None)
    options = broker_options(kafka_server.bootstrap_servers)
    letters = await read_dead_letters(options, service, letters_max=10)
    await replay(options, letters, value=b"{}")
    assert await received(kafka_server, origin, 1) == [(b"P-1", b"{}", OWN_HEADERS)]


async def test_letters_are_read_at_their_places(kafka_server: Broker, topics: Topics, service: str) -> None:
    origin = topics.new("origin")
    for number in range(4):
        await put_dead_letter(kafka_server, service, origin, key=b"same partition", value=b"%d" % number)
    options = broker_options(kafka_server.bootstrap_servers)
    letters = await read_dead_letters(options, service, letters_max=10)
    asked = [letters[2].place, letters[0].place]
    assert await read_dead_letters_at(options, service, asked) == [letters[2], letters[0]]
    partition = letters[0].place.partition
    for place in (Place(partition, 4), Place(1 - partition, 0), Place(2, 0)):
        with pytest.raises(DeadLetterError, match=str(place)):
            await read_dead_letters_at(options, service, [letters[0].place, place])


async def test_an_empty_topic_has_no_letters(kafka_server: Broker, service: str) -> None:
    assert (
        await read_dead_letters(broker_options(kafka_server.bootstrap_servers), service, letters_max=10) == []
    )


async def test_a_service_without_the_topic_is_told(kafka_server: Broker) -> None:
    with pytest.raises(DeadLetterError, match="there is no topic"):
        await read_dead_letters(
            broker_options(kafka_server.bootstrap_servers), unique("nobody"), letters_max=10
        )


async def test_a_letter_without_origin_stops_the_replay_before_anything_is_sent(kafka_server: Broker) -> None:
    options = broker_options(kafka_server.bootstrap_servers)
    lost = DeadLetter(Place(0, 0), b"key", b"value", OWN_HEADERS)
    with pytest.raises(DeadLetterError, match="from which topic"):
        await replay(options, [lost])


async def test_the_command_replays_one_letter_with_a_mended_value(
    kafka_server: Broker, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_server.bootstrap_servers)
    options = broker_options(kafka_server.bootstrap_servers)
    await make_topics(options, [Topic("notifier.dead-letters", 1, {})])
    origin = topics.new("origin")
    await put_dead_letter(kafka_server, "notifier", origin, key=b"k", value=b"broken")
    listed = CliRunner().invoke(app, ["dead-letters", "list", "notifier", "--json"])
    (row,) = [row for row in json.loads(listed.stdout)["items"] if row["topic"] == origin]
    mended = tmp_path / "mended.json"
    mended.write_bytes(b"{}")
    arguments = ["dead-letters", "replay", "notifier", row["place"], "--value", str(mended), "--json"]
    replayed = CliRunner().invoke(app, arguments)
    assert replayed.exit_code == 0, replayed.output
    assert await received(kafka_server, origin, 1) == [(b"k", b"{}", OWN_HEADERS)]
