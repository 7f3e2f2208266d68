"""Why a release was decided as it was: the numbers, the rule and the order (domain.md section 3, "Never over")."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from release.domain.tolerance import Tolerance
from shared.money import format_amount, format_number

ORDER_OF_DECISION = "created_at, item_id"


class Rule(StrEnum):
    """The rule of domain.md section 3 that decided."""

    NOT_ENFORCED = "not_enforced"
    CREDIT_ALWAYS_FITS = "credit_always_fits"
    FITS_REMAINING = "fits_remaining"
    WITHIN_BUDGETS = "within_budgets"
    FIRST_FIT = "first_fit"
    BILL_TO_BUDGET_CAP = "bill_to_budget_cap"
    CONFIGURATION_CONFLICT = "configuration_conflict"
    CURRENCY_MISMATCH = "currency_mismatch"
    CLOSER_TO_CAP_DISABLED = "closer_to_cap_disabled"
    JOB_DOES_NOT_SPLIT = "job_does_not_split"
    TOO_MANY_ITEMS = "too_many_items"
    OTHER_REASONS = "other_reasons"


class Level(StrEnum):
    """The level whose cap counted: the project's bookings, or its budgets."""

    PROJECT = "project"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class ItemDecision:
    """What was decided about one item of a split: what was left before it, and the overage where it partly fits.

    `left_before` is None for an item that no cap stood against.
    """

    item_id: str
    amount: Decimal
    budget_id: str | None
    left_before: Decimal | None
    outcome: Literal["released", "released_with_adjustment", "moved"]
    overage: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BudgetDecision:
    """The numbers of one capped budget that the event uses: what was asked of it, and what was released before and
    after.
    """

    budget_id: str
    amount: Decimal
    tolerance: Tolerance
    asked: Decimal
    over: bool
    released_before: Decimal
    released_after: Decimal


@dataclass(slots=True)
class Decision:
    """The whole explanation of one cap decision, kept in the ledger and the history.

    `level` is None where no cap was tracked or used. Bookings and remaining are the project's, in its currency, at
    either level. `items` are in the order of decision; only a split decides item by item.
    """

    rule: Rule
    level: Level | None
    project_currency: str
    event_currency: str
    summary_amount: Decimal
    bookings: Decimal
    remaining_before: Decimal
    remaining_after: Decimal
    budgets: tuple[BudgetDecision, ...] = ()
    items: tuple[ItemDecision, ...] = ()


def decision_document(decision: Decision) -> dict[str, object]:
    """The decision as a JSON object: amounts as decimal strings with their currency's digits."""
    project, event = decision.project_currency, decision.event_currency
    return {
        "rule": decision.rule.value,
        "level": None if decision.level is None else decision.level.value,
        "order": ORDER_OF_DECISION,
        "currency": event,
        "summary_amount": format_amount(decision.summary_amount, event),
        "bookings": format_amount(decision.bookings, project),
        "remaining_before": format_amount(decision.remaining_before, project),
        "remaining_after": format_amount(decision.remaining_after, project),
        "budgets": [_budget_document(budget, project) for budget in decision.budgets],
        "items": [_item_document(item, event) for item in decision.items],
    }


def _budget_document(budget: BudgetDecision, currency: str) -> dict[str, object]:
    rate = budget.tolerance.rate
    return {
        "budget_id": budget.budget_id,
        "amount": format_amount(budget.amount, currency),
        "tolerance": format_amount(budget.tolerance.amount, currency),
        "tolerance_rate": None if rate is None else format_number(rate),
        "tolerance_note": budget.tolerance.note,
        "asked": format_amount(budget.asked, currency),
        "over": budget.over,
        "released_before": format_amount(budget.released_before, currency),
        "released_after": format_amount(budget.released_after, currency),
    }


def _item_document(item: ItemDecision, currency: str) -> dict[str, object]:
    return {
        "item_id": item.item_id,
        "amount": format_amount(item.amount, currency),
        "budget_id": item.budget_id,
        "left_before": None if item.left_before is None else format_amount(item.left_before, currency),
        "outcome": item.outcome,
        "overage": None if item.overage is None else format_amount(item.overage, currency),
    }
