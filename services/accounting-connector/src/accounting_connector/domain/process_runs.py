"""Process runs: what became of each event, and what the run as a whole comes to (domain.md section 4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from accounting_connector.domain.documents import Document
from accounting_connector.domain.eligibility import LeftOutItem
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.reasons import Reason
from shared.money import ZERO, exact_sum, format_amount

FIRST_REASONS_MAX: Final = 20
"""Most events not passed that a run tells of with their reasons; all are in its log."""

SYNC_ITEM_LIMIT: Final = 200

RETRY_SECONDS_FIRST: Final = 60.0
RETRY_SECONDS_MAX: Final = 3_600.0


class ProcessRunKind(StrEnum):
    """The ways in."""

    ON_DEMAND = "on_demand"
    RELEASE_AND_INVOICE = "release_and_invoice"
    SCHEDULE = "schedule"
    AUTO_PASS = "auto_pass"  # noqa: S105  # not a password
    BILLING_RUN = "billing_run"


class ProcessRunStatus(StrEnum):
    """`completed_with_errors`: any event was not passed, even all; `failed`: not worked to its end."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


class LogResult(StrEnum):
    """The result of a process log entry; `warning`: passed, with what to look at; `pending`: not worked yet, or
    failed by our own fault (with the reason), which is never final: it is tried again.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The process log's entry for one event: its document, with what to look at, or the reasons why there is none."""

    billing_event_id: str
    result: LogResult
    document_id: str | None = None
    already_done: bool = False
    """Another way in has won: the document is that one's."""
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """Net totals of one currency's documents."""

    invoices: Decimal = ZERO
    credit_notes: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LeftOutTotal:
    """The items of one currency that were left out of documents, and the sum of their amounts as events have them."""

    items: int = 0
    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run has come to so far; invoices and credit notes count documents, the rest events.

    `warnings`: events that were passed, with what to look at. `left_out` by currency. `pending`: events that failed by
    our own fault, and are tried again.
    """

    invoices: int = 0
    credit_notes: int = 0
    not_passed: int = 0
    already_done: int = 0
    warnings: int = 0
    pending: int = 0
    left_out: Mapping[str, LeftOutTotal] = field(default_factory=dict)
    totals: Mapping[str, CurrencyTotal] = field(default_factory=dict)
    first_reasons: tuple[LogEntry, ...] = ()


def pending_entry(billing_event_id: str, reasons: Sequence[Reason] = ()) -> LogEntry:
    """The entry of an event that is still to be worked, or that has failed by our own fault, with the reasons."""
    return LogEntry(billing_event_id, LogResult.PENDING, reasons=tuple(reasons))


def retry_seconds(failures: int) -> float:
    """How long what has failed so many times by our own fault waits for the next try: 1 min, twice as long, … 1 h."""
    return float(min(RETRY_SECONDS_FIRST * 2 ** min(failures - 1, 10), RETRY_SECONDS_MAX))


def document_entries(document: Document) -> tuple[LogEntry, ...]:
    """The entries of the events that this document was made from: a warning where there is something to look at, such
    as items of the event that it leaves out.
    """
    left_out: dict[str, list[LeftOutItem]] = {}
    for item in document.left_out_items:
        left_out.setdefault(item.billing_event_id, []).append(item)
    entries = []
    for event_id in document.billing_event_ids:
        items = left_out.get(event_id)
        reasons = (
            *((_items_left_out(items, document.currency),) if items else ()),
            *(warning for warning in document.warnings if _concerns(warning, event_id)),
        )
        result = LogResult.WARNING if reasons else LogResult.OK
        entries.append(LogEntry(event_id, result, document.document_id, reasons=reasons))
    return tuple(entries)


def _concerns(warning: Reason, billing_event_id: str) -> bool:
    """Whether a document's warning is about this event: it names it, or names none."""
    named = warning.detail.get("billing_event_ids")
    return not isinstance(named, list) or billing_event_id in named


def _items_left_out(items: Sequence[LeftOutItem], currency: str) -> Reason:
    """What the company's item criteria leave out of an event's document: how many items, and what they come to."""
    amount = format_amount(exact_sum(item.amount for item in items), currency)
    counted = "1 item is" if len(items) == 1 else f"{len(items)} items are"
    criteria = list(dict.fromkeys(item.criterion for item in items))
    return Reason(
        "items_left_out",
        f"{counted} left out of the document, {amount} {currency}: not met: {'; '.join(criteria)}",
        {
            "count": len(items),
            "amount": amount,
            "currency": currency,
            "criteria": criteria,
            "items": [item.item_id for item in items],
        },
    )


