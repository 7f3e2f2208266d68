"""Process runs: what was asked, and what they have come to."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import asyncpg

from accounting_connector.domain.grouping import Grouping, Threshold
from accounting_connector.domain.process_runs import (
    CurrencyTotal,
    LeftOutTotal,
    LogEntry,
    LogResult,
    ProcessRunKind,
    ProcessRunStatus,
    Tally,
)
from accounting_connector.store.connection import Connection, Reader, json_list
from accounting_connector.store.reason_bodies import bounded, reason_bodies, reasons_of
from shared.database.unit_of_work import Cause
from shared.money import format_number

_INSERT: Final = """
insert into process_runs (
  process_run_id, kind, name, status, selection, validates, billing_run_id, grouping, invoice_date, collection_date,
  threshold_amount, threshold_currency, job_id, collects_job, at_once, starter, correlation_id, causation_id,
  traceparent, invoices, credit_notes, not_passed, already_done, totals, first_reasons, additional_recipients,
  unknown_wait_seconds, warnings, left_out, failing, failing_since, permitted_projects, ended_at)
select process_run_id, kind, name, status, selection, validates, billing_run_id, grouping, invoice_date,
  collection_date, threshold_amount, threshold_currency, job_id, collects_job, at_once, starter, correlation_id,
  causation_id, traceparent, invoices, credit_notes, not_passed, already_done, totals, first_reasons,
  array(select jsonb_array_elements_text(additional_recipients)), unknown_wait_seconds, warnings,
  left_out, failing, failing_since,
  case when permitted_projects is not null then array(select jsonb_array_elements_text(permitted_projects)) end,
  case when status <> 'in_progress' then now() end
from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::bool[], $7::text[], $8::text[], $9::date[],
  $10::date[], $11::numeric[], $12::text[], $13::text[], $14::bool[], $15::bool[], $16::jsonb[], $17::text[],
  $18::text[], $19::text[], $20::int[], $21::int[], $22::int[], $23::int[], $24::jsonb[], $25::jsonb[], $26::jsonb[],
  $27::float8[], $28::int[], $29::jsonb[], $30::int[], $31::timestamptz[], $32::jsonb[])
  as run (
  process_run_id, kind, name, status, selection, validates, billing_run_id, grouping, invoice_date, collection_date,
  threshold_amount, threshold_currency, job_id, collects_job, at_once, starter, correlation_id, causation_id,
  traceparent, invoices, credit_notes, not_passed, already_done, totals, first_reasons, additional_recipients,
  unknown_wait_seconds, warnings, left_out, failing, failing_since, permitted_projects)
order by process_run_id
on conflict do nothing
returning process_run_id
"""
_COUNTED: Final = """
(select count(*) from process_run_events as entry where entry.process_run_id = run.process_run_id) as total,
(select count(*) from process_run_events as entry
 where entry.process_run_id = run.process_run_id and entry.result = 'pending') as pending
"""
_LOAD: Final = f"select run.*, {_COUNTED} from process_runs as run where process_run_id = $1"  # noqa: S608
_LIST: Final = f"""
select run.*, {_COUNTED} from process_runs as run
where ($1::text is null or status = $1) and ($2::text is null or kind = $2)
  and ($3::text is null or starter ->> 'user_id' = $3)
  and ($4::timestamptz is null or (created_at, process_run_id) < ($4, $5))
order by created_at desc, process_run_id desc limit $6
"""  # noqa: S608 - the parts are constants of this module
# A run that collects a job's events is over only when the job is: its last event came in the transaction that says so.
_TAKE: Final = """
select run.* from process_runs as run
where run.status = 'in_progress' and (run.due_at is null or run.due_at <= now()) and (
  run.kind <> 'on_demand' or run.worked_at > run.created_at or jsonb_exists(run.selection, 'billing_event_ids')
  or run.created_at <= now() - make_interval(secs => $1)
) and (
  exists (
    select from process_run_events as entry
    where entry.process_run_id = run.process_run_id and entry.result = 'pending' and entry.failures = 0
      and entry.due_at <= now())
  or not exists (
    select from process_run_events as entry
    where entry.process_run_id = run.process_run_id and entry.result = 'pending' and entry.failures = 0)
  and (not run.collects_job or exists (
    select from release_jobs as job where job.job_id = run.job_id and job.is_counted)))
