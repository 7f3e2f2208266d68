"""The quick action: one event is released at once over HTTP, or shown what that would do (domain.md section 2)."""

from release.domain.release import Outcome
from release.domain.settings import ReleaseSettings, becomes_job
from release.handlers.job_acceptance import JobAsk, accept_job
from release.handlers.release_many import Ask, decide_and_write, decide_each
from release.handlers.release_state import decide_with_ids, load_state, lock_state
from release.store.connection import Reader
from release.store.jobs import Job
from shared.database.unit_of_work import UnitOfWork
from shared.ids import new_id


async def release_one(work: UnitOfWork, ask: Ask, settings: ReleaseSettings) -> Outcome | Job | None:
    """Release one event, or say why not; one of more than `release_batch_size` items becomes a job.

    None where the event is not known. Locks its project, then the event. A refusal is kept in its history.
    """
    state = await lock_state(work.connection, [ask.billing_event_id])
    stored = state.events.get(ask.billing_event_id)
    if stored is None:
        return None
    if becomes_job(len(stored.event.items), settings):
        job = JobAsk.quick(
            new_id(),
            ask.billing_event_id,
            starter=ask.starter,
            cause=ask.cause,
            permitted_projects=ask.request.permitted_projects,
        )
        return await accept_job(work, job, settings)
    decided = await decide_and_write(
        work,
        state,
        lambda known: decide_each(known, [ask], settings),
        outcomes_of=lambda result: (each.outcome for each in result),
        wishes_of=lambda result: result,
    )
    return decided[0].outcome


async def preview_one(connection: Reader, ask: Ask, settings: ReleaseSettings) -> Outcome | None:
    """What `release_one` would decide as things stand; nothing is done. None where the event is not known."""
    state = await load_state(connection, [ask.billing_event_id])
    if ask.billing_event_id not in state.events:
        return None
    decided = await decide_with_ids(
        connection,
        state,
        lambda known: decide_each(known, [ask], settings),
        lambda result: (each.outcome for each in result),
    )
    return decided[0].outcome
