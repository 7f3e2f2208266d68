"""P6 and the run of P9: a billing run over many events, step by step up to the XML files of its documents."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer

from sluice.benchmarks.driver import Driver, StallError
from sluice.benchmarks.figures import LOWER, Figure, Goal, Measured, Result
from sluice.benchmarks.limit import Writes, write_the_same
from sluice.benchmarks.memory import MEBIBYTE, peak_memory_bytes
from sluice.benchmarks.outbox_rows import sample_outbox_rows
from sluice.benchmarks.processor_time import ProcessorTime, measure_processor_time
from sluice.benchmarks.sample import Sample, prepare
from sluice.benchmarks.whole_way import process_ids
from sluice.benchmarks.write_counts import count_writes
from sluice.broker_options import broker_options
from sluice.services import SERVICES
from sluice.system import System

ITEMS_PER_EVENT: Final = 10
RUN_DOCUMENTS: Final = 100_000
RUN_SECONDS_MAX: Final = 300.0
GROWTH_MAX: Final = 1.2
SMALLEST_DOCUMENTS: Final = 1_000
RUN_DOCUMENTS_FACTOR: Final = 2
"""Documents of the run of P6 for each event of the largest benchmark: 100,000 for 50,000."""

LARGE_RUN_DOCUMENTS_FACTOR: Final = 4
"""The same of P9: 200,000."""
MEMORY_MEBIBYTES_MAX: Final = 512

_POLL_SECONDS: Final = 0.05
_STALL_SECONDS_MAX: Final = 120.0
_SCHEMAS: Final = tuple(service.module for service in SERVICES)
_STEPS: Final[tuple[tuple[str, str, Mapping[str, str], str], ...]] = (
    ("lines", "process", {}, "invoice_lines_created"),
    ("drafts and rules", "process", {}, "draft_invoices"),
    ("validation", "process", {}, "validated"),
    ("XML", "render", {"format": "xml"}, "validated"),
)
"""Each step's name, the command that starts it, what it takes, and the status that it leads to."""

_RULES: Final = """
insert into billing_runs.rules (code, version, kind, priority, fail_status, mode, expression, children, message)
values ($1, 1, null, $2, 'rejected', 'validation', $3, '[]', 'As agreed')
on conflict do nothing
"""
_RULE_EXPRESSIONS: Final = ("total_net <= 1000000", 'account.country != ""', "currency == 'GBP'")
_RELEASED: Final = tuple(
    f"select count(*) from {schema}.billing_events where batch_id = $1 and stage = 'released'"  # noqa: S608 - ours
    for schema in ("billing_runs", "accounting_connector")
)
"""How many of a batch's events each service that takes part in a run knows as released."""

_PROGRESS: Final = """
select run.status, run.execution, latest.step, latest.status as step_status, latest.done, latest.errors
from billing_runs.runs as run
left join lateral (
  select * from billing_runs.executions as one where one.run_id = run.run_id order by number desc limit 1
) as latest on true
where run.run_id = $1
"""


@dataclass(slots=True)
class MeasuredRun:
    """How long each step of a run over so many documents took."""

    documents: int
    seconds_by_step: dict[str, float] = field(default_factory=dict)
    used: ProcessorTime = field(default_factory=ProcessorTime)

    @property
    def seconds(self) -> float:
        """All its steps."""
        return sum(self.seconds_by_step.values())

    @property
    def milliseconds_per_document(self) -> float:
        """What one document took."""
        return self.seconds * 1000 / self.documents


