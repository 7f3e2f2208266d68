"""The relay: publishes what committed transactions left in the outbox, in order, and deletes what the broker has.

One relay per service is elected by a session advisory lock on a connection of its own. It reads unpublished rows
(a cursor would skip late commits) and polls when idle (NOTIFY would serialise commits). A crash between sending and
deleting sends again: consumers know a message by its id.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from shared import failpoints
from shared.backoff import Backoff
from shared.database.database import Connection, Database
from shared.database.faults import is_transient, name_of
from shared.messaging.keyed_batches import KeyedMessage
from shared.messaging.outbox_start import OutboxStart
from shared.messaging.producer import KeyedProducer
from shared.messaging.refused_keys import Key, RefusedKeys, is_refusal
from shared.telemetry import metrics, traces
from shared.telemetry.logs import describe
from shared.trouble import Trouble

BATCH_ROWS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 32 * 1024 * 1024
COUNTED_ROWS_MAX: Final = 100_000
IDLE_SECONDS: Final = 0.05
IDLE_SECONDS_BESIDE_REFUSED: Final = 0.5
"""Longer, since each look may read past all that is left out."""
ELECTION_SECONDS: Final = 1.0
BACKOFF_SECONDS_FIRST: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0

_ELECT: Final = "select pg_try_advisory_lock(hashtext('outbox-relay'), hashtext(current_schema()))"
# Large payloads: take as many rows, in order, as fit the memory that one batch may use.
_FETCH: Final = """
select seq, id, aggregatetype, aggregateid, type, payload,
  correlationid, causationid, traceparent, headers, occurred_at
from (
  select *, sum(coalesce(octet_length(payload), 0)) over (order by seq)
    - coalesce(octet_length(payload), 0) as bytes_before
  from (
    select * from outbox where seq > $3 and not exists (
      select from unnest($4::text[], $5::bytea[]) as refused (topic, key)
      where topic = aggregatetype and key is not distinct from aggregateid)
    order by seq limit $1
  ) as oldest
) as measured
where bytes_before < $2
order by seq
"""
_FETCH_FIRST: Final = """
select seq, id, aggregatetype, aggregateid, type, payload,
  correlationid, causationid, traceparent, headers, occurred_at
from outbox where aggregatetype = $1 and aggregateid is not distinct from $2 order by seq limit 1
"""
_MEASURE: Final = """
select count(*) as size_messages,
  coalesce(extract(epoch from clock_timestamp() - (array_agg(occurred_at order by seq))[1])::float8, 0)
    as oldest_age_seconds
from (select seq, occurred_at from outbox where seq > $2 order by seq limit $1) as waiting
"""
# A delete that a crash of the database undoes sends a message again, which its readers know by its id: no commit of
# the relay's waits for the disk. An outbox that was large and is nearly empty must not be read from end to end, though
# the planner may think so: its index is as large.
_DELETE_LAZILY: Final = "set synchronous_commit to off"
_READ_BY_INDEX: Final = "set enable_seqscan to off"
_READ_BY_INDEX_HERE: Final = "set local enable_seqscan to off"
_DELETE: Final = "delete from outbox where seq = any($1::bigint[])"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RelayState:
    """What health checks see of the relay."""

    leading: bool = False
    published_at: float = field(default_factory=time.monotonic)
    failure: str | None = None
    refused: str | None = None
    """The keys that the broker refuses, in a sentence."""


@lru_cache(maxsize=64)  # the messages of a transaction have one time
def _time_of(occurred_at: datetime) -> bytes:
    return occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


def headers_of(row: "asyncpg.Record", source: str) -> list[tuple[str, bytes | None]]:
    """The Kafka headers of an outbox row: CloudEvents in binary mode, or a dead letter's own."""
    if row["headers"] is not None:
        return [(name, bytes.fromhex(value) if value is not None else None) for name, value in row["headers"]]
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", row["id"].encode()),
        ("ce_source", source.encode()),
        ("ce_type", row["type"].encode()),
        ("ce_subject", row["aggregateid"]),
        ("ce_time", _time_of(row["occurred_at"])),
        ("content-type", b"application/json"),
    ]
    for name, column in (
        ("traceparent", "traceparent"),
        ("ce_correlationid", "correlationid"),
        ("ce_causationid", "causationid"),
    ):
        if row[column] is not None:
            headers.append((name, row[column].encode()))
    return headers


