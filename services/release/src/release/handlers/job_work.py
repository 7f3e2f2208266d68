"""Release jobs are worked: a step is a chunk, decided and written in one transaction (domain.md section 2, Job).

Where a job stands is in its row, so that whoever takes it up after a crash goes on with the chunk that comes next. A
chunk that waits for what is late, or that failed by a fault of ours, is put off, and the job's other chunks go on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from release.domain.jobs import ChunkDecision, JobStatus, decide_chunk, final_status
from release.domain.release import Outcome, Refused, Split
from release.domain.settings import Channel, OnCap, OnChunkFailure, ReleaseRequest, ReleaseSettings
from release.facts import format_instant, reason_bodies
from release.handlers.dry_run import keep_consumed, load_dry_state
from release.handlers.release_many import Ask, Decided, decide_and_write
from release.handlers.release_state import ReleaseState, decide_with_ids, lock_state
from release.job_facts import FAILURES_SHOWN_MAX, job_fact_body
from release.store import job_lists, job_selections, jobs, put_off_chunks
from release.store.dry_runs import forget_consumed
from release.store.jobs import Job, JobResult
from release.store.late_events import NO_PATIENCE, Patience, late_events
from release.store.put_off_chunks import PutOffChunk, Why
from shared.database.unit_of_work import Cause, UnitOfWork

QUICK: Final = "quick"
"""The mode of a job that a quick action became: its channel stays quick, so that it is told what that means."""

PENDING_KIND: Final = "release_job"
"""What operators are told to be pending when chunks of a job have failed by a fault of ours."""

LOOK_AGAIN_SECONDS: Final = 0.5
WAITED_FOR_KEPT_MAX: Final = 20


@dataclass(slots=True)
class Begun:
    """What a step has begun: a job and, if it came to that, a chunk. For whoever looks at why the step broke."""

    job: Job | None = None
    chunk: PutOffChunk | None = None


async def work_on(
    work: UnitOfWork,
    job: Job,
    settings: ReleaseSettings,
    *,
    patience: Patience = NO_PATIENCE,
    begun: Begun | None = None,
) -> Job:
    """Do the next step of a job whose row is locked: start it, decide a chunk, or stop it; the last one ends it.

    Locks the projects of the chunk's events, then the events; a dry run locks neither. Gives the job as it stands then.
    """
    if job.stop_asked_at is not None and (not job.has_ended or job.pending):
        return await _stop(work, job)
    if job.status is JobStatus.QUEUED:
        job = replace(job, status=JobStatus.RUNNING)
        await jobs.save_job(work.connection, job)
        await _publish(work, "started", job)
        return job if job.total else await _end_if_over(work, job)
    chunk = await _next_chunk(work, job)
    if chunk is None:
        return job
    if begun is not None:
        begun.chunk = chunk
    before = job
    job = await _work_chunk(work, job, chunk, settings, patience)
    return await go_on(work, before, job)


async def go_on(work: UnitOfWork, before: Job, job: Job) -> Job:
    """Save and tell what has become of a job by a chunk, and end it where that was the last; its row is locked."""
    await jobs.save_job(work.connection, job)
    if job.done > before.done and not job.has_ended:
        await _publish(work, "progressed", job)
    return await _end_if_over(work, job)


async def _next_chunk(work: UnitOfWork, job: Job) -> PutOffChunk | None:
    """The chunk that comes next in order; once all have been begun, the one that was put off until now."""
    if job.passed < job.total:
        last_place = min(job.passed + job.chunk_size, job.total)
        return PutOffChunk(job.job_id, job.passed + 1, last_place, Why.WAITS)
    return await put_off_chunks.load_due(work.connection, job.job_id)


async def _work_chunk(
    work: UnitOfWork, job: Job, chunk: PutOffChunk, settings: ReleaseSettings, patience: Patience
) -> Job:
    """Decide a chunk, or put it off while events of it are late."""
    connection = work.connection
    ids = await jobs.load_chunk(connection, job.job_id, chunk.first_place, chunk.last_place)
    job = replace(job, passed=max(job.passed, chunk.last_place))
    asked_at = job.created_at
    late = [] if asked_at is None else await late_events(connection, ids, patience, asked_at=asked_at)
    if late:
        waits_for = [{"billing_event_id": each, "for": what} for each, what in late[:WAITED_FOR_KEPT_MAX]]
        waiting = replace(chunk, cause=Why.WAITS)
        await put_off_chunks.put_off(connection, waiting, seconds=LOOK_AGAIN_SECONDS, waits_for=waits_for)
        return job
    await take_up(work, job, chunk)
    return await decide_events(work, job, ids, settings)


async def take_up(work: UnitOfWork, job: Job, chunk: PutOffChunk) -> None:
    """The chunk is put off no longer; tells that a job has recovered whose last one it was that had failed."""
    await put_off_chunks.take_up(work.connection, chunk)
    if chunk.cause is Why.FAILED:
        left = await put_off_chunks.count_put_off(work.connection, job.job_id)
        if Why.FAILED not in left:
            _tell_recovered(work, job, chunk.since)


def _tell_recovered(work: UnitOfWork, job: Job, since: datetime | None) -> None:
    body = {"kind": PENDING_KIND, "id": job.job_id, "since": format_instant(since or datetime.now(UTC))}
    work.publish("release.work.recovered.v1", job.job_id, body, job.cause)


def rule_of(job: Job, settings: ReleaseSettings) -> OnChunkFailure:
    """What becomes of the good events of a chunk of this job that has a culprit."""
    return job.on_chunk_failure or settings.on_chunk_failure


async def _end_if_over(work: UnitOfWork, job: Job) -> Job:
    """End a job all of whose chunks were begun and of which none waits; what is tried again it tells as pending.

    What is tried again after the end changes its figures; the end is told once more when nothing is left of it.
    """
    if job.passed < job.total:
        return job
    left = await put_off_chunks.count_put_off(work.connection, job.job_id)
    if Why.WAITS in left or (job.has_ended and left):
        return job
    return await _end(work, replace(job, status=final_status(failed=job.failed, pending=job.pending)))


async def _end(work: UnitOfWork, job: Job) -> Job:
    if job.dry_run:
        await forget_consumed(work.connection, job.job_id)
    await jobs.save_job(work.connection, job)
    await _publish(work, "completed", job)
    return job


async def _stop(work: UnitOfWork, job: Job) -> Job:
    """What is not decided awaits release again; stage 2 follows for what was released."""
    await job_selections.let_go_events(work.connection, job.job_id)
    stopped = await jobs.stop_pending(work.connection, job.job_id)
    if Why.FAILED in (forgotten := await put_off_chunks.forget_all(work.connection, job.job_id)):
        _tell_recovered(work, job, forgotten[Why.FAILED])
    return await _end(work, replace(job, status=JobStatus.STOPPED, passed=job.total, stopped=stopped))


async def decide_events(
    work: UnitOfWork, job: Job, billing_event_ids: Sequence[str], settings: ReleaseSettings
) -> Job:
    """Decide and write events of a locked job together, by its rule for chunks; gives the job with its figures.

    Locks their projects, then the events; a dry run locks neither.
    """
    request = ReleaseRequest(
        Channel.QUICK if job.mode == QUICK else Channel.JOB,
        OnCap.REFUSE,
        job.job_id,
        job.permitted_projects,
    )
    settings = replace(settings, on_chunk_failure=rule_of(job, settings))

    def decide(state: ReleaseState) -> ChunkDecision:
        return decide_chunk(
            billing_event_ids,
            state.billing_events,
            state.caps,
            request,
            settings,
            billed=state.billed,
            record_versions=state.record_versions,
            taken_ids=state.taken_ids,
        )

    def wishes_of(decision: ChunkDecision) -> list[Decided]:
        return [
            Decided(Ask(billing_event_id, request, job.starter, job.cause, job.and_invoice), outcome)
            for billing_event_id, outcome in decision.outcomes.items()
        ]

    def outcomes_of(decision: ChunkDecision) -> Iterable[Outcome]:
        return decision.outcomes.values()

    if job.dry_run:
        state = await load_dry_state(work.connection, billing_event_ids, job.job_id)
        chunk = await decide_with_ids(work.connection, state, decide, outcomes_of)
        await keep_consumed(work.connection, job.job_id, chunk.outcomes.values())
    else:
        state = await lock_state(work.connection, billing_event_ids)
        chunk = await decide_and_write(work, state, decide, outcomes_of=outcomes_of, wishes_of=wishes_of)
    held_back = frozenset(chunk.held_back)
    results = [
        _result_of(outcome, held_back=key in held_back, can_be_split=key in chunk.splittable)
        for key, outcome in chunk.outcomes.items()
    ]
    await jobs.save_results(work.connection, job.job_id, results)
    return replace(
        job,
        released=job.released + chunk.released,
        failed=job.failed + chunk.failed,
        held_back=job.held_back + len(held_back),
    )


def _result_of(outcome: Outcome, *, held_back: bool, can_be_split: bool) -> JobResult:
    if isinstance(outcome, Refused):
        return JobResult(
            outcome.billing_event_id,
            is_refused=True,
            reasons=reason_bodies(outcome.reasons),
            held_back=held_back,
            can_be_split=can_be_split,
        )
    return JobResult(
        outcome.event.billing_event_id,
        new_billing_event_id=outcome.new_event.billing_event_id if isinstance(outcome, Split) else None,
        reasons=reason_bodies(outcome.warnings),
    )


async def tell_end_again(work: UnitOfWork, job: Job, cause: Cause) -> None:
    """Tell again how a job has ended, since it was asked for again; nothing while it is not over (it will be told)."""
    if job.has_ended:
        await _publish(work, "completed", job, cause)


async def _publish(work: UnitOfWork, what: str, job: Job, cause: Cause | None = None) -> None:
    if job.dry_run:  # whoever reads the facts of jobs counts releases, and makes documents of them
        return
    failures: Sequence[dict[str, Any]] = ()
    if job.failed:
        found = await job_lists.load_failures(work.connection, [job.job_id], failures_max=FAILURES_SHOWN_MAX)
        failures = found[job.job_id]
    work.publish(f"release.job.{what}.v1", job.job_id, job_fact_body(job, list(failures)), cause or job.cause)


async def ask_to_stop(work: UnitOfWork, job_id: str, stopper: Mapping[str, Any] | None) -> Job | None:
    """Let a job be stopped before its next chunk; None where there is no such job. One that is over stays as it is.

    Locks the job's row: a chunk under way ends first.
    """
    job = await jobs.lock_job(work.connection, job_id)
    if job is None or (job.has_ended and not job.pending):
        return job
    await jobs.ask_to_stop(work.connection, job_id, stopper)
    await put_off_chunks.make_all_due(work.connection, job_id)
    return await jobs.load_job(work.connection, job_id)


async def fail_dry_run(work: UnitOfWork, job_id: str, failure: str) -> None:
    """End a dry run that cannot be worked to its end: nothing hangs on it, and it is quickly started anew.

    Locks its row.
    """
    job = await jobs.lock_job(work.connection, job_id)
    if job is None or job.has_ended:
        return
    await put_off_chunks.forget_all(work.connection, job_id)
    await _end(work, replace(job, status=JobStatus.FAILED, failure=failure))