async def measure_billing_runs(system: System, documents: int, *, settle: Callable[[], None]) -> Result:
    """P6: runs of growing size, the largest beside the same rows written by one process.

    `settle` is called once the services have nothing more to do, so that they can be stopped before that.
    """
    administrator_url = system.infrastructure.database.administrator_url
    sizes = [size for size in (documents // 100, documents // 10) if size >= SMALLEST_DOCUMENTS]
    runs = []
    connection = await asyncpg.connect(administrator_url)
    try:
        await _save_rules(connection)
        for size in [*sizes, documents]:
            sample = await _release_events(system, connection, size)
            before = await count_writes(administrator_url, _SCHEMAS)
            runs.append(await _run(system, connection, sample, size))
    finally:
        await connection.close()
    settle()
    written = _difference(await count_writes(administrator_url, _SCHEMAS), before)
    options = broker_options(system.infrastructure.broker.bootstrap_servers)
    limit = await write_the_same(administrator_url, written, await sample_outbox_rows(options))
    # All runs stand in the tables that the limit writes again.
    limit_seconds = limit.seconds * documents / sum(run.documents for run in runs)
    return _result(runs, limit_seconds)


async def measure_large_run(system: System, documents: int) -> Result:
    """The run of P9: what memory each process needs for it."""
    connection = await asyncpg.connect(system.infrastructure.database.administrator_url)
    try:
        await _save_rules(connection)
        sample = await _release_events(system, connection, documents)
        run = await _run(system, connection, sample, documents)
    finally:
        await connection.close()
    services = {name: process.pid for name, process in system.services.items()}
    peaks = {name: peak / MEBIBYTE for name, peak in peak_memory_bytes(services).items()}
    return Result(
        code="P9-RUN",
        title=f"A billing run of {documents:,} documents",
        how=f"A manual run over {documents:,} events of {ITEMS_PER_EVENT} items is processed up to its XML files; then "
        "the system is asked for the peak of resident memory of each service and of the processes that it started, "
        "which holds the registering and releasing of the events as well.",
        measured=tuple(
            Measured(
                Figure(f"memory of {name} at most", peak, "MiB"), (Goal(MEMORY_MEBIBYTES_MAX, sense=LOWER),)
            )
            for name, peak in sorted(peaks.items())
        ),
        elapsed_seconds=run.used.elapsed_seconds,
        seconds_by_process=run.used.seconds_by_process,
        details={"the run took": _steps_in_words(run)},
    )


def _result(runs: Sequence[MeasuredRun], limit_seconds: float) -> Result:
    largest, smallest = runs[-1], runs[0]
    growth = largest.milliseconds_per_document / smallest.milliseconds_per_document
    seconds_max = RUN_SECONDS_MAX * largest.documents / RUN_DOCUMENTS
    speed = Figure(
        what=f"run of {largest.documents:,} documents of {ITEMS_PER_EVENT} lines, up to their XML",
        value=largest.documents / largest.seconds,
        unit="documents/s",
        limit=largest.documents / limit_seconds,
        limit_what="one process writes the rows of such a run in batches of 1,000",
    )
    whole = Figure(what="the whole run took", value=largest.seconds, unit="s")
    growing = Figure(
        what=f"time per document, {largest.documents:,} documents against {smallest.documents:,}",
        value=growth,
        unit="times",
    )
    return Result(
        code="P6",
        title="A billing run: lines, drafts, rules, validation, XML",
        how=f"Events of {ITEMS_PER_EVENT} items are registered and released beforehand. A manual run takes all of them "
        f"by a filter, one document each, with {len(_RULE_EXPRESSIONS)} rules, and is processed as soon as each step "
        "ends. Four services, broker and database share this machine; release writes back meanwhile.",
        measured=(
            Measured(speed, (Goal(RUN_DOCUMENTS / RUN_SECONDS_MAX),)),
            Measured(whole, (Goal(seconds_max, sense=LOWER),)),
            Measured(growing, (Goal(GROWTH_MAX, sense=LOWER),)),
        ),
        elapsed_seconds=largest.used.elapsed_seconds,
        seconds_by_process=largest.used.seconds_by_process,
        details={f"{run.documents:,} documents": _steps_in_words(run) for run in runs},
    )


def _steps_in_words(run: MeasuredRun) -> str:
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds_by_step.items())
    return f"{steps}; {run.milliseconds_per_document:.2f} ms per document"


def _difference(after: Mapping[str, Writes], before: Mapping[str, Writes]) -> dict[str, Writes]:
    """What was written in between, of the tables that have got new rows."""
    nothing = Writes(0, 0, 0)
    written = {}
    for table, total in after.items():
        known = before.get(table, nothing)
        inserted = total.inserted - known.inserted
        if inserted > 0:
            written[table] = Writes(inserted, total.updated - known.updated, total.deleted - known.deleted)
    return written


async def _save_rules(connection: "asyncpg.Connection[Any]") -> None:
    for place, expression in enumerate(_RULE_EXPRESSIONS):
        await connection.execute(_RULES, f"BENCH-{place}", place, expression)


async def _release_events(system: System, connection: "asyncpg.Connection[Any]", documents: int) -> Sample:
    """So many events in a batch of their own, released, and known as such to those who take part in a run."""
    sample = Sample(f"R{secrets.token_hex(3)}", items_per_event=ITEMS_PER_EVENT, passes_to_accounting=False)
    servers = system.infrastructure
    async with Driver(broker_options(servers.broker.bootstrap_servers), sample) as driver:
        await driver.send_sources(servers.database.administrator_url)
        await driver.send(sample.events(documents))
        for count in _RELEASED:
            await _until_steady(
                connection, count, sample.batch_id, lambda row: bool(row["count"] >= documents)
            )
    return sample


async def _run(
    system: System, connection: "asyncpg.Connection[Any]", sample: Sample, documents: int
) -> MeasuredRun:
    run = MeasuredRun(documents)
    run_id = f"{sample.code}-RUN"
    options = broker_options(system.infrastructure.broker.bootstrap_servers)
    async with AIOKafkaProducer(acks="all", **options) as producer:
        scope = {"filter": {"batch_id": sample.batch_id}}
        await _command(
            producer,
            run_id,
            "create",
            0,
            {"kind": "exceptional", "scope": scope, "invoice_date": "2026-11-30"},
        )
        await _until_steady(connection, _PROGRESS, run_id, lambda row: row["status"] == "new")
        with measure_processor_time(process_ids(system)) as run.used:
            for number, (name, command, body, status) in enumerate(_STEPS, start=1):
                started = time.perf_counter()
                await _command(producer, run_id, command, number, body)
                await _until_steady(connection, _PROGRESS, run_id, _has_reached(status, number))
                run.seconds_by_step[name] = time.perf_counter() - started
    return run


def _has_reached(status: str, number: int) -> Callable[[Mapping[str, Any]], bool]:
    step = ("invoice_lines", "invoices", "validation", "xml")[number - 1]

    def reached(row: Mapping[str, Any]) -> bool:
        if row["execution"] == "failed" or row["errors"]:
            raise StallError(f"the step {row['step']} of the run ended as {row['step_status']}")
        return bool(row["step"] == step and row["execution"] == "idle" and row["status"] == status)

    return reached


async def _command(
    producer: AIOKafkaProducer, run_id: str, what: str, number: int, body: Mapping[str, Any]
) -> None:
    command = prepare(
        "billing-runs.commands",
        run_id,
        {"run_id": run_id, **body},
        subject=run_id,
        message_type=f"billing-runs.run.{what}.v1",
        message_id=f"{run_id}:{number}",
    )
    await producer.send_and_wait(command.topic, command.value, key=command.key, headers=command.headers)


async def _until_steady(
    connection: "asyncpg.Connection[Any]",
    query: str,
    parameter: str,
    is_there: Callable[[Mapping[str, Any]], bool],
) -> None:
    """Wait until the row is as wanted. Raises StallError if it stands still for too long."""
    last, last_at = "", time.monotonic()
    while True:
        row = await connection.fetchrow(query, parameter)
        if row is not None and is_there(row):
            return
        seen = json.dumps(dict(row) if row is not None else None, default=str)
        if seen != last:
            last, last_at = seen, time.monotonic()
        elif time.monotonic() - last_at > _STALL_SECONDS_MAX:
            raise StallError(f"nothing moved for {_STALL_SECONDS_MAX:g} s; last seen: {seen}")
        await asyncio.sleep(_POLL_SECONDS)
