"""The limit of what PostgreSQL takes: one process writes the rows that services wrote, in batches, and nothing else.

The rows are read from the services' tables, so they have the same width; they go to the same tables of a fresh
database of the same server, with all their indexes and checks, table by table. Rows that were changed later are first
written as EARLIER says that they were. Messages that were in an outbox are written and deleted again. Left out are
counters (tables of few rows that are changed over and over) and other rows that were deleted again, which makes the
limit a little faster than what the services had to do.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Final

import asyncpg

from sluice.benchmarks.outbox_rows import OutboxRow
from sluice.benchmarks.servers import fresh_database

BATCH_ROWS: Final = 1_000

_COLUMNS: Final = """
select attname as name, format_type(atttypid, atttypmod) as type,
  attnum = any(coalesce((select conkey from pg_constraint where conrelid = attrelid and contype = 'p'), '{}')) as is_key
from pg_attribute
where attrelid = $1::regclass and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = ''
order by attnum
"""
_REFERENCES: Final = """
select conrelid::regclass::text as referring, confrelid::regclass::text as referred
from pg_constraint where contype = 'f' and conrelid <> confrelid
"""
_INSERT_OUTBOX: Final = """
insert into {table} (id, aggregatetype, aggregateid, type, payload, correlationid, causationid, traceparent)
select * from unnest(
  $1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[])
returning seq
"""

EARLIER: Final[Mapping[str, Sequence[Mapping[str, str]]]] = {
    "release.billing_events": (
        {
            "stage": "'awaiting_release'",
            "released_at": "null::timestamptz",
            "document_id": "null::text",
            "invoice_number": "null::text",
            "invoice_date": "null::date",
        },
        {
            "stage": "'released'",
            "document_id": "null::text",
            "invoice_number": "null::text",
            "invoice_date": "null::date",
        },
    ),
}
"""What changed rows held before, in the order of the changes: SQL by column."""


@dataclass(frozen=True, slots=True)
class Writes:
    """How many rows of a table were written."""

    inserted: int
    updated: int
    deleted: int


@dataclass(slots=True)
class Limit:
    """What was written, and how long the database took for it."""

    seconds: float = 0.0
    rows: int = 0
    statements: int = 0
    rows_by_table: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    is_key: bool

    @property
    def array_type(self) -> str:
        """What it travels as: an array's values as text, or `unnest` would flatten them."""
        return "text[]" if self.type.endswith("[]") else f"{self.type}[]"

    def read(self, earlier: Mapping[str, str]) -> str:
        """SQL that reads it as it was."""
        cast = "::text" if self.type.endswith("[]") else ""
        value = earlier.get(self.name, f'"{self.name}"')
        return f"({value}){cast}"

    def written(self) -> str:
        """SQL that takes it out of `given`."""
        return f'given."{self.name}"::{self.type}'


async def write_the_same(
    administrator_url: str, writes: Mapping[str, Writes], outbox_rows: Mapping[str, Sequence[OutboxRow]]
) -> Limit:
    """Write the rows that services have written to this database to a fresh one, and measure it.

    `writes` are the counts by `schema.table`; `outbox_rows` samples of each schema's messages.
    """
    limit = Limit()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(administrator_url))
        source = await asyncpg.connect(administrator_url)
        stack.push_async_callback(source.close)
        target = await asyncpg.connect(url)
        stack.push_async_callback(target.close)
        writer = _Writer(source, target, limit)
        for table in await _in_order_of_reference(source, writes):
            schema, _, name = table.partition(".")
            if name == "outbox":
                await writer.write_outbox(table, outbox_rows.get(schema, ()), writes[table].inserted)
            else:
                await writer.write_table(table, writes[table])
    return limit


async def _in_order_of_reference(
    connection: "asyncpg.Connection[Any]", writes: Mapping[str, Writes]
) -> list[str]:
    """The tables, each after those that it refers to."""
    graph: dict[str, set[str]] = {table: set() for table in sorted(writes)}
    for row in await connection.fetch(_REFERENCES):
        if row["referring"] in graph:
            graph[row["referring"]].add(row["referred"])
    return [table for table in TopologicalSorter(graph).static_order() if table in writes]


