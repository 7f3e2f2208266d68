"""A rule tried on a document, as a user asks who writes it."""

from dataclasses import replace

from billing_runs.domain.rules import DocumentKind, Finding, Rule, check_document
from billing_runs.handlers.judging import rule_fields
from billing_runs.handlers.session import now
from billing_runs.store import run_documents
from billing_runs.store.connection import Reader
from shared.contracts.document import Document
from shared.expressions import evaluate


async def stored_document(connection: Reader, document_id: str) -> Document | None:
    """A document of a run, whole."""
    bodies = await run_documents.document_bodies(connection, [document_id])
    return Document.model_validate(bodies[document_id]) if document_id in bodies else None


def find(rule: Rule, document: Document) -> tuple[Finding, ...]:
    """What the rule's expressions find on the document, whatever its kind and day."""
    kind = DocumentKind(document.kind)
    always = replace(rule, kind=kind, active_from=None, active_to=None)
    return check_document(
        [always],
        kind=kind,
        day=document.date or now().date(),
        fields=rule_fields(document),
        evaluate=evaluate,
    )
