"""Release jobs: accepted with their frozen selection, taken by one worker at a time, and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
import orjson

from release.domain.jobs import JobStatus
from release.store.connection import Connection, Reader
from release.store.job_selections import EVENTS_PER_STATEMENT
from shared.database.unit_of_work import Cause

_COLUMNS: Final = """
job_id, mode, and_invoice, request_hash, status, starter, permitted_projects, correlation_id, traceparent,
process_run_id, chunk_size, total, done, released, failed, failure, created_at, started_at, ended_at, dry_run,
validated_by_job_id
"""
_INSERT: Final = """
insert into release_jobs (job_id, mode, and_invoice, selection, request_hash, status, starter, permitted_projects,
  correlation_id, traceparent, process_run_id, chunk_size, total, dry_run, validated_by_job_id)
values ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict do nothing returning true
"""
# The parts are column names of ours; every value is a parameter.
_LOAD: Final = f"select {_COLUMNS} from release_jobs where job_id = $1"  # noqa: S608
_LOCK: Final = f"{_LOAD} for no key update"
_TAKE: Final = f"""
select {_COLUMNS} from release_jobs as job
where status in ('queued', 'running') and (
  status = 'running' or created_at <= now() - make_interval(secs => $1)
  or not exists (
    select from release_job_events as chosen where chosen.job_id = job.job_id
      and not exists (select from billing_events as known where known.billing_event_id = chosen.billing_event_id)))
order by worked_at, job_id limit 1 for no key update of job skip locked
"""  # noqa: S608
_CHUNK: Final = """
select billing_event_id from release_job_events where job_id = $1 and place > $2 order by place limit $3
"""
_SAVE_RESULTS: Final = """
update release_job_events as event
set result = given.result, new_billing_event_id = given.new_billing_event_id, reasons = given.reasons::jsonb,
  decided_at = now()
from unnest($2::text[], $3::text[], $4::text[], $5::text[])
  as given (billing_event_id, result, new_billing_event_id, reasons)
where event.job_id = $1 and event.billing_event_id = given.billing_event_id
"""
_SAVE: Final = """
update release_jobs set status = $2, done = $3, released = $4, failed = $5, failure = $6,
  started_at = coalesce(started_at, now()), worked_at = clock_timestamp(),
  ended_at = case when $2 in ('queued', 'running') then null else now() end
where job_id = $1
"""
_FAILURES: Final = """
select job_id, failure.billing_event_id, failure.reasons from unnest($1::text[]) as job (job_id)
cross join lateral (
  select place, billing_event_id, reasons from release_job_events as event
  where event.job_id = job.job_id and result = 'error' order by place limit $2) as failure
order by job_id, failure.place
"""
_PAGE: Final = f"""
select {_COLUMNS} from release_jobs
where ($1::text is null or status = $1) and ($2::text is null or starter ->> 'user_id' = $2)
  and ($3::timestamptz is null or (created_at, job_id) < ($3, $4))
order by created_at desc, job_id desc limit $5
"""  # noqa: S608
_LOG: Final = """
select event.place, event.billing_event_id, event.result, event.new_billing_event_id, event.reasons,
  event.decided_at, known.document_id, expected.result as expected, expected.reasons as expected_reasons
from release_job_events as event
left join billing_events as known using (billing_event_id)
left join release_job_events as expected
  on expected.job_id = $5 and expected.billing_event_id = event.billing_event_id