order by run.worked_at, run.process_run_id limit 1
for update of run skip locked
"""
_EXTEND: Final = """
update process_runs set status = 'in_progress', ended_at = null, extended = extended + 1
where process_run_id = $1 and status <> 'in_progress'
"""
_TAKE_FAILING: Final = """
select run.* from process_runs as run
where run.failing > 0 and (run.due_at is null or run.due_at <= now()) and exists (
  select from process_run_events as entry
  where entry.process_run_id = run.process_run_id and entry.result = 'pending' and entry.failures > 0
    and entry.due_at <= now())
order by run.worked_at, run.process_run_id limit 1
for update of run skip locked
"""
_LOCK_FAILING_OF: Final = """
select * from process_runs where billing_run_id = $1 and failing > 0 order by process_run_id for update
"""
_PUT_OFF: Final = """
update process_runs set failures = failures + 1, failing_since = coalesce(failing_since, now()),
  due_at = now() + make_interval(secs => $2), worked_at = clock_timestamp()
where process_run_id = $1
"""
_COUNT_FAILING: Final = "select count(*) from process_runs where failing > 0 or failures > 0"
_LOCK: Final = "select * from process_runs where process_run_id = $1 for update"
_SAVE: Final = """
update process_runs set status = $2, invoices = $3, credit_notes = $4, not_passed = $5, already_done = $6, totals = $7,
  first_reasons = $8, additional_recipients = $9, at_once = $10, warnings = $11, left_out = $12,
  failing = $13, failing_since = $14, failures = 0, due_at = null, worked_at = clock_timestamp(),
  ended_at = case when $2 <> 'in_progress' then coalesce(ended_at, now()) end
where process_run_id = $1
"""
_PRUNE_ENTRIES: Final = """
delete from process_run_events where place in (
  select entry.place from process_runs as run join process_run_events as entry using (process_run_id)
  where run.ended_at < now() - make_interval(days => $1) and run.failing = 0 limit $2)
"""
_PRUNE: Final = """
delete from process_runs where process_run_id in (
  select process_run_id from process_runs as run
  where ended_at < now() - make_interval(days => $1)
    and not exists (select from process_run_events as entry where entry.process_run_id = run.process_run_id)
  order by ended_at limit $2 for update skip locked)
"""


@dataclass(frozen=True, slots=True)
class ProcessRun:
    """A process run. `collects_job`: the events of its job come while it runs. `at_once`: told without a mail.

    `unknown_wait_seconds`: how long after its start it waits for events that are not known yet, and for the accounts
    and companies of those that are known for less than that.
    """

    process_run_id: str
    kind: ProcessRunKind
    name: str
    selection: Mapping[str, Any]
    starter: Mapping[str, Any] | None
    cause: Cause
    unknown_wait_seconds: float
    validates: bool = True
    billing_run_id: str | None = None
    grouping: Grouping = Grouping.BILLING_EVENT
    invoice_date: datetime.date | None = None
    collection_date: datetime.date | None = None
    threshold: Threshold | None = None
    permitted_projects: frozenset[str] | None = None
    """The only projects of whose events it makes documents: those of the token that asked for it; None: all."""
    job_id: str | None = None
    extended: int = 0
    """How often it got more events after it had ended."""
    collects_job: bool = False
    at_once: bool = False
    status: ProcessRunStatus = ProcessRunStatus.IN_PROGRESS
    tally: Tally = field(default_factory=Tally)
    additional_recipients: tuple[str, ...] = ()
    failing_since: datetime.datetime | None = None
    """Since when events of it, or the run itself, fail by our own fault; None: nothing does."""
    failures: int = 0
    """How often the run itself could not be worked, since it last was."""
    created_at: datetime.datetime | None = None
    """When it was stored; None before that."""


async def insert_runs(connection: Connection, runs: Sequence[ProcessRun]) -> set[str]:
    """Store new runs; returns the ids of those that were new. One that is there already stays as it is."""
    if not runs:
        return set()
    rows = await connection.fetch(_INSERT, *map(list, zip(*map(_row_of, runs), strict=True)))
    return {row["process_run_id"] for row in rows}


async def load_run(connection: Reader, process_run_id: str) -> "asyncpg.Record | None":
    """The run's row, with how many events it has (`total`) and how many are still to be worked (`pending`)."""
    return await connection.fetchrow(_LOAD, process_run_id)


