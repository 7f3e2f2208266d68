"""The facts about documents (contract.md section 1)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.domain.reasons import Reason
from accounting_connector.facts import document_body
from accounting_connector.store.documents import DocumentHead, StoredDocument
from accounting_connector.store.files import FileRequest
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.commands import DocumentsCommand
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


def publish_refused(
    work: UnitOfWork,
    command: DocumentsCommand,
    document_id: str,
    reasons: Sequence[Reason],
    cause: Cause,
    *,
    action: str,
    starter: Mapping[str, Any] | None,
    billing_run_id: str | None = None,
) -> None:
    """Tell that what a command asks for a document is refused."""
    body = {
        "document_id": document_id,
        "action": action,
        "job_id": command.job_id,
        "billing_run_id": billing_run_id,
        "reasons": reason_bodies(reasons),
        "starter": starter,
    }
    work.publish("accounting.document.refused.v1", document_id, body, cause)


def publish_rendered(
    work: UnitOfWork, request: FileRequest, head: DocumentHead, size_bytes: int, sha256: str
) -> None:
    """Tell who has asked for a file that it is ready."""
    body = {**_file_body(request, head), "size_bytes": size_bytes, "sha256": sha256, "reasons": []}
    work.publish("accounting.document.rendered.v1", request.document_id, body, request.cause)


def publish_render_failed(
    work: UnitOfWork, request: FileRequest, head: DocumentHead, reasons: Sequence[Reason]
) -> None:
    """Tell who has asked for a file why there is none."""
    body = {
        **_file_body(request, head),
        "size_bytes": None,
        "sha256": None,
        "reasons": reason_bodies(reasons),
    }
    work.publish("accounting.document.render-failed.v1", request.document_id, body, request.cause)


def _file_body(request: FileRequest, head: DocumentHead) -> Mapping[str, Any]:
    return {
        "document_id": request.document_id,
        "billing_run_id": head.billing_run_id,
        "job_id": request.job_id,
        "format": request.format,
        "starter": request.starter or head.starter,
    }
