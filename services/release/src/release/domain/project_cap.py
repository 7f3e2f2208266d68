"""The project cap: whether an event fits, and the first-fit split where it does not (domain.md section 3)."""

from collections.abc import Iterable
from decimal import Decimal

from release.domain.division import Division
from release.domain.events import BillingEventItem, in_order_of_creation
from release.domain.explanation import ItemDecision
from shared.money import ZERO


def fits_project(summary_amount: Decimal, remaining: Decimal) -> bool:
    """Whether an event fits its project's cap: not more than what remains; 0 or less always fits."""
    return summary_amount <= ZERO or summary_amount <= remaining


def divide_first_fit(items: Iterable[BillingEventItem], remaining: Decimal) -> Division:
    """Split by first fit, in one pass in the order of creation: what fits in what is left is kept, the rest moves.

    An item equal to what is left fits; a credit fits always and makes room for those after it.
    """
    left = remaining
    kept: list[BillingEventItem] = []
    moved: list[BillingEventItem] = []
    decisions: list[ItemDecision] = []
    for item in in_order_of_creation(items):
        fits = item.amount <= ZERO or item.amount <= left
        (kept if fits else moved).append(item)
        decisions.append(
            ItemDecision(item.item_id, item.amount, item.budget_id, left, "released" if fits else "moved")
        )
        if fits:
            left -= item.amount
    return Division(tuple(kept), tuple(moved), (), tuple(decisions))


def no_item_fits(division: Division) -> bool:
    """Whether no item fits, or what fits sums to 0 or less while positive items are left (domain.md section 3)."""
    return not division.kept or (bool(division.moved) and division.released_amount <= ZERO)