async def list_runs(
    connection: Reader,
    *,
    status: str | None,
    kind: str | None,
    starter: str | None,
    after: tuple[datetime.datetime, str] | None,
    limit: int,
) -> Sequence["asyncpg.Record"]:
    """Rows like that of `load_run`, newest first, at most `limit`, after this one."""
    created_at, process_run_id = after or (None, None)
    rows: list[Any] = await connection.fetch(_LIST, status, kind, starter, created_at, process_run_id, limit)
    return rows


async def take_run(connection: Connection, *, settle_seconds: float) -> tuple[ProcessRun, bool] | None:
    """Lock the open run that has something to do and was worked on longest ago, and whether it was never worked on.

    None if there is none. A run asked for over more than ids is left alone for its first `settle_seconds`. Skips runs
    that another worker holds. It is the first lock that its transaction takes.
    """
    row = await connection.fetchrow(_TAKE, settle_seconds)
    return None if row is None else (run_of(row), row["worked_at"] == row["created_at"])


async def extend_run(connection: Connection, process_run_id: str) -> None:
    """Let a run that has ended go on, since it got more events; locks it. One that goes on stays as it is."""
    await connection.execute(_EXTEND, process_run_id)


async def take_failing_run(connection: Connection) -> ProcessRun | None:
    """Lock the run that was worked on longest ago of those with events to be tried again now; None if there is none.

    Skips runs that another worker holds. It is the first lock that its transaction takes.
    """
    row = await connection.fetchrow(_TAKE_FAILING)
    return None if row is None else run_of(row)


async def lock_failing_runs_of(connection: Connection, billing_run_id: str) -> list[ProcessRun]:
    """Lock the billing run's process runs with events that are tried again."""
    return [run_of(row) for row in await connection.fetch(_LOCK_FAILING_OF, billing_run_id)]


async def put_off(connection: Connection, process_run_id: str, seconds: float) -> None:
    """Note that a locked run could not be worked, and after how many seconds it is to be again."""
    await connection.execute(_PUT_OFF, process_run_id, seconds)


async def count_failing(connection: Reader) -> int:
    """How many runs fail by our own fault, or have events that do."""
    return int(await connection.fetchval(_COUNT_FAILING))


async def lock_run(connection: Connection, process_run_id: str) -> ProcessRun | None:
    """Lock a run; None if it is not known."""
    row = await connection.fetchrow(_LOCK, process_run_id)
    return None if row is None else run_of(row)


async def save_run(connection: Connection, run: ProcessRun) -> None:
    """Keep what a locked run has come to."""
    tally = run.tally
    await connection.execute(
        _SAVE,
        run.process_run_id,
        run.status.value,
        tally.invoices,
        tally.credit_notes,
        tally.not_passed,
        tally.already_done,
        _totals_body(tally),
        _first_reasons_body(tally),
        list(run.additional_recipients),
        run.at_once,
        tally.warnings,
        _left_out_body(tally),
        tally.pending,
        run.failing_since,
    )


async def prune(connection: Connection, *, days: int, rows_max: int) -> bool:
    """Forget runs that ended more than so many days ago, their logs first; whether there may be more of them.

    At most so many rows of each.
    """
    entries = await connection.execute(_PRUNE_ENTRIES, days, rows_max)
    runs = await connection.execute(_PRUNE, days, rows_max)
    return rows_max in {int(status.rpartition(" ")[2]) for status in (entries, runs)}


