"""P4: the relay, from outbox to broker, beside a bare producer of the same messages."""

import asyncio
import time
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer

from shared.database.database import Database
from shared.database.unit_of_work import Cause
from shared.messaging.producer import KeyedProducer
from shared.messaging.relay import BATCH_ROWS_MAX, Relay, headers_of
from shared.service import make_producer
from sluice.benchmarks.figures import Figure, Goal, Measured, Result
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Sample
from sluice.benchmarks.servers import Servers, fresh_database

MESSAGES_PER_SECOND_MIN: Final = 20_000

_SCHEMA: Final = "release"
_TOPIC: Final = "release.events"
_TYPE: Final = "release.billing-event.released.v1"
_FILL_MESSAGES: Final = 2_000


async def measure_relay(servers: Servers, messages: int) -> Result:
    """Fill an outbox with messages of the size of billing events, and let the service's own relay empty it."""
    async with fresh_database(servers.administrator_url) as url:
        database = Database(url, schema=_SCHEMA, application_name="bench-relay")
        producer = make_producer(servers.settings(), service="bench")
        relayed = KeyedProducer(lambda: make_producer(servers.settings(), service="bench"))
        await database.open()
        await producer.start()
        await relayed.start()
        try:
            await _fill(database, messages)
            async with database.pool.acquire() as connection:
                rows = await connection.fetch("select * from outbox order by seq")
            await _send_bare(producer, rows[:BATCH_ROWS_MAX])
            limit_seconds = await _send_bare(producer, rows)
            with measure_processor_time({}) as used:
                await _relay_all(database, relayed)
        finally:
            await producer.stop()
            await relayed.stop()
            await database.close()
    size_bytes = sum(len(row["payload"]) for row in rows) // len(rows)
    figure = Figure(
        what="outbox to broker",
        value=len(rows) / used.elapsed_seconds,
        unit="messages/s",
        limit=len(rows) / limit_seconds,
        limit_what="a bare aiokafka producer with the same options sends the same messages",
    )
    return Result(
        code="P4",
        title="Relay: outbox to broker",
        how=f"{len(rows):,} messages of {size_bytes:,} bytes wait in the outbox; the relay of the service sends them, "
        "keyed and in order, waits for the broker and deletes them.",
        measured=(Measured(figure, (Goal(MESSAGES_PER_SECOND_MIN),)),),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
    )


async def _fill(database: Database, messages: int) -> None:
    cause = Cause("causation", "correlation", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    bodies = [
        (event.key.decode(), {"body": event.value.decode()}) for event in Sample("R").events(_FILL_MESSAGES)
    ]
    for start in range(0, messages, _FILL_MESSAGES):
        async with database.transaction() as work:
            for key, body in bodies[: messages - start]:
                work.publish(_TYPE, key, body, cause)


async def _send_bare(producer: AIOKafkaProducer, rows: list["asyncpg.Record"]) -> float:
    """Seconds to send what the relay will send."""
    prepared: list[tuple[bytes, bytes, Any]] = [
        (row["aggregateid"], row["payload"], headers_of(row, "sluice/bench")) for row in rows
    ]
    started = time.perf_counter()
    for start in range(0, len(prepared), BATCH_ROWS_MAX):
        sent = [
            await producer.send(_TOPIC, payload, key=key, headers=headers)
            for key, payload, headers in prepared[start : start + BATCH_ROWS_MAX]
        ]
        await asyncio.gather(*sent)
    return time.perf_counter() - started


async def _relay_all(database: Database, producer: KeyedProducer) -> None:
    relay = Relay(database, producer, service="bench")
    connection = await database.connect()
    try:
        while await relay.publish_oldest(connection):
            pass
    finally:
        await connection.close()
