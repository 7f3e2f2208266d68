"""Rules run over documents (domain.md section 5, *Rules*)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from pydantic import BaseModel

from billing_runs.domain.rules import DocumentKind, Finding, Rule, check_document
from billing_runs.store import rules as rule_store
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun
from shared.contracts.document import Document, DocumentHead
from shared.expressions import evaluate

FIELD_NAMES: Final = tuple(name for name in Document.model_fields if name != "starter")


async def rules_of(connection: Reader, run: StoredRun) -> Sequence[Rule]:
    """The rules that the run's documents are judged by: none where it skips them."""
    if run.settings.skip_validation_rules:
        return ()
    return await rule_store.load_rules(connection)


def judge(
    rules: Sequence[Rule], head: DocumentHead, content: Mapping[str, Any], run: StoredRun
) -> tuple[Finding, ...]:
    """What the rules find on a document, whose head has been read from its content.

    A rule is active by the day that the document bears, where it has none yet by today.
    """
    if not rules:
        return ()
    return check_document(
        rules,
        kind=DocumentKind(head.kind),
        day=head.date or run.settings.invoice_date or datetime.now(UTC).date(),
        fields=DocumentFields(head, content),
        evaluate=evaluate,
    )


def judge_stored(rules: Sequence[Rule], content: Mapping[str, Any], run: StoredRun) -> tuple[Finding, ...]:
    """The same for a document as it is stored."""
    return judge(rules, DocumentHead.model_validate(dict(content)), content, run) if rules else ()


class DocumentFields(Mapping[str, object]):
    """The fields that an expression sees: the document's, by name; amounts are exact numbers, dates are text.

    Each is made when it is first asked for: most rules look at few, and reading the lines costs more than all else.
    """

    def __init__(self, head: DocumentHead, content: Mapping[str, Any]) -> None:
        self._head = head
        self._content = content
        self._whole = head if isinstance(head, Document) else None
        self._made: dict[str, object] = {}

    def __getitem__(self, name: str) -> object:
        if name not in FIELD_NAMES:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _plain(getattr(self._source(name), name))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(FIELD_NAMES)

    def __len__(self) -> int:
        return len(FIELD_NAMES)

    def _source(self, name: str) -> DocumentHead:
        if name in DocumentHead.model_fields:
            return self._head
        if self._whole is None:
            self._whole = Document.model_validate(dict(self._content))
        return self._whole


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
