"""What a process run works through, and its log: a frozen selection in order, with a result per event."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from accounting_connector.domain.grouping import Grouping
from accounting_connector.domain.process_runs import LogEntry, retry_seconds
from accounting_connector.store.connection import Connection, Reader, json_list
from accounting_connector.store.reason_bodies import reason_bodies

# By account the events of one account, company and currency stand together, so that they can share documents.
_FREEZE_IDS: Final = """
insert into process_run_events (process_run_id, billing_event_id)
select $1, asked.billing_event_id
from (select billing_event_id, min(place) as place
      from unnest($2::text[]) with ordinality as given (billing_event_id, place) group by billing_event_id) as asked
left join billing_events as event on $3 and event.billing_event_id = asked.billing_event_id
order by event.account_id, event.company_id, event.currency, asked.place
on conflict do nothing
"""
_FREEZE_JOB: Final = """
insert into process_run_events (process_run_id, billing_event_id)
select $1, billing_event_id from billing_events where job_id = $2 order by date, billing_event_id
on conflict do nothing
"""
_COMPANY_IDS: Final = """
select distinct event.company_id
from process_run_events as entry join billing_events as event using (billing_event_id)
where entry.process_run_id = $1 and event.company_id is not null
"""
_LOG_AT_ONCE: Final = """
insert into process_run_events (
  process_run_id, billing_event_id, result, document_id, reasons, decided_at, failures, due_at)
select process_run_id, billing_event_id, result, document_id, reasons, case when result <> 'pending' then now() end,
  case when result = 'pending' then 1 else 0 end, now() + make_interval(secs => $6)
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[])
  as entry (process_run_id, billing_event_id, result, document_id, reasons)
on conflict do nothing
"""
_DUE: Final = """
select entry.billing_event_id, coalesce(event.item_count, 0) as item_count, entry.failures,
  event.account_id, event.company_id, event.currency,
  extract(epoch from now() - run.created_at)::float8 as waited_seconds
from process_runs as run
join process_run_events as entry using (process_run_id)
left join billing_events as event using (billing_event_id)
where run.process_run_id = $1 and entry.result = 'pending' and entry.due_at <= now() and (entry.failures > 0) = $3
order by entry.place limit $2
"""
_DEFER: Final = """
update process_run_events set due_at = now() + make_interval(secs => $3)
where process_run_id = $1 and billing_event_id = any($2::text[])
"""
_DECIDE: Final = """
update process_run_events as entry set result = decided.result, document_id = decided.document_id,
  reasons = decided.reasons, decided_at = now()
from unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) as decided (billing_event_id, result, document_id, reasons)
where entry.process_run_id = $1 and entry.billing_event_id = decided.billing_event_id
"""
_FAIL: Final = """
update process_run_events as entry set reasons = failed.reasons, failures = entry.failures + 1,
  due_at = now() + make_interval(secs => failed.seconds)
from unnest($2::text[], $3::jsonb[], $4::float8[]) as failed (billing_event_id, reasons, seconds)
where entry.process_run_id = $1 and entry.billing_event_id = failed.billing_event_id and entry.result = 'pending'
"""
_COUNT_FAILING: Final = """
select count(*) from process_run_events where process_run_id = $1 and result = 'pending' and failures > 0
"""
_PENDING_IDS: Final = """
select billing_event_id from process_run_events
where process_run_id = $1 and result = 'pending' and (failures > 0 or $3)
  and ($2::text[] is null or billing_event_id = any($2::text[]))
order by place
"""
_PENDING_BESIDE: Final = """
select event.project_id from process_run_events as entry join billing_events as event using (billing_event_id)
where entry.process_run_id = $1 and entry.result = 'pending'
  and ($2::text[] is null or entry.billing_event_id = any($2::text[])) and event.project_id <> all($3::text[])
order by entry.place limit 1
"""
_FREEZE_ERRORS: Final = """
insert into process_run_events (process_run_id, billing_event_id)
select $1, billing_event_id from process_run_events
where process_run_id = $2 and result = 'error' and ($3::text[] is null or billing_event_id = any($3::text[]))
order by place
on conflict do nothing
"""
_LEAVE_OUT: Final = """
delete from process_run_events where process_run_id = $1 and billing_event_id = any($2::text[])
"""
_HAS_PENDING: Final = """
select exists (select from process_run_events where process_run_id = $1 and result = 'pending' and failures = 0)
"""
_ITEM_COUNTS: Final = """
select event.item_count from process_run_events as entry join billing_events as event using (billing_event_id)
where entry.process_run_id = $1 limit $2
"""
_LOG: Final = """
select * from process_run_events
where process_run_id = $1 and ($2::text is null or result = $2) and ($3::bigint is null or place > $3)
order by place limit $4
"""


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event to work, how many items it has, how it is grouped by account, and how long it has waited (seconds)."""

    billing_event_id: str
    item_count: int
    account_key: tuple[str | None, str | None, str | None]
    waited_seconds: float
    failures: int = 0
    """How often it has failed by our own fault."""


async def company_ids(connection: Reader, process_run_id: str) -> list[str]:
    """The companies of a run's events, as far as they are known."""
    rows = await connection.fetch(_COMPANY_IDS, process_run_id)
    return [row["company_id"] for row in rows]


