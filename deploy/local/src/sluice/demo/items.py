"""Billing event items of the sample, whose services products come from every link of their chains."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import Any, Final

from sluice.demo.arithmetic import DIGITS, rounded, written
from sluice.demo.kafka import Outgoing
from sluice.demo.world import Project, upserted


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it is sent, and what is expected to be found for it: product, where from, line description."""

    item_id: str
    created_at: str
    category: str
    record_id: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    description: str
    services_product: str
    given_by: str
    line_description: str
    budget_id: str | None = None

    def body(self, currency: str) -> dict[str, Any]:
        """The item in `psa.billing-event.generated.v1`; its product is left for the release service to find."""
        return {
            "item_id": self.item_id,
            "created_at": self.created_at,
            "category": self.category,
            "business_record_id": self.record_id,
            "business_record_version": 1,
            "date": self.created_at[:10],
            "description": self.description,
            "quantity": str(self.quantity),
            "unit_price": str(self.unit_price),
            "amount": written(self.amount, currency),
            "services_product": None,
            "budget_id": self.budget_id,
        }

    def overage(self, adjustment_id: str, amount: Decimal) -> "Item":
        """The adjustment that takes this much of the item out of the event that it is released with."""
        description = f"Adjustment to the budget's cap: {self.description}"
        return replace(
            self,
            item_id=adjustment_id,
            category="miscellaneous_adjustment",
            quantity=Decimal(1),
            unit_price=-amount,
            amount=-amount,
            description=description,
            line_description=description,
        )


@dataclass(frozen=True, slots=True)
class Route:
    """How an item comes by its product: its category, the link that gives it, and the record's own parent."""

    category: str
    given_by: str
    parent: tuple[str, str] | None
    own_product: str | None
    found_product: str | None


_PROJECTS: Final = None
ROUTES: Final = (
    Route("timecard", "assignment", ("assignment", "AS-2"), None, "Engineering"),
    Route("expense", "expense_report", ("expense_report", "ER-2"), None, "Travel"),
    Route("timecard", "project", ("assignment", "AS-1"), None, _PROJECTS),
    Route("milestone", "milestone", None, "Delivery", "Delivery"),
    Route("timecard", "milestone", ("assignment", "AS-3"), None, "Field work"),
    Route("expense", "expense", ("expense_report", "ER-2"), "Materials", "Materials"),
    Route("timecard", "timecard", ("assignment", "AS-2"), "Specialist", "Specialist"),
    Route("expense", "assignment", ("expense_report", "ER-3"), None, "Engineering"),
    Route("miscellaneous_adjustment", "project", None, None, _PROJECTS),
    Route("expense", "milestone", ("expense_report", "ER-4"), None, "Field work"),
    Route("milestone", "project", None, None, _PROJECTS),
    # An absent link is skipped: an expense that hangs at an assignment, without a report.
    Route("expense", "assignment", ("assignment", "AS-2"), None, "Engineering"),
    Route("expense", "project", ("expense_report", "ER-1"), None, _PROJECTS),
    Route("miscellaneous_adjustment", "miscellaneous_adjustment", None, "Goodwill", "Goodwill"),
    Route("budget", "budget", None, "Retainer", "Retainer"),
)
"""Every way of domain.md section 1 by which an item comes by its product."""

_CHAIN: Final[tuple[tuple[str, str, str | None, tuple[str, str] | None], ...]] = (
    ("milestone", "MS-1", None, None),
    ("milestone", "MS-2", "Field work", None),
    ("assignment", "AS-1", None, ("milestone", "MS-1")),
    ("assignment", "AS-2", "Engineering", ("milestone", "MS-2")),
    ("assignment", "AS-3", None, ("milestone", "MS-2")),
    ("expense_report", "ER-1", None, ("assignment", "AS-1")),
    ("expense_report", "ER-2", "Travel", ("assignment", "AS-2")),
    ("expense_report", "ER-3", None, ("assignment", "AS-2")),
    ("expense_report", "ER-4", None, ("assignment", "AS-3")),
)
_RECORD_TOPIC: Final = "psa.business-records"


