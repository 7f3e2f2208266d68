"""The division of an event's items between what is released now and what moves to a new event (domain.md section 3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from release.domain.events import BillingEventItem
from release.domain.explanation import ItemDecision
from shared.money import exact_sum


@dataclass(frozen=True, slots=True)
class Overage:
    """An item that partly fits its budget: released in full, less an adjustment of this positive amount."""

    item: BillingEventItem
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Division:
    """Every item of an event, kept or moved, in the order of decision; `overages` are of kept items."""

    kept: tuple[BillingEventItem, ...]
    moved: tuple[BillingEventItem, ...]
    overages: tuple[Overage, ...]
    decisions: tuple[ItemDecision, ...]

    @property
    def released_amount(self) -> Decimal:
        """What is released: the kept items less the overages."""
        return exact_sum(item.amount for item in self.kept) - exact_sum(over.amount for over in self.overages)

    def released_by_budget(self) -> dict[str, Decimal]:
        """What is released on each budget that the kept items name."""
        released = amount_by_budget(self.kept)
        for over in self.overages:
            if over.item.budget_id is not None:
                released[over.item.budget_id] -= over.amount
        return released


def amount_by_budget(items: Iterable[BillingEventItem]) -> dict[str, Decimal]:
    """The exact sum of the items of each budget that they name."""
    sums: dict[str, list[Decimal]] = {}
    for item in items:
        if item.budget_id is not None:
            sums.setdefault(item.budget_id, []).append(item.amount)
    return {budget_id: exact_sum(amounts) for budget_id, amounts in sums.items()}
