"""The step that cancels a run: its drafts are cancelled, and the claims of events without a document let go."""

from typing import Final

from billing_runs.handlers.session import RunSession
from billing_runs.handlers.steps.document_commands import cancel_documents, unclaim_events
from billing_runs.handlers.steps.places import START_OF_DOCUMENTS, document_after
from billing_runs.store import document_steps, run_documents, run_events, unbilled_events

CHUNK: Final = 5_000
STILL_HELD: Final = ("draft", "pending", "asked")


async def advance(session: RunSession) -> None:
    """Have the next drafts cancelled and claims let go; end once nothing of the run is live but what was validated.

    Drafts and claims that come while it runs (a failed step may have left questions open) are taken like the others.
    """
    connection, run_id = session.work.connection, session.run.run_id
    execution = session.execution
    if execution.asked == 0:
        await run_events.leave_out_selected(connection, run_id)
        await unbilled_events.take_up_failed(connection, run_id)
        counts, _ = await run_documents.count_documents(connection, run_id)
        events = await unbilled_events.count_without_document(connection, run_id, STILL_HELD)
        session.expect(counts.live + events)
    start = document_after(execution.place)
    document_ids = await document_steps.take_to_cancel(
        connection,
        run_id,
        execution_id=execution.execution_id,
        closes_events=execution.closes_events,
        after=start,
        limit=CHUNK,
    )
    cancel_documents(
        session, document_ids, closes_events=execution.closes_events, job_id=execution.execution_id
    )
    events = await unclaim_events(session, STILL_HELD, closes_events=execution.closes_events, limit=CHUNK)
    asked = len(document_ids) + events
    place = [document_ids[-1]] if document_ids else execution.place
    session.update(asked=execution.asked + asked, place=place)
    if asked:
        return
    held = await unbilled_events.count_without_document(connection, run_id, STILL_HELD)
    asked_documents = await document_steps.count_asked_by(connection, run_id, execution.execution_id)
    if held or asked_documents:
        session.rest()
    elif start != START_OF_DOCUMENTS:
        session.update(place=None)  # drafts may have come before the place: once more from the start
    else:
        await session.finish()
