"""The cap ledger: entries per project and per touched budget, capped or not (domain.md sections 2 and 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from release.domain.cap_state import ProjectCap
from release.domain.division import amount_by_budget
from release.domain.events import BillingEvent, BillingEventItem
from shared.money import exact_sum


@dataclass(slots=True)
class LedgerEntry:
    """One line of the ledger: what an event released on a project (`budget_id` None) or on one of its budgets.

    `amount` is negative for a credit and for what a revert gives back; `released_after` is the total in the same
    currency once the entry stands.
    """

    project_id: str
    budget_id: str | None
    billing_event_id: str
    currency: str
    amount: Decimal
    released_after: Decimal


@dataclass(slots=True)
class Booking:
    """What an event's release or revert writes: the entries, the project's first, and the caps after it."""

    entries: tuple[LedgerEntry, ...]
    cap: ProjectCap


def book_release(event: BillingEvent, cap: ProjectCap) -> Booking:
    """The entries of a released event, of exactly the items that it is released with."""
    return _book(event, cap, event.summary_amount, amount_by_budget(event.items))


def book_revert(event: BillingEvent, cap: ProjectCap) -> Booking:
    """The entries that give back what a released event took (domain.md section 2, Revert)."""
    given_back = {budget_id: -amount for budget_id, amount in amount_by_budget(event.items).items()}
    return _book(event, cap, -event.summary_amount, given_back)


def book_move(event: BillingEvent, items: Sequence[BillingEventItem], cap: ProjectCap) -> Booking:
    """The entries that give back what a released event took for these items, which leave it (documents.md 3.5)."""
    given_back = {budget_id: -amount for budget_id, amount in amount_by_budget(items).items()}
    return _book(event, cap, -exact_sum(item.amount for item in items), given_back)


def _book(event: BillingEvent, cap: ProjectCap, amount: Decimal, by_budget: Mapping[str, Decimal]) -> Booking:
    currency = event.currency
    after = cap.after_release(currency, amount, by_budget)
    entries = [
        LedgerEntry(
            cap.project_id, None, event.billing_event_id, currency, amount, after.released_in(currency)
        )
    ]
    for budget_id, budget_amount in by_budget.items():
        released_after = after.budgets[budget_id].released_in(currency)
        entries.append(
            LedgerEntry(
                cap.project_id, budget_id, event.billing_event_id, currency, budget_amount, released_after
            )
        )
    return Booking(tuple(entries), after)