def run_of(row: Mapping[str, Any]) -> ProcessRun:
    """A run from its row."""
    threshold, permitted = None, row["permitted_projects"]
    if row["threshold_amount"] is not None:
        threshold = Threshold(row["threshold_amount"], row["threshold_currency"])
    return ProcessRun(
        process_run_id=row["process_run_id"],
        kind=ProcessRunKind(row["kind"]),
        name=row["name"],
        selection=row["selection"],
        starter=row["starter"],
        cause=Cause(row["causation_id"], row["correlation_id"], row["traceparent"]),
        unknown_wait_seconds=row["unknown_wait_seconds"],
        validates=row["validates"],
        billing_run_id=row["billing_run_id"],
        grouping=Grouping(row["grouping"]),
        invoice_date=row["invoice_date"],
        collection_date=row["collection_date"],
        threshold=threshold,
        permitted_projects=None if permitted is None else frozenset(permitted),
        job_id=row["job_id"],
        extended=row["extended"],
        collects_job=row["collects_job"],
        at_once=row["at_once"],
        status=ProcessRunStatus(row["status"]),
        tally=_tally_of(row),
        additional_recipients=tuple(row["additional_recipients"]),
        failing_since=row["failing_since"],
        failures=row["failures"],
        created_at=row["created_at"],
    )


def _row_of(run: ProcessRun) -> tuple[Any, ...]:
    tally, threshold = run.tally, run.threshold
    return (
        run.process_run_id,
        run.kind.value,
        run.name,
        run.status.value,
        bounded(run.selection),  # whole it is the log
        run.validates,
        run.billing_run_id,
        run.grouping.value,
        run.invoice_date,
        run.collection_date,
        threshold.amount if threshold is not None else None,
        threshold.currency if threshold is not None else None,
        run.job_id,
        run.collects_job,
        run.at_once,
        run.starter,
        run.cause.correlation_id,
        run.cause.causation_id,
        run.cause.traceparent,
        tally.invoices,
        tally.credit_notes,
        tally.not_passed,
        tally.already_done,
        _totals_body(tally),
        json_list(_first_reasons_body(tally)),
        json_list(run.additional_recipients),
        run.unknown_wait_seconds,
        tally.warnings,
        _left_out_body(tally),
        tally.pending,
        run.failing_since,
        None if run.permitted_projects is None else json_list(sorted(run.permitted_projects)),
    )


def _left_out_body(tally: Tally) -> dict[str, list[Any]]:
    return {
        currency: [total.items, format_number(total.amount)] for currency, total in tally.left_out.items()
    }


def _totals_body(tally: Tally) -> dict[str, list[str]]:
    return {
        currency: [format_number(total.invoices), format_number(total.credit_notes)]
        for currency, total in tally.totals.items()
    }


def _first_reasons_body(tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "billing_event_id": entry.billing_event_id,
            "reasons": reason_bodies(entry.reasons),
        }
        for entry in tally.first_reasons
    ]


def _tally_of(row: Mapping[str, Any]) -> Tally:
    return Tally(
        invoices=row["invoices"],
        credit_notes=row["credit_notes"],
        not_passed=row["not_passed"],
        already_done=row["already_done"],
        warnings=row["warnings"],
        pending=row["failing"],
        left_out={
            currency: LeftOutTotal(items, Decimal(amount))
            for currency, (items, amount) in row["left_out"].items()
        },
        totals={
            currency: CurrencyTotal(Decimal(invoices), Decimal(credit_notes))
            for currency, (invoices, credit_notes) in row["totals"].items()
        },
        first_reasons=tuple(
            LogEntry(
                entry["billing_event_id"],
                LogResult.ERROR,
                reasons=reasons_of(entry["reasons"]),
            )
            for entry in row["first_reasons"]
        ),
    )
