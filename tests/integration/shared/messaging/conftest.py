"""A service's database with the kit on it, messages that are easy to make, and lines on a real broker."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from shared.contracts import catalogue
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import BatchProcessor, Line
from shared.messaging.lines import Consumer
from shared.messaging.message import Message
from shared.service import make_broker, make_consumers
from shared.settings import ServiceSettings
from sluice.infrastructure.choose import Broker
from support.databases import FreshDatabase
from support.records import cloud_event_headers, message_record
from support.topics import Topics

ACCOUNT = "psa.account.upserted.v1"
HOLD = "release.billing-event.hold.v1"


def account_record(account_id: str, **options: Any) -> "ConsumerRecord[bytes, bytes]":
    """A small valid message: an account."""
    return message_record(ACCOUNT, {"account_id": account_id, "version": 1, "name": account_id}, **options)


@pytest.fixture
def service() -> str:
    return "release"


@pytest.fixture
async def store(database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's pool."""
    store = Database(database.url, schema=database.schema, application_name="tests")
    await store.open()
    async with store.transaction() as work:
        await work.connection.execute("select 1")
    yield store
    await store.close()


@dataclass
class Effects:
    """A handler that leaves one account row and one message per message, and breaks where it is told to."""

    seen: list[str] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()

    async def handle(self, work: UnitOfWork, messages: Sequence[Message]) -> None:
        for message in messages:
            account_id = message.body.account_id
            if account_id in self.broken:
                raise KeyError(account_id)
            if account_id in self.rejected:
                work.reject(message, "not wanted", [{"field": "account_id", "message": "not wanted"}])
                continue
            # A plain insert: a second effect would break the primary key.
            await work.connection.execute(
                "insert into accounts (account_id, version, name) values ($1, 1, $1)", account_id
            )
            work.publish(HOLD, account_id, {"billing_event_id": account_id, "on_hold": True}, message.cause)
        self.seen += [message.body.account_id for message in messages]

    def line(self) -> Line:
        return Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), self.handle)

    def processor(self, store: Database) -> BatchProcessor:
        return BatchProcessor(store, self.line(), service="release")


@pytest.fixture
def effects() -> Effects:
    return Effects()


async def accounts_of(store: Database) -> list[str]:
    """The effects that stand in the database."""
    rows = await store.pool.fetch("select account_id from accounts order by account_id")
    return [row["account_id"] for row in rows]


async def dead_letters_of(store: Database) -> list[Any]:
    """The dead letters in the outbox, oldest first."""
    return list(await store.pool.fetch("select * from outbox where type = 'dead-letter' order by seq"))


async def position_of(store: Database) -> Any:
    """The one position that was consumed to."""
    (position,) = await store.pool.fetch("select * from consumed_positions")
    return position


@pytest.fixture
def topic(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic of the test's own that carries accounts."""
    name = topics.new("psa.accounts", partitions=3)
    entry = catalogue.CATALOGUE[ACCOUNT]
    monkeypatch.setattr(
        "shared.messaging.message.CATALOGUE",
        {
            **catalogue.CATALOGUE,
            ACCOUNT: SimpleNamespace(type=ACCOUNT, topic=name, body_model=entry.body_model),
        },
    )
    return name


@pytest.fixture
def settings(kafka_server: Broker, database: FreshDatabase) -> ServiceSettings:
    return ServiceSettings(
        kafka_bootstrap_servers=kafka_server.bootstrap_servers,
        database_url=database.url,
        http_port=0,
        oidc_issuer="http://issuer.example",
        instance_id="one",
    )


@pytest.fixture
async def producer(kafka_server: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers)
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
async def transactional(kafka_server: Broker) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose batches are compressed and transactional."""
    if not kafka_server.is_idempotent:
        pytest.skip("this broker has no transactions")
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_server.bootstrap_servers,
        transactional_id=secrets.token_hex(6),
        compression_type="zstd",
    )
    await producer.start()
    yield producer
    await producer.stop()


async def send_account(
    producer: AIOKafkaProducer, topic: str, account_id: str, *extra: tuple[str, Any], padding_bytes: int = 0
) -> None:
    value = json.dumps({"account_id": account_id, "version": 1}).encode() + b" " * padding_bytes
    headers = [*cloud_event_headers(ACCOUNT, f"id-{account_id}"), *extra]
    await producer.send_and_wait(topic, value, key=account_id.encode(), headers=headers)


def reading(effects: Effects, topic: str) -> Line:
    return Line("psa", (topic,), frozenset({ACCOUNT}), effects.handle)


@asynccontextmanager
async def taking(
    store: Database, settings: ServiceSettings, line: Line, *, service: str
) -> AsyncIterator[Consumer]:
    """A replica of a service that takes this line."""
    broker = make_broker(settings, service=service)
    (consumer,) = make_consumers(broker, store, [line], service=service, settings=settings)
    await broker.start()
    try:
        yield consumer
    finally:
        await broker.stop()
