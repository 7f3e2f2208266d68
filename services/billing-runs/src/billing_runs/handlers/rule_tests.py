"""A rule tried on a document, as a user asks who writes it."""

from collections.abc import Sequence
from dataclasses import replace

from billing_runs.domain.rules import DocumentKind, Finding, Rule, check_document
from billing_runs.handlers.judging import DocumentFields
from billing_runs.handlers.session import now
from billing_runs.store import run_documents
from billing_runs.store.connection import Reader
from shared.contracts.document import Document
from shared.expressions import evaluate


async def stored_documents(connection: Reader, document_ids: Sequence[str]) -> dict[str, Document]:
    """Documents of runs, whole, by id; those that are in no run are left out."""
    bodies = await run_documents.document_bodies(connection, document_ids)
    return {document_id: Document.model_validate(body) for document_id, body in bodies.items()}


def find(rule: Rule, document: Document) -> tuple[Finding, ...]:
    """What the rule's expressions find on the document, whatever its kind and day."""
    kind = DocumentKind(document.kind)
    always = replace(rule, kind=kind, active_from=None, active_to=None)
    return check_document(
        [always],
        kind=kind,
        day=document.date or now().date(),
        fields=DocumentFields(document, {}),
        evaluate=evaluate,
    )
