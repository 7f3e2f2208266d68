"""The steps that have the files of a run's documents made, those without a current one (domain.md section 5)."""

from typing import Final

from billing_runs.domain.executions import Step
from billing_runs.handlers.session import ASKING, WAITING, RunSession
from billing_runs.handlers.steps.document_commands import render_documents
from billing_runs.handlers.steps.places import START_OF_DOCUMENTS, document_after, document_place
from billing_runs.store import document_steps
from billing_runs.store.executions import StoredExecution
from shared.contracts.command_fields import FileFormat

CHUNK_ASKED: Final = 5_000
UNDER_WAY_MAX: Final = 2 * CHUNK_ASKED
"""Files that are asked for at a time: other runs and people wait for theirs, too."""


def format_of(step: Step) -> FileFormat:
    """The format of the files that a step has made."""
    return "xml" if step is Step.XML else "pdf"


def may_ask(stored: StoredExecution) -> bool:
    """Whether so few answers are missing that more files may be asked for."""
    return stored.phase == ASKING and stored.asked - stored.answered <= UNDER_WAY_MAX - CHUNK_ASKED


async def advance(session: RunSession) -> None:
    """Have a chunk of documents rendered, or wait for answers, or end once every one of them has its answer."""
    if session.execution.phase != ASKING:
        if session.execution.answered < session.execution.asked:
            session.rest()
        else:
            await session.finish()
        return
    if not may_ask(session.execution):
        session.rest()
        return
    file_format = format_of(session.execution.step)
    execution_id = session.execution.execution_id
    start = document_after(session.execution.place)
    document_ids = await document_steps.take_to_render(
        session.work.connection,
        session.run.run_id,
        file_format=file_format,
        execution_id=execution_id,
        after=start,
        limit=CHUNK_ASKED,
    )
    render_documents(session, document_ids, file_format=file_format, job_id=execution_id)
    place = document_place(document_ids, limit=CHUNK_ASKED)
    session.update(asked=session.execution.asked + len(document_ids), place=place)
    session.expect(session.execution.asked)
    if place is None and start == START_OF_DOCUMENTS:
        session.update(phase=WAITING)
