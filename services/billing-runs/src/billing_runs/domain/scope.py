"""Which billing events a run takes, and the description that is generated from its scope (domain.md section
5).

The preview in `new` and the step that claims use the same `select_events`, so that the preview cannot differ
from it on what this service knows. The accounting connector has the last word: what it refuses to claim is
left out, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, assert_never


class RunKind(StrEnum):
    """A run over the accounts of a billing cycle, or over events that were chosen for it."""

    EXCEPTIONAL = "exceptional"
    CYCLE = "cycle"


class EventStage(StrEnum):
    """The stages of a billing event (domain.md section 1), as the release service tells them."""

    INCOMPLETE = "incomplete"
    AWAITING_RELEASE = "awaiting_release"
    QUEUED = "queued"
    RELEASED = "released"
    INVOICED = "invoiced"
    REVERTING = "reverting"
    REVERTED = "reverted"
    CLOSED = "closed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class CycleScope:
    """A billing cycle and its window: date_from ≤ an event's date < last_transaction_date."""

    billing_cycle_id: str
    date_from: date
    last_transaction_date: date


@dataclass(frozen=True, slots=True)
class EventsScope:
    """A list of billing events; one that is named twice counts once."""

    billing_event_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What batches and filters find, narrowed.

    Without what was registered, or last changed in amount, after `as_of`, and without some ids.
    """

    as_of: datetime | None = None
    exclude_ids: frozenset[str] = frozenset()

    def leaves(self, event: "BillingEvent") -> bool:
        """Whether the event is still there; what is not known of its past was long ago."""
        if event.billing_event_id in self.exclude_ids:
            return False
        if self.as_of is None:
            return True
        moments = (event.registered_at, event.amount_changed_at)
        return all(moment is None or moment <= self.as_of for moment in moments)


NOT_NARROWED: Final = Narrowing()


@dataclass(frozen=True, slots=True)
class BatchesScope:
    """A list of billing event batches."""

    batch_ids: frozenset[str]
    narrowing: Narrowing = NOT_NARROWED


@dataclass(frozen=True, slots=True)
class FilterScope:
    """A filter: what is given must hold, all of it; both dates belong to the window."""

    project_id: str | None = None
    account_id: str | None = None
    currency: str | None = None
    batch_id: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    narrowing: Narrowing = NOT_NARROWED


Scope = CycleScope | EventsScope | BatchesScope | FilterScope


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """A billing cycle: its accounts by name, or (None) those that name the cycle."""

    billing_cycle_id: str
    accounts: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """What a run needs to know of a billing event to decide whether it takes it.

    `missing` holds the required fields that are empty (`account`, `company`, `currency`, `services_product`);
    `claimed_by_run_id` is the run that holds its claim.
    """

    billing_event_id: str
    project_id: str
    batch_id: str | None
    account_id: str | None
    date: date
    currency: str
    summary_amount: Decimal
    stage: EventStage
    missing: tuple[str, ...] = ()
    claimed_by_run_id: str | None = None
    on_hold: bool = False
    registered_at: datetime | None = None
    amount_changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An event of the scope that the run does not take, with every reason by code (domain.md section 4)."""

    billing_event_id: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run makes of the events in its scope; each event is in exactly one of the parts.

    `held` are claimed by this run already (an incremental run takes what is new), `to_release` await release
    and are released first. Every part is in the order of date, then id.
    """

    taken: tuple[BillingEvent, ...]
    to_release: tuple[BillingEvent, ...]
    held: tuple[BillingEvent, ...]
    left_out: tuple[LeftOut, ...]

    def expected(self, *, zero_amounts: bool) -> tuple[BillingEvent, ...]:
        """What the run is to invoice, as far as is known before it is released and claimed.

        A release on hold, or without a field that a document needs, is asked for and reported, but comes to nothing;
        so does, unless `zero_amounts` are invoiced, the claim of an event that sums to zero.
        """
        coming = [event for event in self.to_release if not (event.on_hold or event.missing)]
        new = (event for event in (*self.taken, *coming) if zero_amounts or event.summary_amount)
        return (*new, *self.held)


_GONE: Final = frozenset({EventStage.REVERTED, EventStage.DELETED})


def accounts_of_cycle(
    cycle: BillingCycle, cycle_by_account: Iterable[tuple[str, str | None]]
) -> frozenset[str]:
    """The accounts of a billing cycle: those it lists, else those that name it (pairs of account id and cycle
    id).
    """
    if cycle.accounts is not None:
        return cycle.accounts
    return frozenset(account for account, named in cycle_by_account if named == cycle.billing_cycle_id)


def is_in_scope(event: BillingEvent, scope: Scope, cycle_accounts: frozenset[str]) -> bool:
    """Whether the scope covers the event; `cycle_accounts` counts for a cycle run only."""
    match scope:
        case CycleScope():
            in_window = scope.date_from <= event.date < scope.last_transaction_date
            return in_window and event.account_id in cycle_accounts
        case EventsScope():
            return event.billing_event_id in scope.billing_event_ids
        case BatchesScope():
            return event.batch_id in scope.batch_ids and scope.narrowing.leaves(event)
        case FilterScope():
            return _passes_filter(event, scope) and scope.narrowing.leaves(event)
    assert_never(scope)


def _passes_filter(event: BillingEvent, scope: FilterScope) -> bool:
    asked = (
        (scope.project_id, event.project_id),
        (scope.account_id, event.account_id),
        (scope.currency, event.currency),
        (scope.batch_id, event.batch_id),
    )
    if any(wanted is not None and wanted != actual for wanted, actual in asked):
        return False
    if scope.date_from is not None and event.date < scope.date_from:
        return False
    return scope.date_to is None or event.date <= scope.date_to


def select_events(
    events: Iterable[BillingEvent],
    *,
    run_id: str,
    scope: Scope,
    cycle_accounts: frozenset[str],
    release_first: bool,
) -> Selection:
    """What the run takes of these events (domain.md section 5).

    Reverted and deleted events are as good as not there. An event without all its required fields, invoiced,
    closed, not released or claimed by another run is left out, and listed with its codes.
    """
    taken: list[BillingEvent] = []
    to_release: list[BillingEvent] = []
    held: list[BillingEvent] = []
    left_out: list[LeftOut] = []
    for event in sorted(events, key=lambda each: (each.date, each.billing_event_id)):
        if event.stage in _GONE or not is_in_scope(event, scope, cycle_accounts):
            continue
        if event.claimed_by_run_id == run_id:
            held.append(event)
        elif release_first and event.stage is EventStage.AWAITING_RELEASE:
            to_release.append(event)
        elif codes := _obstacles(event):
            left_out.append(LeftOut(event.billing_event_id, codes))
        else:
            taken.append(event)
    return Selection(tuple(taken), tuple(to_release), tuple(held), tuple(left_out))


def _obstacles(event: BillingEvent) -> tuple[str, ...]:
    codes = []
    match event.stage:
        case EventStage.RELEASED:
            pass
        case EventStage.INVOICED:
            codes.append("already_invoiced")
        case EventStage.CLOSED:
            codes.append("closed")
        case _:
            codes.append("not_released")
    codes.extend(f"{field}_missing" for field in event.missing)
    if event.claimed_by_run_id is not None:
        codes.append("claimed_by_run")
    return tuple(codes)


def generated_description(run_id: str, scope: Scope, invoice_date: date | None) -> str:
    """The description of a run that was given none: `Billing run R-1 (cycle MONTHLY; invoice date
    2026-11-30)`.
    """
    kind = f"cycle {scope.billing_cycle_id}" if isinstance(scope, CycleScope) else "exceptional"
    day = "of the day of numbering" if invoice_date is None else invoice_date.isoformat()
    return f"Billing run {run_id} ({kind}; invoice date {day})"
