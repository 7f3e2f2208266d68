"""The budget caps: which budgets are over, and the optimisation that bills their full amount (domain.md section 3)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from release.domain.cap_state import BudgetCap
from release.domain.division import Division, Overage
from release.domain.events import BillingEventItem, in_order_of_creation
from release.domain.explanation import ItemDecision
from shared.money import ZERO


def is_over(budget: BudgetCap, asked: Decimal, currency: str) -> bool:
    """Whether a capped budget would be passed (released + asked > amount + tolerance); never by 0 or less.

    What credits under revert will take counts as released.
    """
    if not budget.capped or asked <= ZERO:
        return False
    return budget.taken_in(currency) + asked > budget.amount + budget.tolerance.amount


def divide_to_budgets(
    items: Iterable[BillingEventItem], over: Mapping[str, BudgetCap], currency: str
) -> Division:
    """Bill each budget that is over up to its full amount (not the tolerance), keeping everything else.

    In the order of creation, an item is kept where it fits its budget's room (a credit always, and it makes room
    again); one that partly fits is kept with its overage; with no room it moves.
    """
    rooms = {budget_id: budget.amount - budget.taken_in(currency) for budget_id, budget in over.items()}
    kept: list[BillingEventItem] = []
    moved: list[BillingEventItem] = []
    overages: list[Overage] = []
    decisions: list[ItemDecision] = []
    for item in in_order_of_creation(items):
        room = None if item.budget_id is None else rooms.get(item.budget_id)
        decision = _decide_item(item, room)
        decisions.append(decision)
        if decision.outcome == "moved":
            moved.append(item)
            continue
        kept.append(item)
        if decision.overage is not None:
            overages.append(Overage(item, decision.overage))
        if item.budget_id is not None and room is not None:
            rooms[item.budget_id] = room - item.amount + (decision.overage or ZERO)
    return Division(tuple(kept), tuple(moved), tuple(overages), tuple(decisions))


def is_fully_released(division: Division, summary_amount: Decimal) -> bool:
    """Whether nothing is left to bill (domain.md section 3, `budget_fully_released`).

    So it is where nothing is kept, or what is kept, overages taken out, sums to 0, or to less although the event's
    summary amount is above 0.
    """
    released = division.released_amount
    return not division.kept or released == ZERO or released < ZERO < summary_amount


def _decide_item(item: BillingEventItem, room: Decimal | None) -> ItemDecision:
    """Decide one item against its budget's room; None where no budget that is over stands against it."""
    if room is None or item.amount <= max(room, ZERO):
        return ItemDecision(item.item_id, item.amount, item.budget_id, room, "released")
    if room > ZERO:
        overage = item.amount - room
        return ItemDecision(
            item.item_id, item.amount, item.budget_id, room, "released_with_adjustment", overage
        )
    return ItemDecision(item.item_id, item.amount, item.budget_id, room, "moved")
