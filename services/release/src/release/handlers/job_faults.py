"""What a fault of ours does to a release job: its chunk is tried again until it passes or the job is stopped.

The chunk's events stay queued, the job's later chunks go on, and operators are told at once (domain.md section 4,
Process run). Where the job isolates, each event of the chunk is tried by itself first, so that one which breaks the
decision keeps nobody else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from release.domain.jobs import retry_seconds
from release.domain.settings import OnChunkFailure, ReleaseSettings
from release.facts import format_instant
from release.handlers.job_work import (
    PENDING_KIND,
    Begun,
    decide_events,
    fail_dry_run,
    go_on,
    rule_of,
    take_up,
    work_on,
)
from release.handlers.release_state import lock_state
from release.store import jobs, put_off_chunks
from release.store.jobs import Job
from release.store.late_events import NO_PATIENCE, Patience
from release.store.put_off_chunks import PutOffChunk, Why
from shared import failpoints
from shared.database.database import Database
from shared.database.faults import is_transient, name_of
from shared.database.unit_of_work import UnitOfWork
from shared.telemetry import metrics

TRANSIENT_FAILURES_MAX: Final = 5
"""After so many in a row over the same chunk, while others pass, time does not cure it: it is tried more rarely."""

log = structlog.get_logger(__name__)


def job_step(
    database: Database, settings: ReleaseSettings, *, patience: Patience = NO_PATIENCE
) -> Callable[[], Awaitable[bool]]:
    """The step of the worker that works jobs: one step of the job that has waited longest, in one transaction.

    What time may cure is tried again at once; a chunk that fails otherwise is put off. A chunk of which events are late
    waits as long as `patience` says.
    """
    failures: dict[tuple[str, int], int] = {}

    async def step() -> bool:
        begun = Begun()

        async def act(work: UnitOfWork) -> None:
            begun.chunk, begun.job = None, await jobs.take_job(work.connection)
            if begun.job is not None:
                await work_on(work, begun.job, settings, patience=patience, begun=begun)

        try:
            await database.run(act)
        except Exception as error:
            job, chunk = begun.job, begun.chunk
            if job is None:
                raise
            if chunk is None:
                await database.run(lambda work: jobs.put_behind(work.connection, job.job_id))
                raise
            key = (job.job_id, chunk.first_place)
            failures[key] = failures.get(key, 0) + 1
            if is_transient(error) and failures[key] < TRANSIENT_FAILURES_MAX:
                await database.run(lambda work: jobs.put_behind(work.connection, job.job_id))
                raise
            log.exception("chunk of a release job failed, and is tried again", job_id=job.job_id)
            metrics.count_own_fault("release job")
            await _set_aside(database, settings, job, chunk, error)
        failures.clear()
        if begun.job is None:
            return False
        failpoints.hit(failpoints.JOB_AFTER_CHUNK)
        return True

    return step


async def _set_aside(
    database: Database, settings: ReleaseSettings, job: Job, chunk: PutOffChunk, error: Exception
) -> None:
    if job.dry_run:
        await database.run(lambda work: fail_dry_run(work, job.job_id, name_of(error)))
        return
    reason = name_of(error)
    if rule_of(job, settings) is OnChunkFailure.ISOLATE and chunk.last_place > chunk.first_place:
        try:
            await database.run(lambda work: _work_one_by_one(work, chunk, settings))
            return
        except Exception as worse:
            if is_transient(worse):
                raise
            reason = name_of(worse)
    await database.run(lambda work: _put_off(work, chunk, reason))


async def _work_one_by_one(work: UnitOfWork, chunk: PutOffChunk, settings: ReleaseSettings) -> None:
    """Decide the events of a chunk each by itself; those that break it stay in the chunk, which is put off.

    Locks the job, the projects of its events, then the events.
    """
    job = await _lock_at(work, chunk)
    if job is None:
        return
    ids = await jobs.load_chunk(work.connection, job.job_id, chunk.first_place, chunk.last_place)
    await lock_state(work.connection, ids)
    before, reason = job, None
    for billing_event_id in ids:
        try:
            async with work.part():
                job = await decide_events(work, job, [billing_event_id], settings)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception(
                "billing event breaks its release, and is tried again", billing_event_id=billing_event_id
            )
            reason = name_of(error)
    job = replace(job, passed=max(job.passed, chunk.last_place))
    if reason is None:
        await take_up(work, job, chunk)
    else:
        await _note_failed(work, job, chunk, reason)
    await go_on(work, before, job)


async def _put_off(work: UnitOfWork, chunk: PutOffChunk, reason: str) -> None:
    """Put a chunk that has failed off; locks its job."""
    job = await _lock_at(work, chunk)
    if job is None:
        return
    after = replace(job, passed=max(job.passed, chunk.last_place))
    await _note_failed(work, after, chunk, reason)
    await go_on(work, job, after)


async def _lock_at(work: UnitOfWork, chunk: PutOffChunk) -> Job | None:
    """Lock the chunk's job; None if somebody else has worked on the chunk since it failed."""
    job = await jobs.lock_job(work.connection, chunk.job_id)
    if job is None or job.passed < chunk.first_place:
        return job
    return job if await put_off_chunks.is_put_off(work.connection, chunk) else None


async def _note_failed(work: UnitOfWork, job: Job, chunk: PutOffChunk, reason: str) -> None:
    left = await put_off_chunks.count_put_off(work.connection, job.job_id)
    failed = replace(chunk, cause=Why.FAILED, tries=chunk.tries + 1)
    since = await put_off_chunks.put_off(
        work.connection, failed, seconds=retry_seconds(failed.tries), reason=reason
    )
    if Why.FAILED not in left:
        body = {"kind": PENDING_KIND, "id": job.job_id, "reason": reason, "since": format_instant(since)}
        work.publish("release.work.pending.v1", job.job_id, body, job.cause)


async def measure_pending(database: Database) -> bool:
    """A worker's step: how many jobs have chunks that are tried again, as every replica shows it."""
    metrics.set_pending_work(PENDING_KIND, await put_off_chunks.count_pending_jobs(database.pool))
    return False
