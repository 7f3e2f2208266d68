"""What the connector says of documents after they were drafted: validated, cancelled, refused, rendered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from billing_runs.domain.books import Fate
from billing_runs.domain.executions import LogLine, Step
from billing_runs.facts import reason_bodies
from billing_runs.handlers.review import derive_status
from billing_runs.handlers.session import RunSession, error, in_words, is_answered, warning
from billing_runs.handlers.steps.rendering import may_ask
from billing_runs.store import document_steps, run_documents, run_events
from billing_runs.store.run_documents import StoredDocument
from shared.contracts.command_fields import FileFormat
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message

FORMATS: Final[tuple[FileFormat, ...]] = ("xml", "pdf")


Documents = Mapping[str, StoredDocument]


async def take_validated(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """Documents have their number: so have their events' claims ended."""
    await _end(work, sessions, messages)


async def take_cancelled(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """Drafts were cancelled: their events are free again or closed, as it was asked."""
    await _end(work, sessions, messages)


async def _end(work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]) -> None:
    bodies = {message.body.document_id: message.body for message in messages}
    documents = await _drafts(work, sessions, bodies)
    await document_steps.end_documents(
        work.connection,
        [
            (
                document_id,
                bodies[document_id].status,
                bodies[document_id].number,
                bodies[document_id].date,
                bodies[document_id].due_date,
            )
            for document_id in documents
        ],
    )
    fates = [
        (document.run_id, event_id, document_id, _fate(document, bodies[document_id].status))
        for document_id, document in documents.items()
        for event_id in bodies[document_id].billing_event_ids
    ]
    await run_events.set_document_fates(work.connection, fates)
    await _count_answers(sessions, documents, {})


def _fate(document: StoredDocument, status: str) -> Fate:
    if status == "validated":
        return Fate.VALIDATED
    closes = document.asked is not None and document.asked.closes_events
    return Fate.CANCELLED if closes else Fate.REOPENED


async def take_refused(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """What was asked for a document was refused: it stays a draft, with the reasons as a warning of the step."""
    bodies = {message.body.document_id: message.body for message in messages}
    drafts = await _drafts(work, sessions, bodies)
    documents = {
        document_id: document
        for document_id, document in drafts.items()
        if document.asked is not None and document.asked.action == bodies[document_id].action
    }
    reasons = {document_id: reason_bodies(bodies[document_id].reasons) for document_id in documents}
    await document_steps.refuse_documents(work.connection, reasons)
    lines = {
        document_id: warning(
            f"not {bodies[document_id].action}d: {in_words(reasons[document_id])}", document_id
        )
        for document_id in documents
    }
    await _count_answers(sessions, documents, lines)


async def _drafts(
    work: UnitOfWork, sessions: Mapping[str, RunSession], bodies: Mapping[str, Any]
) -> Documents:
    documents = await run_documents.lock_documents(work.connection, list(bodies))
    return {
        document_id: document
        for document_id, document in documents.items()
        if document.status == "draft" and document.run_id in sessions
    }


async def _count_answers(
    sessions: Mapping[str, RunSession], documents: Documents, lines: Mapping[str, LogLine]
) -> None:
    """Count the answers to what a running step asked; the status of other runs follows their documents at once."""
    by_run: dict[str, list[StoredDocument]] = defaultdict(list)
    for document in documents.values():
        by_run[document.run_id].append(document)
    for run_id, members in by_run.items():
        session = sessions[run_id]
        if session.is_running:
            own = [each for each in members if each.asked is not None and session.asked_by(each.asked.by)]
            session.update(answered=session.execution.answered + len(own))
            said = [lines[each.document_id] for each in own if each.document_id in lines]
            session.progress(done=_dealt_with(session, own), lines=said)
            if is_answered(session.execution):
                session.wake()
        await derive_status(session)


def _dealt_with(session: RunSession, documents: Sequence[StoredDocument]) -> int:
    """Automatic cancels belong to a step whose progress counts events."""
    return 0 if session.execution.step is Step.INVOICES else len(documents)


async def take_rendered(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """Files are ready."""
    await _take_files(work, sessions, messages, "ready")


async def take_render_failed(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """Files could not be made; the others go on."""
    await _take_files(work, sessions, messages, "failed")


async def _take_files(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message], outcome: str
) -> None:
    """The answer is counted by the execution that has asked, even where the document has moved on meanwhile."""
    running = {each.execution.execution_id: each for each in sessions.values() if each.is_running}
    for file_format in FORMATS:
        bodies = {
            message.body.document_id: message.body
            for message in messages
            if message.body.format == file_format and message.body.job_id is not None
        }
        documents = await run_documents.lock_documents(work.connection, list(bodies))
        files = [(document_id, outcome, bodies[document_id].job_id) for document_id in documents]
        answered = await document_steps.set_files(work.connection, files, file_format=file_format)
        by_execution: dict[str, list[str]] = defaultdict(list)
        for document_id, execution_id in answered.items():
            by_execution[execution_id].append(document_id)
        for execution_id, document_ids in by_execution.items():
            if execution_id in running:
                _count_files(running[execution_id], sorted(document_ids), bodies)


def _count_files(session: RunSession, document_ids: Sequence[str], bodies: Mapping[str, Any]) -> None:
    lines = [
        error(in_words(reason_bodies(bodies[document_id].reasons)), document_id)
        for document_id in document_ids
        if bodies[document_id].reasons
    ]
    session.update(answered=session.execution.answered + len(document_ids))
    session.progress(done=len(document_ids), lines=lines)
    if is_answered(session.execution) or may_ask(session.execution):
        session.wake()
