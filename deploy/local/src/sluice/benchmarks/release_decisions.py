"""P2: release decisions on one hot project cap, beside the same rows written by one transaction of SQL per 100."""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from aiokafka import ConsumerRecord

from release.consumers import Commands, psa_line
from release.domain.settings import ReleaseSettings
from release.domain.sources import CompanySource
from release.handlers.release_commands import command_handlers
from release.store.connection import Connection
from release.store.late_events import Patience
from shared.database.database import Database
from shared.memory import spare_collections
from shared.messaging.batches import RECORDS_MAX, BatchProcessor
from sluice.benchmarks.figures import Figure, Goal, Measured, Result
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Prepared, Sample
from sluice.benchmarks.servers import fresh_database

LIMIT_SHARE_MIN: Final = 0.5
DECISIONS_PER_TRANSACTION: Final = 100

_SCHEMA: Final = "release"
_WARM_UP_SHARE: Final = 0.1
_WAIT_SECONDS: Final = 60.0

_LOCK: Final = "select project_id from projects where project_id = $1 for no key update"
_READ: Final = (
    "select * from billing_events where billing_event_id = any($1::text[]) order by 1 for no key update"
)
_RELEASE: Final = """
update billing_events as event
set stage = 'released', released_at = now(), summary_amount = given.summary_amount, changed_at = now()
from unnest($1::text[], $2::numeric[]) as given (billing_event_id, summary_amount)
where event.billing_event_id = given.billing_event_id
"""
_COUNT: Final = """
insert into project_totals as total (project_id, currency, released, ceiling) values ($1, 'GBP', $2, $3)
on conflict (project_id, currency) do update set released = total.released + excluded.released
"""
_ADDED: Final[Mapping[str, Mapping[str, str]]] = {
    "inbox": {"message_id": "text", "source": "text", "payload_hash": "bytea"},
    "cap_ledger": {
        "project_id": "text",
        "budget_id": "text",
        "billing_event_id": "text",
        "act": "text",
        "amount": "numeric",
        "currency": "text",
        "released_after": "numeric",
        "decision": "jsonb",
    },
    "billing_event_history": {
        "billing_event_id": "text",
        "what": "text",
        "actor": "jsonb",
        "job_id": "text",
        "correlation_id": "text",
        "detail": "jsonb",
    },
    "outbox": {
        "id": "text",
        "aggregatetype": "text",
        "aggregateid": "bytea",
        "type": "text",
        "payload": "bytea",
        "correlationid": "text",
        "causationid": "text",
        "traceparent": "text",
    },
    "billed_items": {"item_id": "text", "copy": "integer", "billing_event_id": "text"},
}
"""What a decision adds to which table, with the columns' types; the rest of its rows is changed."""

_ROWS_OF: Final = {
    "inbox": "select {columns} from inbox where message_id like '%:release' order by message_id",
    "cap_ledger": "select {columns} from cap_ledger order by entry_id",
    "billing_event_history": "select {columns} from billing_event_history where what = 'released' order by entry_id",
    "outbox": "select {columns} from outbox where type <> 'release.billing-event.registered.v1' order by seq",
    "billed_items": "select {columns} from billed_items order by billing_event_id, item_id",
}


_EVENT_ID: Final = list(_ADDED["cap_ledger"]).index("billing_event_id")
_AMOUNT: Final = list(_ADDED["cap_ledger"]).index("amount")
_CEILING: Final = Decimal(10**12)


@dataclass(frozen=True, slots=True)
class _Written:
    """The rows of all decisions by table, in their order; each table has as many of each event."""

    rows: dict[str, list[tuple[Any, ...]]]
    decisions: int

    def of(self, table: str, start: int) -> list[tuple[Any, ...]]:
        """The rows of one transaction's decisions."""
        rows = self.rows[table]
        each = len(rows) // self.decisions
        return rows[start * each : (start + DECISIONS_PER_TRANSACTION) * each]


