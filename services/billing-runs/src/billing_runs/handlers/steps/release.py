"""The step that releases the events of a run's scope first, as jobs (domain.md section 5, `release_first`)."""

from collections.abc import Sequence
from typing import Final

from billing_runs.domain.executions import Step
from billing_runs.domain.scope import EventsScope
from billing_runs.handlers.selection import START, select_page
from billing_runs.handlers.session import WAITING, RunSession
from billing_runs.handlers.steps.places import place_of, stored_place
from billing_runs.store import projections, release_jobs
from billing_runs.store.run_events import ids_of
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.ids import derived_id

SELECTING: Final = "selecting"


async def advance(session: RunSession) -> None:
    """Start a job for the next page of events that await release; once all jobs are over, go on to the lines."""
    if session.execution.phase == SELECTING:
        await _start_jobs(session)
        return
    connection = session.work.connection
    for events in await release_jobs.end_jobs(connection, session.execution.execution_id):
        session.update(answered=session.execution.answered + events)
        session.progress(done=events)
    if session.execution.answered < session.execution.asked:
        session.rest()
        return
    session.hand_over()
    execution = session.execution
    await session.queue(
        Step.INVOICE_LINES, starter=execution.starter, permitted_projects=execution.permitted_projects
    )


async def _start_jobs(session: RunSession) -> None:
    execution = session.execution
    selection, place = await select_page(
        session.work.connection, session.run, after=place_of(execution.place, START), release_first=True
    )
    await _start_job(session, ids_of(selection.to_release))
    session.update(place=stored_place(place))
    if place is not None:
        return
    scope = session.run.settings.scope
    if isinstance(scope, EventsScope):
        # What is known here may be behind release, which says of every id that was named what it is.
        unknown = await projections.unknown_events(session.work.connection, scope.billing_event_ids)
        for start in range(0, len(unknown), MESSAGE_IDS_MAX):
            await _start_job(session, unknown[start : start + MESSAGE_IDS_MAX])
    session.update(phase=WAITING)


async def _start_job(session: RunSession, event_ids: Sequence[str]) -> None:
    if not event_ids:
        return
    execution = session.execution
    part = execution.parts + 1
    job_id = derived_id("release-job", execution.execution_id, str(part))
    await release_jobs.insert_job(
        session.work.connection, job_id, execution_id=execution.execution_id, events=len(event_ids)
    )
    body = {"job_id": job_id, "select": {"billing_event_ids": event_ids}}
    session.command("release.job.start.v1", job_id, {**body, "mode": "background", "and_invoice": False})
    session.update(parts=part, asked=execution.asked + len(event_ids))
    session.expect(session.execution.asked)
