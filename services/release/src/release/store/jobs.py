"""Release jobs: accepted with their frozen selection, taken by one worker at a time, and stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from release.domain.jobs import JobStatus
from release.domain.settings import OnChunkFailure
from release.store.connection import Connection, Reader
from release.store.job_selections import EVENTS_PER_STATEMENT
from shared.database.unit_of_work import Cause

JOB_COLUMNS: Final = """
job_id, mode, and_invoice, request_hash, status, starter, permitted_projects, correlation_id, traceparent,
process_run_id, chunk_size, total, done as passed, released, failed, held_back, stopped, failure, created_at,
started_at, ended_at, dry_run, on_chunk_failure, stop_asked_at, stopper
"""
_INSERT: Final = """
insert into release_jobs (job_id, mode, and_invoice, selection, request_hash, status, starter, permitted_projects,
  correlation_id, traceparent, process_run_id, chunk_size, total, dry_run, on_chunk_failure)
values ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict do nothing returning true
"""
# The parts are column names of ours; every value is a parameter.
_LOAD: Final = f"select {JOB_COLUMNS} from release_jobs where job_id = $1"  # noqa: S608
_LOCK: Final = f"{_LOAD} for no key update"
# Jobs with a chunk that comes next, or to be stopped; and those with a chunk that was put off until now.
_TAKE: Final = f"""
select {JOB_COLUMNS} from release_jobs as job
where job_id in (
  select job_id from release_jobs
  where status in ('queued', 'running') and (status = 'queued' or done < total or stop_asked_at is not null)
  union all
  select job_id from release_job_chunks_put_off where due_at <= now())
order by worked_at, job_id limit 1 for no key update of job skip locked
"""  # noqa: S608
_CHUNK: Final = """
select billing_event_id from release_job_events
where job_id = $1 and place between $2 and $3 and result = 'pending' order by place
"""
_SAVE_RESULTS: Final = """
update release_job_events as event
set result = given.result, new_billing_event_id = given.new_billing_event_id, reasons = given.reasons::jsonb,
  held_back = given.held_back, can_be_split = given.can_be_split, decided_at = now()
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[])
  as given (billing_event_id, result, new_billing_event_id, reasons, held_back, can_be_split)
where event.job_id = $1 and event.billing_event_id = given.billing_event_id
"""
_SAVE: Final = """
update release_jobs set status = $2, done = $3, released = $4, failed = $5, held_back = $6, stopped = $7, failure = $8,
  started_at = coalesce(started_at, now()), worked_at = clock_timestamp(),
  ended_at = case when $2 in ('queued', 'running') then null else now() end
