"""One transaction: the rows that a decision changes, and the messages that tell of it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import asyncpg
import orjson

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.decoding import VALUE_BYTES_MAX
from shared.ids import new_id
from shared.telemetry.traces import message_traceparent

MESSAGE_BYTES_MAX: Final = VALUE_BYTES_MAX
"""Largest message of ours: the topics carry twice as much, but no reader takes a larger one (contract.md section 1)."""

# Copied, which costs a third of what arrays of columns cost; the order of the rows is that of their numbers.
_MESSAGE_COLUMNS: Final = (
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "correlationid",
    "causationid",
    "traceparent",
)
_INSERT_DEAD_LETTERS: Final = """
insert into outbox (id, aggregatetype, aggregateid, type, payload, headers)
select id, topic, key, 'dead-letter', value, headers::jsonb
from unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[]) with ordinality
  as letter (id, topic, key, value, headers, place)
order by place
"""

Headers = Sequence[tuple[str, bytes | None]]


class MessageTooLargeError(ValueError):
    """A message that no reader would take: refused before anything is committed."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a message: the message that caused it, the command or job that began it, its trace."""

    causation_id: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def begun_here(cls, correlation_id: str) -> Self:
        """The cause of what a call or the clock begins: no message caused it, and its trace is the current one."""
        return cls(correlation_id=correlation_id, traceparent=message_traceparent())


NO_CAUSE: Final = Cause()


@dataclass(slots=True)
class UnitOfWork:
    """An open transaction with the messages to publish if it commits. Application code never commits.

    `connection` is in the transaction; writers hold their aggregate's row lock before they publish about it, so that
    the outbox's order per key is the order of commits.
    """

    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"
    _messages: list[tuple[str, str, bytes, str, bytes, str | None, str | None, str | None]] = field(
        default_factory=list
    )
    _dead_letters: list[tuple[str, str, bytes | None, bytes | None, str]] = field(default_factory=list)
    _own_traceparent: str = field(default_factory=message_traceparent)
    rejected: list[tuple[Any, str, Sequence[Mapping[str, str]]]] = field(default_factory=list)

    def publish(self, message_type: str, key: str, body: Mapping[str, Any], cause: Cause = NO_CAUSE) -> str:
        """Queue a message of a type of the catalogue; it is sent once the transaction has committed.

        `body` holds only what JSON knows (amounts as decimal strings). Returns the message's id.
        Raises MessageTooLargeError.
        """
        payload = orjson.dumps(body)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(f"{message_type}: {len(payload)} bytes are more than a reader takes")
        message_id = new_id()
        self._messages.append(
            (
                message_id,
                CATALOGUE[message_type].topic,
                key.encode(),
                message_type,
                payload,
                cause.correlation_id,
                cause.causation_id,
                cause.traceparent or self._own_traceparent,
            )
        )
        return message_id

    def publish_dead_letter(
        self, dead_letter_id: str, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Queue the original bytes of a record that could not be taken, with its own headers and those that say why."""
        kept = [[name, content.hex() if content is not None else None] for name, content in headers]
        self._dead_letters.append((dead_letter_id, topic, key, value, orjson.dumps(kept).decode()))

    def reject(self, message: Any, reason: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        """Say that a message of the batch turned out to be bad input: it becomes a dead letter in this transaction."""
        self.rejected.append((message, reason, errors))

    @asynccontextmanager
    async def part(self) -> AsyncIterator[None]:
        """A part of the transaction: if the block raises, it is undone with its messages, and what was before stays."""
        with self.messages_of_one_piece():
            async with self.connection.transaction():
                yield

    @contextmanager
    def messages_of_one_piece(self) -> Iterator[None]:
        """If the block raises, none of the messages that it has queued is sent; rows are not its concern."""
        marks = [(each, len(each)) for each in (self._messages, self._dead_letters, self.rejected)]
        try:
            yield
        except BaseException:
            for queued, length in marks:
                del queued[length:]
            raise

    async def flush(self) -> bool:
        """Write the queued messages to the outbox; whether there were any."""
        if not self._messages and not self._dead_letters:
            return False
        if self._messages:
            await self.connection.copy_records_to_table(
                "outbox", records=self._messages, columns=_MESSAGE_COLUMNS
            )
            self._messages.clear()
        if self._dead_letters:
            columns = map(list, zip(*self._dead_letters, strict=True))
            await self.connection.execute(_INSERT_DEAD_LETTERS, *columns)
            self._dead_letters.clear()
        return True
