"""The step that makes the drafts: a process run of the connector, then what the run does by itself with bad ones."""

from typing import Any, Final

from billing_runs.domain.executions import LogLevel, LogLine
from billing_runs.domain.lifecycle import has_made_nothing
from billing_runs.domain.review import AutomaticAction, Review, automatic_action
from billing_runs.handlers.quarantine import quarantine
from billing_runs.handlers.session import DRAFTING, WAITING, RunSession, error, is_answered, now, warning
from billing_runs.handlers.steps.document_commands import cancel_documents, unclaim_events
from billing_runs.handlers.steps.places import START_OF_DOCUMENTS, document_after, document_place
from billing_runs.store import document_steps, run_documents, unbilled_events
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.ids import derived_id
from shared.money import format_amount

STARTING: Final = "starting"
SETTLING: Final = "settling"
JUDGING: Final = "judging"
CHUNK_DOCUMENTS: Final = 1_000
CHUNK_EVENTS: Final = 5_000

_PENDING: Final = "internal_error: failed by a fault of the system's own, and is tried again"


async def advance(session: RunSession) -> None:
    """Start the process run; once its facts have come, let failed events go, then act on bad drafts in chunks."""
    match session.execution.phase:
        case "starting":
            await _start_process_run(session)
        case "drafting":
            if is_answered(session.execution):
                session.update(phase=SETTLING)
            else:
                session.rest()
        case "settling":
            await _settle(session)
        case "judging":
            await _act_on_bad_drafts(session)
        case _:
            if session.execution.answered < session.execution.asked:
                session.rest()
            else:
                await session.finish()


async def _start_process_run(session: RunSession) -> None:
    run, settings = session.run, session.run.settings
    await unbilled_events.take_up_failed(session.work.connection, run.run_id)
    events = await unbilled_events.count_without_document(session.work.connection, run.run_id, ["draft"])
    session.expect(events)
    if events == 0:
        session.update(phase=JUDGING)
        return
    process_run_id = derived_id("process-run", run.run_id, session.execution.execution_id)
    threshold = settings.threshold
    body = {
        "process_run_id": process_run_id,
        "select": await _selection(session, events),
        "validate": False,
        "billing_run_id": run.run_id,
        "grouping": settings.grouping.value,
        "invoice_date": settings.invoice_date.isoformat() if settings.invoice_date else None,
        "collection_date": settings.collection_date.isoformat() if settings.collection_date else None,
        "threshold": {
            "amount": format_amount(threshold.amount, threshold.currency),
            "currency": threshold.currency,
        }
        if threshold is not None
        else None,
    }
    session.command("accounting.process-run.start.v1", process_run_id, body)
    session.update(phase=DRAFTING, process_run_id=process_run_id)


async def _selection(session: RunSession, events: int) -> dict[str, Any]:
    """The claimed events by id where one message can carry them; else all that the run holds: parts of a list would
    cut accounts into pieces.
    """
    if events > MESSAGE_IDS_MAX:
        return {"eligible": True}
    ids = await unbilled_events.ids_without_document(session.work.connection, session.run.run_id, "draft")
    return {"billing_event_ids": ids}


async def _settle(session: RunSession) -> None:
    """Events without a document: the run gives them up, so that they can be billed in another way.

    It keeps those that the connector tries again, and all of them where nothing was made: *process* tries again then.
    """
    connection, run_id = session.work.connection, session.run.run_id
    if session.execution.pending_expected:
        pending = await unbilled_events.pend_without_document(connection, run_id)
        session.progress(lines=[warning(_PENDING, each) for each in pending])
    else:
        forgotten = await unbilled_events.fail_without_document(connection, run_id)
        lines = [error("no_document: no document was made", each) for each in forgotten]
        session.progress(done=len(forgotten), lines=lines)
    if not await let_failed_go(session, limit=CHUNK_EVENTS):
        session.update(phase=JUDGING)


async def let_failed_go(session: RunSession, *, limit: int) -> int:
    """Have up to `limit` failed events let go, unless the run has made nothing at all; returns how many there were."""
    connection, run_id = session.work.connection, session.run.run_id
    counts, _ = await run_documents.count_documents(connection, run_id)
    if has_made_nothing(counts, await unbilled_events.remainder_of(connection, run_id)):
        return 0
    return await unclaim_events(session, ["failed"], closes_events=False, limit=limit)


async def _act_on_bad_drafts(session: RunSession) -> None:
    settings = session.run.settings
    start = document_after(session.execution.place)
    documents = await document_steps.take_to_judge(
        session.work.connection,
        session.run.run_id,
        execution_id=session.execution.execution_id,
        reviews=[Review.REJECTED, Review.SUSPECT],
        after=start,
        limit=CHUNK_DOCUMENTS,
    )
    document_ids = [each.document_id for each in documents]
    session.update(place=document_place(document_ids, limit=CHUNK_DOCUMENTS))
    if not documents:
        if start == START_OF_DOCUMENTS:
            session.update(phase=WAITING)
        return
    actions = {
        document.document_id: automatic_action(
            document.review, on_rejected=settings.on_rejected, on_suspect=settings.on_suspect
        )
        for document in documents
    }
    moving = [each for each in documents if actions[each.document_id] is AutomaticAction.MOVE]
    if moving:
        await quarantine(session, moving, action="quarantine", starter=session.execution.starter)
    cancelling = sorted(
        document_id for document_id, action in actions.items() if action is AutomaticAction.CANCEL
    )
    if cancelling:
        await document_steps.ask(
            session.work.connection,
            cancelling,
            action="cancel",
            by=session.execution.execution_id,
            closes_events=False,
            invoice_date=None,
            starter=session.execution.starter,
            cause=session.execution.cause,
        )
        cancel_documents(session, cancelling, closes_events=False, job_id=session.execution.execution_id)
        session.update(asked=session.execution.asked + len(cancelling))
        lines = [LogLine(now(), LogLevel.INFORMATION, "cancelled by the run", each) for each in cancelling]
        session.progress(lines=lines)