where job_id = $1
"""
_PUT_BEHIND: Final = "update release_jobs set worked_at = clock_timestamp() where job_id = $1"
_ASK_TO_STOP: Final = """
update release_jobs set stop_asked_at = now(), stopper = $2 where job_id = $1 and stop_asked_at is null
"""
_STOP_PENDING: Final = """
with left_over as (
  select place from release_job_events where job_id = $1 and result = 'pending' limit $2
)
update release_job_events as event set result = 'stopped', decided_at = now()
from left_over where event.job_id = $1 and event.place = left_over.place
returning event.place
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A release job as it is stored.

    `mode` is `background`, `auto`, or `quick` for a quick action that its event's size made a job. `passed` of `total`
    events are decided or put off, in the order of the selection, in chunks of `chunk_size`. `held_back` counts those of
    `failed` that a culprit's chunk held back. `failure` says why a failed job could not be worked to its end. Of a
    `dry_run`, `released` and `failed` count what would be. `on_chunk_failure` None: the setting; `stopper` asked at
    `stop_asked_at` to stop it.
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
    passed: int = 0
    released: int = 0
    failed: int = 0
    held_back: int = 0
    stopped: int = 0
    failure: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    dry_run: bool = False
    on_chunk_failure: OnChunkFailure | None = None
    stop_asked_at: datetime | None = None
    stopper: Mapping[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was told as ended; what is `pending` then is still tried."""
        return self.status not in {JobStatus.QUEUED, JobStatus.RUNNING}

    @property
    def done(self) -> int:
        """How many events are decided, or stopped."""
        return self.released + self.failed + self.stopped

    @property
    def pending(self) -> int:
        """How many events are not decided yet; of a job that has ended: those that are tried again."""
        return self.total - self.done if self.status is not JobStatus.FAILED else 0

    @property
    def cause(self) -> Cause:
        """What to name as the cause of what the job does."""
        return Cause(correlation_id=self.correlation_id, traceparent=self.traceparent)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one event of a job: the event that a split made of it, and the reasons, as JSON, of its refusal or
    of the warnings that it was released with.

    A refused event is a culprit, which the quick action may split, or was `held_back` by one.
    """

    billing_event_id: str
    is_refused: bool = False
    new_billing_event_id: str | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    held_back: bool = False
    can_be_split: bool = False


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
        job.on_chunk_failure,
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
    return None if row is None else job_of(row)


async def lock_job(connection: Connection, job_id: str) -> Job | None:
    """The same, with its row locked."""
    row = await connection.fetchrow(_LOCK, job_id)
    return None if row is None else job_of(row)


async def take_job(connection: Connection) -> Job | None:
    """Lock the job with something to do that was worked on longest ago and that no other worker holds, if any."""
    row = await connection.fetchrow(_TAKE)
    return None if row is None else job_of(row)


async def load_chunk(connection: Connection, job_id: str, first_place: int, last_place: int) -> list[str]:
    """The ids of the events between two places that are not decided yet, in their order; the job must be locked."""
    rows = await connection.fetch(_CHUNK, job_id, first_place, last_place)
    return [row["billing_event_id"] for row in rows]


async def put_behind(connection: Connection, job_id: str) -> None:
    """Let other jobs go before this one."""
    await connection.execute(_PUT_BEHIND, job_id)


async def ask_to_stop(connection: Connection, job_id: str, stopper: Mapping[str, Any] | None) -> None:
    """Note that a job is to be stopped, and who asked first; locks its row."""
    await connection.execute(_ASK_TO_STOP, job_id, stopper)


async def stop_pending(connection: Connection, job_id: str) -> int:
    """Mark what is not decided as stopped, and count it; the job must be locked."""
    stopped = 0
    while found := len(await connection.fetch(_STOP_PENDING, job_id, EVENTS_PER_STATEMENT)):
        stopped += found
    return stopped


async def save_results(connection: Connection, job_id: str, results: Sequence[JobResult]) -> None:
    """Write what became of events; the job must be locked."""
    await connection.execute(
        _SAVE_RESULTS,
        job_id,
        [result.billing_event_id for result in results],
        ["error" if result.is_refused else "ok" for result in results],
        [result.new_billing_event_id for result in results],
        # As text: a list of lists would be taken for an array of two dimensions.
        [orjson.dumps(result.reasons).decode() if result.reasons else None for result in results],
        [result.held_back for result in results],
        [result.can_be_split for result in results],
    )


async def save_job(connection: Connection, job: Job) -> None:
    """Write where the job stands; it must be locked. It was worked on now."""
    await connection.execute(
        _SAVE,
        job.job_id,
        job.status,
        job.passed,
        job.released,
        job.failed,
        job.held_back,
        job.stopped,
        job.failure,
    )


def job_of(row: "asyncpg.Record") -> Job:
    """The job in a row of these columns."""
    values = dict(row)
    permitted = values.pop("permitted_projects")
    asked = values.pop("on_chunk_failure")
    return Job(
        **{**values, "status": JobStatus(values["status"])},
        on_chunk_failure=None if asked is None else OnChunkFailure(asked),
        permitted_projects=None if permitted is None else frozenset(permitted),
    )
