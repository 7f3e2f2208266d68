"""Commands to the connector about documents and claims, in parts that a message can carry."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo
from typing import Any, Final

from billing_runs.handlers.session import Asker, RunSession
from billing_runs.store import run_events
from shared.contracts.base import MESSAGE_IDS_MAX

VALIDATE: Final = "accounting.documents.validate.v1"
CANCEL: Final = "accounting.documents.cancel.v1"
RENDER: Final = "accounting.documents.render.v1"
UNCLAIM: Final = "accounting.billing-events.unclaim.v1"


def date_of_numbers(session: RunSession, asked: date | None, time_zone: tzinfo) -> date | None:
    """The date of what the run has numbered now: the one that was asked for with that, else today where the run
    recomputes dates; None: the one that each document was drafted with, or the day on which it is numbered.
    """
    if asked is None and session.run.settings.recompute_dates_at_validation:
        return datetime.now(time_zone).date()
    return asked


def validate_documents(
    session: RunSession,
    document_ids: Sequence[str],
    *,
    day: date | None,
    job_id: str,
    asker: Asker | None = None,
) -> None:
    """Have documents validated; `day` None: with the date that they were drafted with."""
    fields = {"date": day.isoformat() if day is not None else None}
    _command(session, VALIDATE, document_ids, job_id, fields=fields, asker=asker)


def cancel_documents(
    session: RunSession,
    document_ids: Sequence[str],
    *,
    closes_events: bool,
    job_id: str,
    asker: Asker | None = None,
) -> None:
    """Have drafts cancelled; their events are closed for good, or free again."""
    fields = {"billing_events": _claim_end(closes_events)}
    _command(session, CANCEL, document_ids, job_id, fields=fields, asker=asker)


def render_documents(
    session: RunSession, document_ids: Sequence[str], *, file_format: str, job_id: str
) -> None:
    """Have the files of documents made."""
    _command(session, RENDER, document_ids, job_id, fields={"format": file_format})


async def unclaim_events(
    session: RunSession, states: Sequence[str], *, closes_events: bool, limit: int
) -> int:
    """Have up to `limit` events without a document let go that are in these states; returns how many there were."""
    event_ids = await run_events.take_to_let_go(
        session.work.connection, session.run.run_id, states, limit=limit
    )
    parts = -(-len(event_ids) // MESSAGE_IDS_MAX)
    for part, chunk in enumerate(_chunks(event_ids), start=1):
        body = {"billing_event_ids": chunk, "billing_events": _claim_end(closes_events)}
        # Keyed by the run, like the claim: the connector reads one after the other.
        session.command(
            UNCLAIM,
            session.run.run_id,
            {"billing_run_id": session.run.run_id, **body, "part": part, "parts": parts},
        )
    return len(event_ids)


def _command(
    session: RunSession,
    message_type: str,
    document_ids: Sequence[str],
    job_id: str,
    *,
    fields: Mapping[str, Any],
    asker: Asker | None = None,
) -> None:
    for chunk in _chunks(document_ids):
        session.command(message_type, chunk[0], {"document_ids": chunk, "job_id": job_id, **fields}, asker)


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), MESSAGE_IDS_MAX):
        yield list(ids[start : start + MESSAGE_IDS_MAX])


def _claim_end(closes_events: bool) -> str:
    return "cancel" if closes_events else "reopen"