class Relay:
    """Publishes one service's outbox; run it as a task for as long as the service lives."""

    def __init__(self, database: Database, producer: KeyedProducer, *, service: str) -> None:
        self._database = database
        self._producer = producer
        self._source = f"sluice/{service}"
        self._start = OutboxStart()
        self._backoff = Backoff(BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX)
        self.refused = RefusedKeys()
        self._connection: asyncpg.Connection[Any] | None = None
        self._trouble = Trouble()
        self.state = RelayState()

    @property
    def settled(self) -> int:
        """The number up to which nothing is left in the outbox and nothing can come; 0 while another one leads.

        0 too while keys are left out: what the broker refuses of them waits below the number.
        """
        return self._start.settled if self.state.leading and not self.refused else 0

    async def run(self) -> None:
        """Lead when elected, publish, and start over after any failure, with back-off; ends only when cancelled."""
        while True:
            try:
                await self._lead()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling() > 0:
                    await self._resign()
                    raise
                self.state.failure = "cancelled from inside"
            except Exception as error:  # noqa: BLE001 - told, and tried again
                self.state.failure = name_of(error)
                self._tell(error)
            await self._resign()
            await self._producer.renew()
            await self._backoff.wait()

    def _tell(self, error: Exception) -> None:
        is_new = self._trouble.begins(name_of(error))
        if is_transient(error) or isinstance(error, KafkaError):
            if is_new:
                log.warning("relay cannot publish now, starting over", reason=type(error).__name__)
            return
        metrics.count_own_fault("relay")
        if is_new:
            log.error("relay failed, starting over", exc_info=error)

    async def _resign(self) -> None:
        self.state.leading = False
        if self._connection is not None:
            self._connection.terminate()  # closing the session gives up the lock at once
            self._connection = None

    async def _lead(self) -> None:
        self._connection = await self._database.connect()
        self._start = OutboxStart()
        await self._connection.execute(_DELETE_LAZILY)
        await self._connection.execute(_READ_BY_INDEX)
        while not await self._connection.fetchval(_ELECT):
            self.state.failure = None
            self.state.published_at = time.monotonic()
            await asyncio.sleep(ELECTION_SECONDS)
        self.state.leading = True
        log.info("relay leads")
        while True:
            self._database.committed.clear()
            published = await self.publish_oldest(self._connection)
            published += await self.try_refused(self._connection)
            self._backoff.succeeded()
            if self._trouble.ends():
                log.info("relay goes on")
            self.state.failure = None
            self.state.published_at = time.monotonic()
            if published == 0:
                try:
                    idle_seconds = IDLE_SECONDS_BESIDE_REFUSED if self.refused else IDLE_SECONDS
                    async with asyncio.timeout(idle_seconds):
                        await self._database.committed.wait()
                except TimeoutError:
                    pass

    async def publish_oldest(self, connection: Connection) -> int:
        """Send the oldest rows and delete those that the broker has; returns how many rows there were.

        A row that failed keeps its key's later rows in the outbox too, so that the order per key stands. What the
        broker refuses leaves its key out from then on. Raises the first failure if none was a refusal.
        """
        rows = await connection.fetch(
            _FETCH, BATCH_ROWS_MAX, BATCH_BYTES_MAX, self._start.after(), *self.refused.columns()
        )
        await self._start.follow(connection, [row["seq"] for row in rows])
        if rows:
            await self._publish(connection, rows)
        return len(rows)

    async def try_refused(self, connection: Connection) -> int:
        """Try refused keys whose time has come, each alone, with its oldest row; returns how many the broker took."""
        accepted = 0
        for key in self.refused.due():
            rows = await connection.fetch(_FETCH_FIRST, *key)
            if not rows or await self._publish(connection, rows):
                self.refused.accept(key)
                self._start.begin_anew()
                accepted += 1
        self._tell_refused()
        return accepted

    async def _publish(self, connection: Connection, rows: Sequence["asyncpg.Record"]) -> int:
        failpoints.hit(failpoints.RELAY_BEFORE_SEND)
        outcomes = await self._send(rows)
        failpoints.hit(failpoints.RELAY_AFTER_SEND)
        failed: dict[Key, BaseException] = {}
        published = []
        for row, error in zip(rows, outcomes, strict=True):
            key = (row["aggregatetype"], row["aggregateid"])
            if error is not None:
                failed.setdefault(key, error)
            elif key not in failed:
                published.append(row["seq"])
        await connection.execute(_DELETE, published)
        metrics.count_published(len(published))
        if failed:
            await self._leave_out(failed)
        return len(published)

    async def _leave_out(self, failed: Mapping[Key, BaseException]) -> None:
        refusals = {key: error for key, error in failed.items() if is_refusal(error)}
        for (topic, key), error in refusals.items():
            if self.refused.refuse((topic, key), error):
                log.warning("broker refuses a message, trying its key alone", topic=topic, **describe(error))
        if not refusals or self.refused.is_full:
            raise next(iter(failed.values()))
        # What failed beside a refusal may have failed for it: an idempotent producer cannot send behind one.
        await self._producer.renew()

    def _tell_refused(self) -> None:
        sentence = self.refused.sentence()
        if sentence != self.state.refused:
            (log.info if sentence is None else log.error)(
                "refused keys", sentence=sentence or "there are none"
            )
        self.state.refused = sentence
        metrics.set_refused_keys(self.refused.tried)

    async def _send(self, rows: Sequence["asyncpg.Record"]) -> list[BaseException | None]:
        messages = [
            KeyedMessage(
                row["aggregatetype"], row["aggregateid"], row["payload"], headers_of(row, self._source)
            )
            for row in rows
        ]
        with traces.send_spans(
            (row["aggregatetype"], traces.MessageLink(row["id"], row["traceparent"])) for row in rows
        ):
            return await self._producer.send(messages)


async def measure_outbox(database: Database, *, after: int = 0) -> None:
    """Tell the metrics how many messages wait, counted up to COUNTED_ROWS_MAX, and for how long the oldest has.

    Those up to `after` are known to be gone.
    """
    async with database.pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(_READ_BY_INDEX_HERE)
        (row,) = await connection.fetch(_MEASURE, COUNTED_ROWS_MAX, after)
    metrics.set_outbox(row["size_messages"], max(0.0, row["oldest_age_seconds"]))
