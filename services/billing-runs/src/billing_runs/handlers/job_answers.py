"""What comes of the release jobs of runs: counted, for a job is over only when all its facts have been read."""

from collections.abc import Sequence
from typing import Final

from billing_runs.domain.executions import LogLine
from billing_runs.facts import reason_bodies
from billing_runs.handlers.session import error, in_words, open_sessions, save_sessions, warning
from billing_runs.store import release_jobs
from shared.contracts.release_facts import ReleaseJobFact
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message

RELEASED: Final = "release.billing-event.released.v1"
REFUSED: Final = "release.billing-event.refused.v1"
COMPLETED: Final = "release.job.completed.v1"
JOB_TYPES: Final = frozenset({RELEASED, REFUSED, COMPLETED})


async def take_job_facts(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Count the facts of runs' jobs, and list what a job could not release. Locks the runs that started the jobs."""
    of_jobs = [
        message for message in messages if message.type in JOB_TYPES and message.body.job_id is not None
    ]
    if not of_jobs:
        return
    runs_by_job = await release_jobs.runs_of_jobs(
        work.connection, sorted({message.body.job_id for message in of_jobs})
    )
    if not runs_by_job:
        return
    sessions = await open_sessions(work, runs_by_job.values())
    seen: dict[str, tuple[int, int]] = {}
    for message in of_jobs:
        body = message.body
        if body.job_id not in runs_by_job:
            continue
        session = sessions[runs_by_job[body.job_id]]
        if message.type == COMPLETED:
            if session.is_running and (line := _line_of_end(body)) is not None:
                session.progress(lines=[line])
            if body.pending:  # it is told of again when all are decided, or when it is stopped
                continue
            await release_jobs.set_expected(
                work.connection, body.job_id, released=body.released, failed=body.failed
            )
        else:
            released, failed = seen.get(body.job_id, (0, 0))
            refused = message.type == REFUSED
            seen[body.job_id] = (released + (not refused), failed + refused)
            if refused and session.is_running:
                line = error(f"not released: {in_words(reason_bodies(body.reasons))}", body.billing_event_id)
                session.progress(lines=[line])
    await release_jobs.add_seen(work.connection, seen)
    for session in sessions.values():
        if session.is_running:
            session.wake()
    await save_sessions(sessions)


def _line_of_end(job: ReleaseJobFact) -> LogLine | None:
    """What the end of a job says beside the events that it could not release."""
    if job.pending:
        return warning(
            f"release job {job.job_id}: {job.pending} billing events could not be decided for a fault of the system's "
            "own, and are tried again"
        )
    match job.status:
        case "failed":
            return error(f"release job {job.job_id} failed")
        case "stopped":
            return error(
                f"release job {job.job_id} was stopped: {job.stopped} billing events await release again"
            )
    return None
