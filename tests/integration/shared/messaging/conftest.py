"""A service's database with the kit on it, and messages that are easy to make."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import BatchProcessor, Line
from shared.messaging.message import Message
from support.databases import FreshDatabase
from support.records import message_record

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
