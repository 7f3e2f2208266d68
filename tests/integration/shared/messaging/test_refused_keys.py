"""What the broker refuses of one key waits, in order, and stops no other key; the relay says so and tries again."""

import time
from collections.abc import Sequence

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from shared.backoff import Backoff
from shared.database.database import Database
from shared.messaging import refused_keys
from shared.messaging.keyed_batches import KeyedMessage
from shared.messaging.producer import KeyedProducer
from shared.messaging.relay import BATCH_ROWS_MAX, Relay

from .conftest import HOLD

BODY = {"billing_event_id": "BE-1", "on_hold": True}


class PickyProducer(KeyedProducer):
    """Refuses some keys, and with each what was sent beside it, as a partition's batch is refused as a whole."""

    def __init__(self, refused: set[bytes]) -> None:
        self.refused = refused
        self.failure: KafkaError = MessageSizeTooLargeError()
        self.sent: list[tuple[bytes | None, bytes | None]] = []
        self.renewals = 0

    async def send(self, messages: Sequence[KeyedMessage]) -> list[BaseException | None]:
        if any(message.key in self.refused for message in messages):
            # What comes first is in another partition.
            kept = [message for message in messages[:2] if message.key not in self.refused]
        else:
            kept = list(messages)
        self.sent += [(message.key, dict(message.headers)["ce_id"]) for message in kept]
        return [None if message in kept else self.failure for message in messages]

    async def renew(self) -> None:
        self.renewals += 1


async def publish(store: Database, key: str, count: int = 1) -> list[bytes]:
    async with store.transaction() as work:
        return [work.publish(HOLD, key, BODY).encode() for _ in range(count)]


async def work(store: Database, relay: Relay, rounds: int) -> None:
    async with store.pool.acquire() as connection:
        for _ in range(rounds):
            await relay.publish_oldest(connection)
            await relay.try_refused(connection)


async def test_more_rows_of_one_key_than_a_batch_stop_no_other_key_and_go_on_in_order(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await publish(store, "bad", BATCH_ROWS_MAX + 200)
    good = {key: await publish(store, key, 3) for key in ("G-1", "G-2")}
    bad += await publish(store, "bad", 2)
    producer = PickyProducer({b"bad"})
    relay = Relay(store, producer, service="release")
    relay.state.leading = True
    await work(store, relay, 6)
    assert {key: [i for k, i in producer.sent if k == key.encode()] for key in good} == good
    assert await store.pool.fetchval("select count(*) from outbox") == len(bad)
    assert relay.state.refused == (
        "the broker refuses the messages of 1 key (MessageSizeTooLargeError); all others go past them"
    )
    assert relay.settled == 0
    assert relay.refused.tried == 1
    later = await publish(store, "G-1")
    await work(store, relay, 2)
    assert [i for k, i in producer.sent if k == b"G-1"] == [*good["G-1"], *later]

    producer.refused.clear()
    now = time.monotonic() + refused_keys.TRIED_SECONDS_MAX
    monkeypatch.setattr("shared.messaging.refused_keys.time.monotonic", lambda: now)
    await work(store, relay, 4)
    assert [i for k, i in producer.sent if k == b"bad"] == bad
    assert await store.pool.fetchval("select count(*) from outbox") == 0
    assert relay.state.refused is None


async def test_a_neighbour_of_what_is_refused_is_tried_alone_at_once(store: Database) -> None:
    for key in ("G-1", "G-2", "bad", "G-3", "G-4"):
        await publish(store, key)
    producer = PickyProducer({b"bad"})
    relay = Relay(store, producer, service="release")
    await work(store, relay, 3)
    assert [key for key, _ in producer.sent] == [b"G-1", b"G-2", b"G-3", b"G-4"]
    assert relay.refused.tried == 1


async def test_a_broker_that_refuses_every_key_is_waited_for(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_keys, "KEYS_MAX", 5)
    keys = [f"K-{number}" for number in range(10)]
    for key in keys:
        await publish(store, key)
    relay = Relay(store, PickyProducer({key.encode() for key in keys}), service="release")
    with pytest.raises(MessageSizeTooLargeError):
        await work(store, relay, 5)


async def test_a_broker_that_is_away_refuses_no_key(store: Database) -> None:
    await publish(store, "bad")
    producer = PickyProducer({b"bad"})
    producer.failure = KafkaTimeoutError()
    relay = Relay(store, producer, service="release")
    with pytest.raises(KafkaTimeoutError):
        await work(store, relay, 1)
    assert not relay.refused


async def test_the_waits_begin_anew_once_something_was_published(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    async def count(backoff: Backoff) -> None:
        backoff.failed()
        waits.append(backoff.failures)
        if len(waits) == 3:
            producer.refused.clear()
        if len(waits) == 4:
            raise _EnoughError

    monkeypatch.setattr(Backoff, "wait", count)
    producer = PickyProducer({b"bad"})
    producer.failure = KafkaTimeoutError()
    relay = Relay(store, producer, service="release")
    send = producer.send

    async def send_then_fail(messages: Sequence[KeyedMessage]) -> list[BaseException | None]:
        outcomes = await send(messages)
        if producer.sent and not producer.refused:
            producer.refused.add(b"bad")
            await publish(store, "bad")
        return outcomes

    monkeypatch.setattr(producer, "send", send_then_fail)
    await publish(store, "bad")
    with pytest.raises(_EnoughError):
        await relay.run()
    assert waits == [1, 2, 3, 1]


class _EnoughError(Exception):
    """Ends a relay that would go on."""
