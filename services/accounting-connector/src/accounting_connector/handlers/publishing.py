"""The facts about documents (contract.md section 1)."""

from typing import Final

from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.facts import document_body
from accounting_connector.store.documents import StoredDocument
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.telemetry import metrics

_FACTS: Final = {
    DocumentStatus.DRAFT: "accounting.document.drafted.v1",
    DocumentStatus.VALIDATED: "accounting.document.validated.v1",
    DocumentStatus.CANCELLED: "accounting.document.cancelled.v1",
}


def publish_document(
    work: UnitOfWork, stored: StoredDocument, cause: Cause, *, job_id: str | None = None, again: bool = False
) -> None:
    """Tell of a document in the status that it has now; `again`: it had it before, and somebody has asked once more."""
    document = stored.document
    body = document_body(stored, job_id=job_id)
    work.publish(_FACTS[document.status], document.document_id, body, cause)
    if not again:
        metrics.count_documents(document.kind.value, document.status.value)