def chain_records(project: Project) -> list[Outgoing]:
    """The records that a project's items hang at."""
    return [
        _record(
            project,
            f"{project.project_id}-{name}",
            kind,
            name=name,
            services_product=product,
            parent=_parent(project, parent),
        )
        for kind, name, product, parent in _CHAIN
    ]


@dataclass(slots=True)
class ItemMaker:
    """Makes items, and the business records that they bill. The same seed makes the same."""

    random: Random
    records: list[Outgoing] = field(default_factory=list)
    _routes: Iterator[Route] = field(default_factory=lambda: cycle(ROUTES))

    def of_amounts(self, project: Project, event_id: str, date: str, amounts: list[Decimal]) -> list[Item]:
        """Items of exactly these amounts, created in this order."""
        return [
            self._item(project, event_id, date, number, quantity=Decimal(1), unit_price=amount)
            for number, amount in enumerate(amounts, start=1)
        ]

    def at_random(self, project: Project, event_id: str, date: str, *, is_credit: bool) -> list[Item]:
        """One to five items; among several that bill there may be a smaller one that credits."""
        count = self.random.randint(1, 5)
        items: list[Item] = []
        for number in range(1, count + 1):
            quantity, unit_price = self._figures(project.currency)
            credits_a_part = not is_credit and number == count > 2 and self.random.random() < 0.3
            if credits_a_part:
                quantity, unit_price = Decimal(1), min(item.amount for item in items)
            sign = -1 if is_credit or credits_a_part else 1
            item = self._item(
                project, event_id, date, number, quantity=quantity, unit_price=sign * unit_price
            )
            items.append(item)
        return items

    def _figures(self, currency: str) -> tuple[Decimal, Decimal]:
        """Quarters of an hour, and a price that often does not come out even: the amount has to be rounded."""
        quantity = Decimal(self.random.randint(1, 60)) / 4
        digits = DIGITS[currency]
        smallest = 10 ** (digits + 1) if digits else 1_000
        return quantity, Decimal(self.random.randint(smallest, 20 * smallest)).scaleb(-digits)

    def _item(
        self,
        project: Project,
        event_id: str,
        date: str,
        number: int,
        *,
        quantity: Decimal,
        unit_price: Decimal,
    ) -> Item:
        route = next(self._routes)
        record_id = f"{event_id}-R{number}"
        description = f"{route.category.replace('_', ' ')} {number} of {event_id}"
        name = f"Stage {number} of {event_id}" if route.category == "milestone" else None
        parent = _parent(project, route.parent)
        amount = rounded(quantity * unit_price, project.currency)
        figures = {
            "quantity": str(quantity),
            "unit_price": str(unit_price),
            "amount": written(amount, project.currency),
        }
        record = _record(
            project,
            record_id,
            route.category,
            name=name,
            services_product=route.own_product,
            parent=parent,
            **figures,
        )
        self.records.append(record)
        return Item(
            item_id=f"{event_id}-I{number}",
            created_at=f"{date}T09:{number:02}:00Z",
            category=route.category,
            record_id=record_id,
            quantity=quantity,
            unit_price=unit_price,
            amount=amount,
            description=description,
            services_product=route.found_product or project.services_product,
            given_by=route.given_by,
            line_description=name or description,
        )


def _parent(project: Project, parent: tuple[str, str] | None) -> dict[str, str] | None:
    if parent is None:
        return None
    return {"kind": parent[0], "record_id": f"{project.project_id}-{parent[1]}"}


def _record(
    project: Project,
    record_id: str,
    kind: str,
    *,
    name: str | None,
    services_product: str | None,
    parent: dict[str, str] | None,
    **figures: str,
) -> Outgoing:
    body = {
        "record_id": record_id,
        "version": 1,
        "kind": kind,
        "parent": parent,
        "project_id": project.project_id,
        "services_product": services_product,
        "name": name,
        **figures,
    }
    return upserted(_RECORD_TOPIC, "business-record", record_id, body)
