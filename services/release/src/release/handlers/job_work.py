"""Release jobs are worked: a step is a chunk, decided and written in one transaction (domain.md section 2, Job).

Where a job stands is in its row, so that whoever takes it up after a crash goes on with the chunk that comes next.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from release.domain.jobs import ChunkDecision, JobStatus, decide_chunk, final_status
from release.domain.release import Outcome, Refused, Split
from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings
from release.facts import reason_bodies
from release.handlers.dry_run import keep_consumed, load_dry_state
from release.handlers.release_many import Ask, Decided, write_decisions
from release.handlers.release_state import ReleaseState, decide_with_ids, lock_state
from release.job_facts import FAILURES_SHOWN_MAX, job_fact_body
from release.store import job_selections, jobs
from release.store.dry_runs import forget_consumed
from release.store.jobs import Job, JobResult
from shared import failpoints
from shared.database.database import Database
from shared.database.faults import is_transient
from shared.database.unit_of_work import Cause, UnitOfWork

QUICK: Final = "quick"
"""The mode of a job that a quick action became: its channel stays quick, so that it is told what that means."""

log = structlog.get_logger(__name__)


async def work_on(work: UnitOfWork, job: Job, settings: ReleaseSettings) -> Job:
    """Do the next step of a job whose row is locked: start it, or decide a chunk; the last one ends it.

    Locks the projects of the chunk's events, then the events; a dry run locks neither. Gives the job as it stands then.
    """
    if job.status is JobStatus.QUEUED:
        job = replace(job, status=JobStatus.RUNNING)
        await jobs.save_job(work.connection, job)
        await _publish(work, "started", job)
        return job
    if job.done < job.total:
        job = await _decide_next_chunk(work, job, settings)
        await jobs.save_job(work.connection, job)
        await _publish(work, "progressed", job)
    if job.done >= job.total:
        job = await _end(work, replace(job, status=final_status(job.failed)))
    return job


async def _end(work: UnitOfWork, job: Job) -> Job:
    if job.dry_run:
        await forget_consumed(work.connection, job.job_id)
    await jobs.save_job(work.connection, job)
    await _publish(work, "completed", job)
    return job


async def _decide_next_chunk(work: UnitOfWork, job: Job, settings: ReleaseSettings) -> Job:
    billing_event_ids = await jobs.load_chunk(work.connection, job)
    request = ReleaseRequest(
        Channel.QUICK if job.mode == QUICK else Channel.JOB,
        OnCap.REFUSE,
        job.job_id,
        job.permitted_projects,
    )

    def decide(state: ReleaseState) -> ChunkDecision:
        return decide_chunk(
            billing_event_ids,
            state.billing_events,
            state.caps,
            request,
            settings,
            record_versions=state.record_versions,
            taken_ids=state.taken_ids,
        )

    if job.dry_run:
        state = await load_dry_state(work.connection, billing_event_ids, job.job_id)
    else:
        state = await lock_state(work.connection, billing_event_ids)
    chunk = await decide_with_ids(work.connection, state, decide, lambda decision: decision.outcomes.values())
    if job.dry_run:
        await keep_consumed(work.connection, job.job_id, chunk.outcomes.values())
    else:
        decided = [
            Decided(Ask(billing_event_id, request, job.starter, job.cause, job.and_invoice), outcome)
            for billing_event_id, outcome in chunk.outcomes.items()
        ]
        await write_decisions(work, state, decided)
    results = [_result_of(billing_event_id, outcome) for billing_event_id, outcome in chunk.outcomes.items()]
    await jobs.save_results(work.connection, job.job_id, results)
    return replace(
        job,
        done=job.done + len(billing_event_ids),
        released=job.released + chunk.released,
        failed=job.failed + chunk.failed,
    )


def _result_of(billing_event_id: str, outcome: Outcome) -> JobResult:
    if isinstance(outcome, Refused):
        return JobResult(billing_event_id, reasons=reason_bodies(outcome.reasons))
    new_id = outcome.new_event.billing_event_id if isinstance(outcome, Split) else None
    return JobResult(billing_event_id, new_billing_event_id=new_id)


async def tell_end_again(work: UnitOfWork, job: Job, cause: Cause) -> None:
    """Tell again how a job has ended, since it was asked for again; nothing while it is not over (it will be told)."""
    if job.has_ended:
        await _publish(work, "completed", job, cause)


async def _publish(work: UnitOfWork, what: str, job: Job, cause: Cause | None = None) -> None:
    if job.dry_run:  # whoever reads the facts of jobs counts releases, and makes documents of them
        return
    failures: Sequence[dict[str, Any]] = ()
    if job.failed:
        found = await jobs.load_failures(work.connection, [job.job_id], failures_max=FAILURES_SHOWN_MAX)
        failures = found[job.job_id]
    work.publish(f"release.job.{what}.v1", job.job_id, job_fact_body(job, list(failures)), cause or job.cause)


def job_step(
    database: Database, settings: ReleaseSettings, *, unknown_wait_seconds: float = 0.0
) -> Callable[[], Awaitable[bool]]:
    """The step of the worker that works jobs: one step of the job that has waited longest, in one transaction.

    What time may cure is tried again; a job that breaks the step otherwise has failed. A job begins at most
    `unknown_wait_seconds` later than it could, while an event that it names is not known.
    """

    async def step() -> bool:
        taken: Job | None = None

        async def act(work: UnitOfWork) -> None:
            nonlocal taken
            taken = await jobs.take_job(work.connection, unknown_wait_seconds=unknown_wait_seconds)
            if taken is not None:
                await work_on(work, taken, settings)

        try:
            await database.run(act)
        except Exception as error:
            broken: Job | None = taken
            if broken is None or is_transient(error):
                raise
            log.exception("release job cannot be worked to its end", job_id=broken.job_id)
            job_id, failure = broken.job_id, type(error).__name__
            await database.run(lambda work: fail_job(work, job_id, failure))
        if taken is None:
            return False
        failpoints.hit(failpoints.JOB_AFTER_CHUNK)
        return True

    return step


async def fail_job(work: UnitOfWork, job_id: str, failure: str) -> None:
    """End a job that cannot be worked to its end: what it has not decided awaits release again.

    Locks the job, then its queued events.
    """
    job = await jobs.lock_job(work.connection, job_id)
    if job is None or job.has_ended:
        return
    await job_selections.let_go_events(work.connection, job_id)
    await _end(work, replace(job, status=JobStatus.FAILED, failure=failure))