async def freeze_ids(
    connection: Connection, process_run_id: str, billing_event_ids: Sequence[str], grouping: Grouping
) -> None:
    """Freeze a selection by ids, in the order given, duplicates once; by account where the run groups so."""
    by_account = grouping is Grouping.ACCOUNT
    await connection.execute(_FREEZE_IDS, process_run_id, billing_event_ids, by_account)


async def freeze_job(connection: Connection, process_run_id: str, job_id: str) -> bool:
    """Freeze the events that a job has released, by date, then id; whether there are any that the run did not have."""
    status = await connection.execute(_FREEZE_JOB, process_run_id, job_id)
    return bool(status != "INSERT 0 0")


async def log_at_once(connection: Connection, entries: Sequence[tuple[str, LogEntry]]) -> None:
    """Write the log entries of runs that are decided in the transaction that starts them, each with its run's id.

    A pending one has failed by our own fault.
    """
    columns = _columns([entry for _, entry in entries])
    await connection.execute(_LOG_AT_ONCE, [run_id for run_id, _ in entries], *columns, retry_seconds(1))


async def freeze_errors(
    connection: Connection, process_run_id: str, of_run_id: str, billing_event_ids: Sequence[str] | None
) -> bool:
    """Freeze what another run could not pass, of these ids where they are given; whether there is any."""
    status = await connection.execute(_FREEZE_ERRORS, process_run_id, of_run_id, billing_event_ids)
    return bool(status != "INSERT 0 0")


async def due_events(
    connection: Connection, process_run_id: str, limit: int, *, failing: bool = False
) -> list[DueEvent]:
    """The next events to work of a locked run, in order, at most `limit`; `failing`: those to be tried again."""
    return [
        DueEvent(
            row["billing_event_id"],
            row["item_count"],
            (row["account_id"], row["company_id"], row["currency"]),
            row["waited_seconds"],
            row["failures"],
        )
        for row in await connection.fetch(_DUE, process_run_id, limit, failing)
    ]


async def defer(
    connection: Connection, process_run_id: str, billing_event_ids: Sequence[str], seconds: float
) -> None:
    """Look at these events again after so many seconds."""
    await connection.execute(_DEFER, process_run_id, billing_event_ids, seconds)


async def decide(connection: Connection, process_run_id: str, entries: Sequence[LogEntry]) -> None:
    """Write the results of a chunk of a locked run."""
    await connection.execute(_DECIDE, process_run_id, *_columns(entries))


async def fail(connection: Connection, process_run_id: str, failed: Sequence[tuple[LogEntry, float]]) -> None:
    """Note that events of a locked run have failed by our own fault, and after how many seconds each is tried again."""
    await connection.execute(
        _FAIL,
        process_run_id,
        [entry.billing_event_id for entry, _ in failed],
        [json_list(reason_bodies(entry.reasons)) for entry, _ in failed],
        [seconds for _, seconds in failed],
    )


async def count_failing(connection: Connection, process_run_id: str) -> int:
    """How many of the run's events have failed by our own fault and are tried again."""
    return int(await connection.fetchval(_COUNT_FAILING, process_run_id))


async def pending_ids(
    connection: Connection,
    process_run_id: str,
    billing_event_ids: Sequence[str] | None,
    *,
    also_not_worked: bool = False,
) -> list[str]:
    """The run's pending events, of these ids where they are given: those that have failed, or all, in order."""
    rows = await connection.fetch(_PENDING_IDS, process_run_id, billing_event_ids, also_not_worked)
    return [row["billing_event_id"] for row in rows]


async def pending_project_beside(
    connection: Connection,
    process_run_id: str,
    billing_event_ids: Sequence[str] | None,
    projects: frozenset[str],
) -> str | None:
    """The project of a pending event, of these ids where they are given, that is none of these; None: all are."""
    found: str | None = await connection.fetchval(
        _PENDING_BESIDE, process_run_id, billing_event_ids, sorted(projects)
    )
    return found


async def leave_out(connection: Connection, process_run_id: str, billing_event_ids: Sequence[str]) -> None:
    """Leave events out of a run that takes only what is eligible, as if they had not been selected."""
    await connection.execute(_LEAVE_OUT, process_run_id, billing_event_ids)


async def has_pending(connection: Connection, process_run_id: str) -> bool:
    """Whether events of the run are still to be worked for the first time."""
    found: bool = await connection.fetchval(_HAS_PENDING, process_run_id)
    return found


async def item_counts(connection: Connection, process_run_id: str, limit: int) -> list[int]:
    """How many items each of the run's events has, of at most `limit` events."""
    return [row["item_count"] for row in await connection.fetch(_ITEM_COUNTS, process_run_id, limit)]


async def read_log(
    connection: Reader, process_run_id: str, *, result: str | None, after: int | None, limit: int
) -> Sequence["asyncpg.Record"]:
    """Rows of the log in order, after this place, at most `limit`."""
    rows: list[Any] = await connection.fetch(_LOG, process_run_id, result, after, limit)
    return rows


def _columns(entries: Iterable[LogEntry]) -> tuple[list[Any], ...]:
    listed = list(entries)
    return (
        [entry.billing_event_id for entry in listed],
        [entry.result.value for entry in listed],
        [entry.document_id for entry in listed],
        [json_list(reason_bodies(entry.reasons)) for entry in listed],
    )
