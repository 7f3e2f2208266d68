"""Drafts validated or cancelled, as a billing run or a user asks (domain.md sections 4 and 5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from accounting_connector.domain.documents import DocumentStatus, cancel_document
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.claims import end_claims, publish_unclaimed, starter_of
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.numbering import validate_drafts
from accounting_connector.handlers.publishing import publish_document, publish_refused
from accounting_connector.store import billing_events, documents, files, holdings
from accounting_connector.store.documents import StoredDocument
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.contracts.commands import CancelDocuments, DocumentsCommand, ValidateDocuments
from shared.database.unit_of_work import Cause, UnitOfWork

_CLOSES_OUTSIDE_RUN: Final = "Only a billing run closes billing events for good: this draft belongs to none"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command to documents with what it found. `drafts` are locked, and so are their events."""

    command: DocumentsCommand
    action: str
    cause: Cause
    found: Mapping[str, StoredDocument]

    def with_status(self, status: DocumentStatus) -> list[StoredDocument]:
        return [stored for stored in self.found.values() if stored.document.status is status]


async def validate(
    work: UnitOfWork, deployment: Deployment, command: ValidateDocuments, cause: Cause, waited_seconds: float
) -> bool:
    """Number and date drafts; False if the command is to wait. Validated ones tell the same again.

    Without a date they get the one they were drafted with, else today's; one whose date is refused stays a draft. Their
    claims end. Locks the events, then the documents, then series.
    """
    asked = await _lock(
        work, deployment, command, action="validate", cause=cause, waited_seconds=waited_seconds
    )
    if asked is None:
        return False
    today = deployment.today()
    drafts = asked.with_status(DocumentStatus.DRAFT)
    if drafts:
        wanted = [(stored.document, command.date or stored.document.date or today) for stored in drafts]
        numbered = await validate_drafts(work.connection, wanted, today=today)
        validated = [
            replace(asked.found[document.document_id], document=document) for document in numbered.validated
        ]
        await documents.validate_documents(work.connection, numbered.validated)
        await holdings.end_claims(work.connection, _event_ids(validated))
        await files.outdate_files(work.connection, [each.document.document_id for each in validated])
        for stored in validated:
            _publish(work, asked, stored)
        for document_id, reasons in numbered.refused.items():
            _refuse(work, asked, document_id, *reasons)
    for stored in asked.with_status(DocumentStatus.VALIDATED):
        _publish(work, asked, stored, again=True)
    _refuse_all(work, asked, asked.with_status(DocumentStatus.CANCELLED), "A cancelled document stays so")
    return True


async def cancel(
    work: UnitOfWork, deployment: Deployment, command: CancelDocuments, cause: Cause, waited_seconds: float
) -> bool:
    """Cancel drafts and free their events, or close them for good; False if the command is to wait.

    Cancelled ones tell the same again. Locks the events, then the documents.
    """
    asked = await _lock(
        work, deployment, command, action="cancel", cause=cause, waited_seconds=waited_seconds
    )
    if asked is None:
        return False
    drafts = asked.with_status(DocumentStatus.DRAFT)
    if command.billing_events == "cancel":
        outside = [stored for stored in drafts if stored.document.billing_run_id is None]
        _refuse_all(work, asked, outside, _CLOSES_OUTSIDE_RUN)
        drafts = [stored for stored in drafts if stored.document.billing_run_id is not None]
    if drafts:
        ids = [stored.document.document_id for stored in drafts]
        await documents.cancel_documents(work.connection, ids)
        await holdings.end_live(work.connection, ids)
        event_ids = _event_ids(drafts)
        await end_claims(work, event_ids, event_ids if command.billing_events == "cancel" else [])
        for stored in drafts:
            _publish(work, asked, replace(stored, document=cancel_document(stored.document)))
        _tell_of_claims(work, command, drafts, cause)
    for stored in asked.with_status(DocumentStatus.CANCELLED):
        _publish(work, asked, stored, again=True)
    _refuse_all(
        work,
        asked,
        asked.with_status(DocumentStatus.VALIDATED),
        "A validated document never changes: it is corrected by an opposite one",
    )
    return True


async def _lock(
    work: UnitOfWork,
    deployment: Deployment,
    command: DocumentsCommand,
    *,
    action: str,
    cause: Cause,
    waited_seconds: float,
) -> _Asked | None:
    """Lock the events of the documents, then the documents; None if the command is to wait for one of them."""
    ids = list(dict.fromkeys(command.document_ids))
    events = await documents.event_ids_of(work.connection, ids)
    unknown = [document_id for document_id in ids if document_id not in events]
    if unknown and waited_seconds < deployment.command_wait_seconds:
        return None
    await billing_events.lock_rows(
        work.connection, (event_id for held in events.values() for event_id in held)
    )
    locked = await documents.lock_documents(work.connection, list(events))
    found = {document_id: locked[document_id] for document_id in ids if document_id in locked}
    asked = _Asked(command, action, cause, found)
    for document_id in unknown:
        _refuse(work, asked, document_id, Reason("not_found", f"Document {document_id} is not known"))
    return asked


def _event_ids(stored: Iterable[StoredDocument]) -> list[str]:
    return [event_id for each in stored for event_id in each.document.billing_event_ids]


def _publish(work: UnitOfWork, asked: _Asked, stored: StoredDocument, *, again: bool = False) -> None:
    told = replace(stored, starter=starter_of(asked.command) or stored.starter)
    publish_document(work, told, asked.cause, job_id=asked.command.job_id, again=again)


def _refuse_all(work: UnitOfWork, asked: _Asked, stored: Iterable[StoredDocument], message: str) -> None:
    for each in stored:
        detail = {"status": each.document.status.value}
        _refuse(work, asked, each.document.document_id, Reason("action_not_available", message, detail))


def _refuse(work: UnitOfWork, asked: _Asked, document_id: str, *reasons: Reason) -> None:
    found = asked.found.get(document_id)
    publish_refused(
        work,
        asked.command,
        document_id,
        reasons,
        asked.cause,
        action=asked.action,
        starter=starter_of(asked.command),
        billing_run_id=None if found is None else found.document.billing_run_id,
    )


def _tell_of_claims(
    work: UnitOfWork, command: CancelDocuments, drafts: Sequence[StoredDocument], cause: Cause
) -> None:
    """Tell, per billing run, which events its cancelled drafts have let go."""
    by_run: dict[str, list[str]] = {}
    for stored in drafts:
        if stored.document.billing_run_id is not None:
            by_run.setdefault(stored.document.billing_run_id, []).extend(stored.document.billing_event_ids)
    for billing_run_id, event_ids in by_run.items():
        parts = range(0, len(event_ids), MESSAGE_IDS_MAX)
        for part, start in enumerate(parts, 1):
            publish_unclaimed(
                work,
                billing_run_id,
                event_ids[start : start + MESSAGE_IDS_MAX],
                command.billing_events,
                cause,
                refused={},
                part=part,
                parts=len(parts),
                starter=starter_of(command),
            )
