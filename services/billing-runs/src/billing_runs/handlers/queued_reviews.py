"""Actions on documents that the connector has the last word on: queued by a review, sent when no step runs."""

from datetime import tzinfo
from itertools import groupby
from typing import Final

from billing_runs.domain.review import ReviewAction, review_refusal_of
from billing_runs.handlers.session import Asker, RunSession
from billing_runs.handlers.steps.document_commands import (
    cancel_documents,
    date_of_numbers,
    validate_documents,
)
from billing_runs.store import document_steps
from billing_runs.store.run_documents import Asked, StoredDocument
from shared.ids import new_id

CHUNK_DOCUMENTS: Final = 5_000


async def send_queued_reviews(session: RunSession, time_zone: tzinfo) -> bool:
    """Send the next queued actions of the run's documents; whether there were any.

    What a step has ended meanwhile, so that the action is no longer allowed, is dropped. Validations of a disabled run
    stay queued until it is enabled.
    """
    connection, run = session.work.connection, session.run
    documents = await document_steps.waiting_documents(
        connection, run.run_id, disabled=run.state.disabled, limit=CHUNK_DOCUMENTS
    )
    allowed = [(document, document.asked) for document in documents if document.asked is not None]
    dropped = [
        document.document_id for document, asked in allowed if not _is_allowed(session, document, asked)
    ]
    await document_steps.drop_asked(connection, dropped)
    sending = [(document, asked) for document, asked in allowed if document.document_id not in set(dropped)]
    sending.sort(key=lambda pair: _kind(pair[1]))
    for _, group in groupby(sending, key=lambda pair: _kind(pair[1])):
        members = list(group)
        await _send(session, [document.document_id for document, _ in members], members[0][1], time_zone)
    return bool(documents)


async def _send(session: RunSession, document_ids: list[str], asked: Asked, time_zone: tzinfo) -> None:
    job_id = new_id()
    await document_steps.ask(
        session.work.connection,
        document_ids,
        action=asked.action,
        by=job_id,
        closes_events=asked.closes_events,
        invoice_date=asked.invoice_date,
        starter=asked.starter,
        cause=asked.cause,
    )
    asker = Asker(asked.starter, asked.cause)
    if asked.action == ReviewAction.CANCEL:
        cancel_documents(session, document_ids, closes_events=asked.closes_events, job_id=job_id, asker=asker)
    else:
        day = date_of_numbers(session, asked.invoice_date, time_zone)
        validate_documents(session, document_ids, day=day, job_id=job_id, asker=asker)


def _is_allowed(session: RunSession, document: StoredDocument, asked: Asked) -> bool:
    refusal = review_refusal_of(
        document.review.review,
        ReviewAction(asked.action),
        disabled=session.run.state.disabled,
        quarantine_run=session.run.quarantine_of is not None,
    )
    return refusal is None


def _kind(asked: Asked) -> tuple[str, bool, str]:
    """What is sent together: the same action, asked by the same user in the same request."""
    return asked.action, asked.closes_events, repr((asked.invoice_date, asked.starter, asked.cause))