async def measure_release_decisions(administrator_url: str, decisions: int) -> Result:
    """Release so many events of one project through the service's own line of commands, and write the same by SQL."""
    decisions = max(decisions - decisions % RECORDS_MAX, 2 * RECORDS_MAX)
    sample = Sample(f"D{secrets.token_hex(3)}", projects=1)
    async with _books(administrator_url, sample, decisions) as database:
        processor = _commands(database)
        commands = _records(sample.release(sample.event_id(number)) for number in range(decisions))
        warm_up = max(RECORDS_MAX, round(decisions * _WARM_UP_SHARE / RECORDS_MAX) * RECORDS_MAX)
        spare_collections()  # as the service does when it starts
        await _take(processor, commands[:warm_up])
        with measure_processor_time({}) as used:
            await _take(processor, commands[warm_up:])
        written = await _read_back(database, decisions)
    limit_seconds = []
    for add in (_insert, _copy):
        async with _books(administrator_url, sample, decisions) as database:
            limit_seconds.append(await _write(database, sample, written, warm_up, add))
    counted = decisions - warm_up
    figure = Figure(
        what="release decisions on one project's cap",
        value=counted / used.elapsed_seconds,
        unit="decisions/s",
        limit=counted / limit_seconds[0],
        limit_what=f"one process writes the same rows by set-based SQL, one transaction per "
        f"{DECISIONS_PER_TRANSACTION} decisions: the project and its events locked and read, the events changed, "
        "ledger, history, inbox, outbox and billed items inserted, the total counted; no decision is made, and the "
        "messages are there beforehand",
    )
    return Result(
        code="P2",
        title="Release decisions on one hot project cap",
        how=f"{counted:,} commands each release an event of {sample.items_per_event} items of one project with an "
        f"enforced cap, taken by the service's own line in batches of {RECORDS_MAX}, from the records' bytes to the "
        f"commit, with everything that a release writes. {warm_up:,} more went before, uncounted.",
        measured=(Measured(figure, (Goal(LIMIT_SHARE_MIN, is_ratio=True),)),),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
        details={
            "the same rows copied, instead of inserted by SQL": f"{counted / limit_seconds[1]:,.0f} decisions/s",
            "rows per decision in the limit": ", ".join(
                f"{table} {len(rows) / decisions:.1f}" for table, rows in written.rows.items()
            )
            + ", billing_events 1.0",
        },
    )


@asynccontextmanager
async def _books(administrator_url: str, sample: Sample, events: int) -> AsyncIterator[Database]:
    """A fresh database of the release service in which the sample's events await release."""
    async with fresh_database(administrator_url) as url:
        database = Database(url, schema=_SCHEMA, application_name="bench-release")
        await database.open()
        try:
            line = BatchProcessor(database, psa_line(CompanySource.PROJECT), service=_SCHEMA)
            await _take(line, _records(sample.sources()))
            await _take(line, _records(sample.events(events)))
            await database.pool.execute("vacuum analyze")
            yield database
        finally:
            await database.close()


def _commands(database: Database) -> BatchProcessor:
    settings = ReleaseSettings(support_contact="support@localhost")
    line = Commands(command_handlers(settings), Patience(_WAIT_SECONDS)).line()
    return BatchProcessor(database, line, service=_SCHEMA)


def _records(prepared: Iterable[Prepared]) -> list["ConsumerRecord[bytes, bytes]"]:
    """What a consumer would hand to its line."""
    return [
        ConsumerRecord(
            topic=each.topic,
            partition=0,
            offset=offset,
            timestamp=0,
            timestamp_type=0,
            key=each.key,
            value=each.value,
            checksum=None,
            serialized_key_size=len(each.key),
            serialized_value_size=len(each.value),
            headers=tuple(each.headers),
        )
        for offset, each in enumerate(prepared)
    ]


async def _take(processor: BatchProcessor, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
    for start in range(0, len(records), RECORDS_MAX):
        await processor.take(records[start : start + RECORDS_MAX])


async def _read_back(database: Database, decisions: int) -> _Written:
    """What the decisions wrote. Raises RuntimeError unless every one was a release: else it would not be comparable."""
    rows = {
        table: [
            tuple(row) for row in await database.pool.fetch(query.format(columns=", ".join(_ADDED[table])))
        ]
        for table, query in _ROWS_OF.items()
    }
    if len(rows["cap_ledger"]) != decisions:
        raise RuntimeError(f"{len(rows['cap_ledger']):,} of {decisions:,} events were released")
    return _Written(rows, decisions)


async def _write(
    database: Database, sample: Sample, written: _Written, warm_up: int, add: Callable[..., Awaitable[None]]
) -> float:
    """Write it all again, one transaction after the other; gives the seconds of those that count."""
    project_id = sample.project_id(0)
    seconds = 0.0
    async with database.pool.acquire() as connection:
        for start in range(0, written.decisions, DECISIONS_PER_TRANSACTION):
            ledger = written.of("cap_ledger", start)
            event_ids = [row[_EVENT_ID] for row in ledger]
            amounts = [row[_AMOUNT] for row in ledger]
            started = time.perf_counter()
            async with connection.transaction():
                await connection.fetch(_LOCK, project_id)
                await connection.fetch(_READ, event_ids)
                await connection.execute(_RELEASE, event_ids, amounts)
                for table in _ADDED:
                    await add(connection, table, written.of(table, start))
                await connection.execute(_COUNT, project_id, sum(amounts), _CEILING)
            if start >= warm_up:
                seconds += time.perf_counter() - started
    return seconds


async def _insert(connection: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = _ADDED[table]
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(columns.values(), start=1))
    # The parts are column names and types of ours; every value is a parameter.
    statement = f"insert into {table} ({', '.join(columns)}) select * from unnest({arrays})"  # noqa: S608
    await connection.execute(statement, *map(list, zip(*rows, strict=True)))


async def _copy(connection: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=list(_ADDED[table]))
