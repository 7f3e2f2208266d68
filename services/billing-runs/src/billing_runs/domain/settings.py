"""The settings of a billing run, fixed after its creation, and how they must fit each other (domain.md
section 5).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum

from billing_runs.domain.refusals import Problem
from billing_runs.domain.scope import (
    BatchesScope,
    CycleScope,
    EventsScope,
    FilterScope,
    RunKind,
    Scope,
)
from shared.money import UnknownCurrencyError, has_only_minor_units


class ProcessType(StrEnum):
    """How far a run goes by itself: not at all, to draft_invoices, or to its end unless documents are
    rejected.
    """

    MANUAL = "manual"
    AUTOMATIC = "automatic"
    FULL_AUTOMATIC = "full_automatic"


class Grouping(StrEnum):
    """What one document is made of: one billing event, or the events of one account, company, currency and
    sign.
    """

    BILLING_EVENT = "billing_event"
    ACCOUNT = "account"


class OnRejected(StrEnum):
    """What a run does by itself with a document that a rule rejected."""

    MANUAL_ACTION = "manual_action"
    CANCEL = "cancel"
    MOVE = "move"


class OnSuspect(StrEnum):
    """What a run does by itself with a suspect document; `manual_action` makes full_automatic wait."""

    AUTOMATIC_VALIDATION = "automatic_validation"
    MANUAL_ACTION = "manual_action"
    CANCEL = "cancel"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least net total of an invoice, in one currency; below it (strictly) the invoice is not made."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything about a run that never changes once it is created (domain.md section 5)."""

    kind: RunKind
    scope: Scope
    invoice_date: date | None = None
    """The date of its documents; None: the day of numbering."""
    process_type: ProcessType = ProcessType.MANUAL
    collection_date: date | None = None
    grouping: Grouping = Grouping.BILLING_EVENT
    skip_validation_rules: bool = False
    recompute_dates_at_validation: bool = False
    incremental: bool = False
    on_rejected: OnRejected = OnRejected.MANUAL_ACTION
    on_suspect: OnSuspect = OnSuspect.AUTOMATIC_VALIDATION
    release_first: bool = False
    threshold: Threshold | None = None


def quarantine_settings(origin: RunSettings) -> RunSettings:
    """The settings of a quarantine run: manual, and for the rest its origin's (domain.md section 5)."""
    return replace(origin, process_type=ProcessType.MANUAL)


def settings_problems(settings: RunSettings) -> tuple[Problem, ...]:
    """What does not fit in a run's settings, each by field; empty if all is well (domain.md section 5)."""
    return (
        *_scope_problems(settings.kind, settings.scope),
        *_date_problems(settings),
        *_threshold_problems(settings.threshold),
    )


def _scope_problems(kind: RunKind, scope: Scope) -> Iterator[Problem]:
    is_cycle = isinstance(scope, CycleScope)
    if kind is RunKind.CYCLE and not is_cycle:
        yield Problem("scope", "a cycle run names a billing cycle, date_from and last_transaction_date")
    if kind is RunKind.EXCEPTIONAL and is_cycle:
        yield Problem("scope", "an exceptional run names billing events, batches or a filter")
    match scope:
        case CycleScope(date_from=first, last_transaction_date=end) if first >= end:
            yield Problem(
                "scope.last_transaction_date", "must be after date_from: it is the first day left out"
            )
        case EventsScope(billing_event_ids=ids) if not ids:
            yield Problem("scope.billing_event_ids", "must name at least one billing event")
        case BatchesScope(batch_ids=ids) if not ids:
            yield Problem("scope.batch_ids", "must name at least one billing event batch")
        case FilterScope(date_from=date() as first, date_to=date() as last) if first > last:
            yield Problem("scope.filter.date_to", "must not be before date_from")
        case _:
            pass


def _date_problems(settings: RunSettings) -> Iterator[Problem]:
    collected, invoiced = settings.collection_date, settings.invoice_date
    if collected is not None and invoiced is not None and collected < invoiced:
        yield Problem("collection_date", "must not be before the invoice date")


def _threshold_problems(threshold: Threshold | None) -> Iterator[Problem]:
    if threshold is None:
        return
    if threshold.amount < 0:
        yield Problem("threshold.amount", "must not be negative")
    try:
        if not has_only_minor_units(threshold.amount, threshold.currency):
            yield Problem("threshold.amount", f"has more decimals than {threshold.currency}")
    except UnknownCurrencyError as unknown:
        yield Problem("threshold.currency", str(unknown))
