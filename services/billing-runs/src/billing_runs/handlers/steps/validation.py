"""The step that validates: rule-rejected documents are judged again, then the good ones are numbered."""

from datetime import tzinfo
from typing import Final

from billing_runs import facts
from billing_runs.domain.review import DocumentReview, rechecked
from billing_runs.handlers.judging import judge_stored, rules_of
from billing_runs.handlers.session import ASKING, WAITING, RunSession
from billing_runs.handlers.steps.document_commands import date_of_numbers, validate_documents
from billing_runs.handlers.steps.places import START_OF_DOCUMENTS, document_after, document_place
from billing_runs.store import document_steps, run_documents

RECHECKING: Final = "rechecking"
CHUNK_DOCUMENTS: Final = 500
CHUNK_ASKED: Final = 5_000


async def advance(session: RunSession, time_zone: tzinfo) -> None:
    """Judge a chunk anew, or have a chunk validated, or end once every document has an answer."""
    match session.execution.phase:
        case "rechecking":
            await _recheck(session)
        case "asking":
            await _validate(session, time_zone)
        case _:
            if session.execution.answered < session.execution.asked:
                session.rest()
            else:
                await session.finish()


async def _recheck(session: RunSession) -> None:
    connection, run = session.work.connection, session.run
    start = document_after(session.execution.place)
    documents = await document_steps.take_to_recheck(
        connection,
        run.run_id,
        execution_id=session.execution.execution_id,
        after=start,
        limit=CHUNK_DOCUMENTS,
    )
    document_ids = [each.document_id for each in documents]
    session.update(place=document_place(document_ids, limit=CHUNK_DOCUMENTS))
    if not documents:
        if start != START_OF_DOCUMENTS:
            return
        counts, _ = await run_documents.count_documents(connection, run.run_id)
        session.expect(counts.draft + counts.suspect)
        session.update(phase=ASKING)
        return
    rules = await rules_of(connection, run)
    bodies = await run_documents.document_bodies(connection, document_ids)
    reviews: dict[str, DocumentReview] = {}
    for document in documents:
        findings = judge_stored(rules, bodies[document.document_id], run)
        after = rechecked(document.review, findings)
        if after != document.review:
            reviews[document.document_id] = after
            session.publish(
                facts.DOCUMENT_REVIEWED,
                facts.reviewed_body(
                    run, document.document_id, document.review, after, action="recheck", starter=None
                ),
            )
    await run_documents.save_reviews(connection, reviews)


async def _validate(session: RunSession, time_zone: tzinfo) -> None:
    execution_id = session.execution.execution_id
    start = document_after(session.execution.place)
    document_ids = await document_steps.take_to_validate(
        session.work.connection,
        session.run.run_id,
        execution_id=execution_id,
        after=start,
        limit=CHUNK_ASKED,
    )
    day = date_of_numbers(session, session.execution.invoice_date, time_zone)
    validate_documents(session, document_ids, day=day, job_id=execution_id)
    place = document_place(document_ids, limit=CHUNK_ASKED)
    session.update(asked=session.execution.asked + len(document_ids), place=place)
    if place is None and start == START_OF_DOCUMENTS:
        session.expect(session.execution.asked)
        session.update(phase=WAITING)