def not_passed_entry(billing_event_id: str, reasons: Sequence[Reason]) -> LogEntry:
    """The entry of an event that got no document."""
    return LogEntry(billing_event_id, LogResult.ERROR, reasons=tuple(reasons))


def already_done_entry(billing_event_id: str, winning_document_id: str) -> LogEntry:
    """The loser of a race: a no-op that succeeds and says which document won (domain.md section 4)."""
    reason = Reason(
        "already_done",
        f"Document {winning_document_id} was made for it already",
        {"document_id": winning_document_id},
    )
    return LogEntry(billing_event_id, LogResult.OK, winning_document_id, already_done=True, reasons=(reason,))


def add_to_tally(tally: Tally, documents: Iterable[Document], entries: Iterable[LogEntry]) -> Tally:
    """The tally after one more batch: its new documents, and the log entries of all its events."""
    counts = {DocumentKind.SALES_INVOICE: tally.invoices, DocumentKind.SALES_CREDIT_NOTE: tally.credit_notes}
    amounts: dict[tuple[str, DocumentKind], list[Decimal]] = {}
    left_out: dict[str, list[Decimal]] = {}
    for document in documents:
        counts[document.kind] += 1
        for item in document.left_out_items:
            left_out.setdefault(document.currency, []).append(item.amount)
        amounts.setdefault((document.currency, document.kind), []).append(document.total_net)
    entries = list(entries)
    not_passed = [entry for entry in entries if entry.result is LogResult.ERROR]
    return Tally(
        invoices=counts[DocumentKind.SALES_INVOICE],
        credit_notes=counts[DocumentKind.SALES_CREDIT_NOTE],
        not_passed=tally.not_passed + len(not_passed),
        already_done=tally.already_done + sum(entry.already_done for entry in entries),
        pending=tally.pending,
        warnings=tally.warnings + sum(entry.result is LogResult.WARNING for entry in entries),
        left_out=_added_left_out(tally.left_out, left_out),
        totals=_added_totals(tally.totals, amounts),
        first_reasons=(*tally.first_reasons, *not_passed)[:FIRST_REASONS_MAX],
    )


def process_run_status(tally: Tally, *, pending: int, failed: bool = False) -> ProcessRunStatus:
    """The status of a run with this many events still to be worked; `failed`: it was given up before its end.

    What has failed by our own fault counts as errors until it has succeeded.
    """
    if failed:
        return ProcessRunStatus.FAILED
    if pending:
        return ProcessRunStatus.IN_PROGRESS
    has_errors = tally.not_passed or tally.pending
    return ProcessRunStatus.COMPLETED_WITH_ERRORS if has_errors else ProcessRunStatus.COMPLETED


def is_passed_at_once(item_counts: Sequence[int], sync_item_limit: int = SYNC_ITEM_LIMIT) -> bool:
    """Whether auto-pass passes these events (items of each) at once, with no mail: a single, small one."""
    return len(item_counts) == 1 and item_counts[0] <= sync_item_limit


def _added_left_out(
    totals: Mapping[str, LeftOutTotal], amounts: Mapping[str, list[Decimal]]
) -> dict[str, LeftOutTotal]:
    added = dict(totals)
    for currency, new in sorted(amounts.items()):
        before = added.get(currency, LeftOutTotal())
        added[currency] = LeftOutTotal(before.items + len(new), exact_sum([before.amount, *new]))
    return added


def _added_totals(
    totals: Mapping[str, CurrencyTotal], amounts: Mapping[tuple[str, DocumentKind], list[Decimal]]
) -> dict[str, CurrencyTotal]:
    added = dict(totals)
    for currency in sorted({currency for currency, _ in amounts}):
        before = added.get(currency, CurrencyTotal())
        added[currency] = CurrencyTotal(
            exact_sum([before.invoices, *amounts.get((currency, DocumentKind.SALES_INVOICE), ())]),
            exact_sum([before.credit_notes, *amounts.get((currency, DocumentKind.SALES_CREDIT_NOTE), ())]),
        )
    return added