where event.job_id = $1 and event.place > $2 and ($3::text is null or event.result = $3)
order by event.place limit $4
"""

ResultName = Literal["pending", "ok", "error"]


@dataclass(frozen=True, slots=True)
class Job:
    """A release job as it is stored.

    `mode` is `background`, `auto`, or `quick` for a quick action that its event's size made a job. `done` of `total`
    events are decided, in the order of the selection, in chunks of `chunk_size`. `failure` says why a failed job could
    not be worked to its end. Of a `dry_run`, `released` and `failed` count what would be; `validated_by_job_id` is the
    dry run that a real job was confirmed with.
    """

    job_id: str
    mode: str
    and_invoice: bool
    request_hash: bytes
    chunk_size: int
    total: int
    status: JobStatus = JobStatus.QUEUED
    starter: Mapping[str, Any] | None = None
    permitted_projects: frozenset[str] | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    process_run_id: str | None = None
    done: int = 0
    released: int = 0
    failed: int = 0
    failure: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    dry_run: bool = False
    validated_by_job_id: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be done."""
        return self.status not in {JobStatus.QUEUED, JobStatus.RUNNING}

    @property
    def cause(self) -> Cause:
        """What to name as the cause of what the job does."""
        return Cause(correlation_id=self.correlation_id, traceparent=self.traceparent)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one event of a job: the event that a split made of it, or the reasons of a refusal, as JSON."""

    billing_event_id: str
    new_billing_event_id: str | None = None
    reasons: Sequence[Mapping[str, Any]] | None = None


async def insert_job(
    connection: Connection, job: Job, selection: Mapping[str, Any], billing_event_ids: Sequence[str]
) -> None:
    """Store a new job with its selection, whose order stays.

    Raises asyncpg.SerializationError, so that the transaction is done again, if another one has stored the job's id.
    """
    permitted = None if job.permitted_projects is None else sorted(job.permitted_projects)
    inserted = await connection.fetchval(
        _INSERT,
        job.job_id,
        job.mode,
        job.and_invoice,
        selection,
        job.request_hash,
        job.starter,
        permitted,
        job.correlation_id,
        job.traceparent,
        job.process_run_id,
        job.chunk_size,
        job.total,
        job.dry_run,
        job.validated_by_job_id,
    )
    if not inserted:
        raise asyncpg.SerializationError("another transaction has stored a job with this id")
    records = [(job.job_id, place, each) for place, each in enumerate(billing_event_ids, start=1)]
    for start in range(0, len(records), EVENTS_PER_STATEMENT):
        await connection.copy_records_to_table(
            "release_job_events",
            records=records[start : start + EVENTS_PER_STATEMENT],
            columns=("job_id", "place", "billing_event_id"),
        )


async def load_job(connection: Reader, job_id: str) -> Job | None:
    """The job with this id, if there is one."""
    row = await connection.fetchrow(_LOAD, job_id)
    return None if row is None else _job_of(row)


async def lock_job(connection: Connection, job_id: str) -> Job | None:
    """The same, with its row locked."""
    row = await connection.fetchrow(_LOCK, job_id)
    return None if row is None else _job_of(row)


async def take_job(connection: Connection, *, unknown_wait_seconds: float) -> Job | None:
    """Lock the open job that was worked on longest ago and that no other worker holds; None if there is none.

    A job that names events which are not known is left alone for its first `unknown_wait_seconds`.
    """
    row = await connection.fetchrow(_TAKE, unknown_wait_seconds)
    return None if row is None else _job_of(row)


async def load_chunk(connection: Connection, job: Job) -> list[str]:
    """The ids of the next events to decide, in the order of the selection; the job must be locked."""
    rows = await connection.fetch(_CHUNK, job.job_id, job.done, job.chunk_size)
    return [row["billing_event_id"] for row in rows]


async def save_results(connection: Connection, job_id: str, results: Sequence[JobResult]) -> None:
    """Write what became of events; the job must be locked."""
    await connection.execute(
        _SAVE_RESULTS,
        job_id,
        [result.billing_event_id for result in results],
        ["ok" if result.reasons is None else "error" for result in results],
        [result.new_billing_event_id for result in results],
        # As text: a list of lists would be taken for an array of two dimensions.
        [None if result.reasons is None else orjson.dumps(result.reasons).decode() for result in results],
    )


async def save_job(connection: Connection, job: Job) -> None:
    """Write where the job stands; it must be locked. It was worked on now."""
    await connection.execute(_SAVE, job.job_id, job.status, job.done, job.released, job.failed, job.failure)


async def load_failures(
    connection: Reader, job_ids: Sequence[str], *, failures_max: int
) -> dict[str, list[dict[str, Any]]]:
    """By job, the first events that failed, in the order of the selection, with their reasons."""
    failures: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in job_ids}
    for row in await connection.fetch(_FAILURES, list(failures), failures_max):
        failure = {"billing_event_id": row["billing_event_id"], "reasons": row["reasons"]}
        failures[row["job_id"]].append(failure)
    return failures


async def load_jobs(
    connection: Reader,
    *,
    status: str | None,
    starter_user_id: str | None,
    before: tuple[datetime, str] | None,
    rows_max: int,
) -> list[Job]:
    """Jobs, the newest first, after the one with this moment of creation and id."""
    created_at, job_id = before or (None, None)
    rows = await connection.fetch(_PAGE, status, starter_user_id, created_at, job_id, rows_max)
    return [_job_of(row) for row in rows]


async def load_log(
    connection: Reader, job: Job, *, after_place: int, result: ResultName | None, rows_max: int
) -> list["asyncpg.Record"]:
    """Events of a job in the order of the selection, from the place after the given one, with what became of them.

    Beside it stands what the dry run, if the job was confirmed with one, expected.
    """
    return await connection.fetch(_LOG, job.job_id, after_place, result, rows_max, job.validated_by_job_id)


def _job_of(row: "asyncpg.Record") -> Job:
    values = dict(row)
    permitted = values.pop("permitted_projects")
    return Job(
        **{**values, "status": JobStatus(values["status"])},
        permitted_projects=None if permitted is None else frozenset(permitted),
    )