class _Writer:
    def __init__(
        self,
        source: "asyncpg.Connection[Any]",
        target: "asyncpg.Connection[Any]",
        limit: Limit,
    ) -> None:
        self._source = source
        self._target = target
        self._limit = limit

    async def write_table(self, table: str, writes: Writes) -> None:
        """Insert a table's rows, then change them as often as they were changed."""
        columns = [
            _Column(row["name"], row["type"], row["is_key"])
            for row in await self._source.fetch(_COLUMNS, table)
        ]
        changes = EARLIER.get(table, ())
        insert = _insert(table, columns)
        rows = 0
        async for batch in self._batches(table, columns, changes[0] if changes else {}):
            rows += len(batch[0])
            await self._execute(table, insert, batch)
        if not changes and (rows < BATCH_ROWS or writes.updated < rows):
            return
        keys = [column for column in columns if column.is_key]
        if not keys or len(keys) == len(columns):
            return  # without a key, or with nothing beside it, its rows cannot be changed one by one
        if changes:
            changed = [column for column in columns if column.name in changes[0]]
            states: list[Mapping[str, str]] = [*changes[1:], {}]
        else:
            changed = [column for column in columns if not column.is_key]
            states = [{}] * (writes.updated // rows)
        update = _update(table, keys, changed)
        for state in states:
            async for batch in self._batches(table, [*keys, *changed], state):
                await self._execute(table, update, batch)

    async def write_outbox(self, table: str, sample: Sequence[OutboxRow], count: int) -> None:
        """Write as many messages as there were, and delete them again, as the relay does."""
        if not sample:
            return
        insert, delete = (
            _INSERT_OUTBOX.format(table=table),
            f"delete from {table} where seq = any($1::bigint[])",  # noqa: S608
        )
        for start in range(0, count, BATCH_ROWS):
            rows = [sample[place % len(sample)] for place in range(start, min(start + BATCH_ROWS, count))]
            inserted = await self._execute(table, insert, list(zip(*rows, strict=True)))
            await self._execute(table, delete, [[row["seq"] for row in inserted]], len(inserted))

    async def _batches(
        self, table: str, columns: Sequence[_Column], earlier: Mapping[str, str]
    ) -> AsyncIterator[list[tuple[Any, ...]]]:
        """The table's rows as columns of arrays, ready to be written."""
        names = ", ".join(column.read(earlier) for column in columns)
        async with self._source.transaction(readonly=True):
            cursor = await self._source.cursor(f"select {names} from {table}")  # noqa: S608 - names of the catalogue
            while rows := await cursor.fetch(BATCH_ROWS):
                yield list(zip(*rows, strict=True))

    async def _execute(
        self, table: str, statement: str, columns: Sequence[Sequence[Any]], rows: int | None = None
    ) -> "list[asyncpg.Record]":
        started = time.perf_counter()
        answer: list[asyncpg.Record] = await self._target.fetch(statement, *columns)
        self._limit.seconds += time.perf_counter() - started
        count = len(columns[0]) if rows is None else rows
        self._limit.statements += 1
        self._limit.rows += count
        self._limit.rows_by_table[table] = self._limit.rows_by_table.get(table, 0) + count
        return answer


def _given(columns: Sequence[_Column]) -> str:
    arrays = ", ".join(f"${place}::{column.array_type}" for place, column in enumerate(columns, start=1))
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f"unnest({arrays}) as given ({names})"


def _insert(table: str, columns: Sequence[_Column]) -> str:
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(column.written() for column in columns)
    return f"insert into {table} ({names}) select {values} from {_given(columns)}"  # noqa: S608


def _update(table: str, keys: Sequence[_Column], changed: Sequence[_Column]) -> str:
    assignments = ", ".join(f'"{column.name}" = {column.written()}' for column in changed)
    conditions = " and ".join(f'target."{column.name}" = {column.written()}' for column in keys)
    given = _given([*keys, *changed])
    return f"update {table} as target set {assignments} from {given} where {conditions}"  # noqa: S608
