"""Rules run over documents (domain.md section 5, *Rules*)."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from billing_runs.domain.rules import DocumentKind, Finding, Rule, check_document
from billing_runs.store import rules as rule_store
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun
from shared.contracts.document import Document
from shared.expressions import evaluate


async def rules_of(connection: Reader, run: StoredRun) -> Sequence[Rule]:
    """The rules that the run's documents are judged by: none where it skips them."""
    if run.settings.skip_validation_rules:
        return ()
    return await rule_store.load_rules(connection)


def judge(rules: Sequence[Rule], document: Document, run: StoredRun) -> tuple[Finding, ...]:
    """What the rules find on a document. A rule is active by the day that the document bears."""
    if not rules:
        return ()
    return check_document(
        rules,
        kind=DocumentKind(document.kind),
        day=document.date or run.settings.invoice_date,
        fields=rule_fields(document),
        evaluate=evaluate,
    )


def judge_stored(rules: Sequence[Rule], body: Mapping[str, Any], run: StoredRun) -> tuple[Finding, ...]:
    """The same for a document as it is stored."""
    return judge(rules, Document.model_validate(dict(body)), run) if rules else ()


def rule_fields(document: Document) -> dict[str, object]:
    """The fields that an expression sees: the document's, by name; amounts are exact numbers, dates are text."""
    return {name: _plain(value) for name, value in document.model_dump(exclude={"starter"}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
