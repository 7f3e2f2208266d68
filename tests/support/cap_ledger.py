"""The cap ledger, rebuilt from the facts of `release.events` alone (domain.md section 3, Never over)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

RELEASED: Final = "release.billing-event.released.v1"
SPLIT: Final = "release.billing-event.split.v1"
REVERTED: Final = "release.billing-event.reverted.v1"
LEFT_OUT: Final = "release.billing-event.left-out.v1"
REGISTERED: Final = "release.billing-event.registered.v1"

Total = tuple[str, str | None, str]
"""Project, budget or None for the project itself, currency."""


class Line(NamedTuple):
    """One line of the ledger."""

    project_id: str
    budget_id: str | None
    billing_event_id: str
    act: str
    amount: Decimal
    currency: str
    released_after: Decimal


@dataclass
class RebuiltLedger:
    """Folds facts, in the order of their keys; `lines` is the ledger that they tell of.

    A fact that cannot be, such as a second release of an event, a revert of what was not released, or a split whose
    parts are not those of the two events that it names, raises AssertionError.
    """

    lines: list[Line] = field(default_factory=list)
    totals: dict[Total, Decimal] = field(default_factory=dict)
    _released: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    _moved: dict[str, set[str]] = field(default_factory=dict)
    _heads: dict[str, tuple[str, str]] = field(default_factory=dict)
    _reverted: set[str] = field(default_factory=set)
    _splits: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def fold(self, facts: Iterable[tuple[str, Mapping[str, Any]]]) -> "RebuiltLedger":
        """Take facts, each as its type and its body; those that tell nothing of caps are left aside."""
        for fact_type, body in facts:
            match fact_type:
                case str() if fact_type == RELEASED:
                    self._release(body["billing_event"])
                case str() if fact_type == SPLIT:
                    self._splits.setdefault(body["origin_id"], []).append(body)
                case str() if fact_type == REGISTERED:
                    self._check_new_event(body["billing_event"])
                case str() if fact_type == LEFT_OUT and body["moved_to"] is not None:
                    self._move(body)
                case str() if fact_type == REVERTED:
                    self._revert(body["billing_event_id"])
        return self

    def _release(self, event: Mapping[str, Any]) -> None:
        event_id = event["billing_event_id"]
        assert event_id not in self._released, f"{event_id} is released twice"
        items = {item["item_id"]: item for item in event["items"]}
        assert _amounts(items.values())[None] == Decimal(event["summary_amount"]), event_id
        if event_id in self._splits:
            kept = self._ids(event_id, "released_item_ids") | self._adjustments(event_id, event_id)
            assert {item["item_id"] for item in event["items"]} == kept, (
                f"{event_id} is not what its split left"
            )
        self._released[event_id] = items
        self._heads[event_id] = (event["project_id"], event["currency"])
        self._book(event_id, "release", 1, items.values())

    def _move(self, told: Mapping[str, Any]) -> None:
        """Items that their document leaves out go to a new event; all parts are told before it is registered."""
        item_ids = {item["item_id"] for item in told["items"]}
        self._moved.setdefault(told["moved_to"], set()).update(item_ids)
        if told["part"] == told["parts"]:
            released = self._released[told["billing_event_id"]]
            moved = [released.pop(item_id) for item_id in self._moved[told["moved_to"]]]
            self._book(told["billing_event_id"], "move", -1, moved)

    def _check_new_event(self, event: Mapping[str, Any]) -> None:
        origin_id, event_id = event["origin_id"], event["billing_event_id"]
        if origin_id is None:
            return
        if event_id in self._moved:
            assert {item["item_id"] for item in event["items"]} == self._moved[event_id]
            return
        assert all(part["new_id"] == event_id for part in self._splits[origin_id])
        moved = self._ids(origin_id, "moved_item_ids") | self._adjustments(origin_id, event_id)
        assert {item["item_id"] for item in event["items"]} == moved, (
            f"{event_id} is not what was moved to it"
        )

    def _ids(self, origin_id: str, name: str) -> set[str]:
        return {item_id for part in self._splits[origin_id] for item_id in part[name]}

    def _adjustments(self, origin_id: str, holder_id: str) -> set[str]:
        halves = [half for part in self._splits[origin_id] for half in part["adjustments"]]
        assert sum(Decimal(half["amount"]) for half in halves) == 0, "the pairs of a split sum to zero"
        return {half["item_id"] for half in halves if half["billing_event_id"] == holder_id}

    def _revert(self, event_id: str) -> None:
        assert event_id in self._released, f"{event_id} is reverted and was not released"
        assert event_id not in self._reverted, f"{event_id} is reverted twice"
        self._reverted.add(event_id)
        self._book(event_id, "revert", -1, self._released[event_id].values())

    def _book(self, event_id: str, act: str, sign: int, items: Iterable[Mapping[str, Any]]) -> None:
        project_id, currency = self._heads[event_id]
        for budget_id, amount in _amounts(items).items():
            total = self.totals.get((project_id, budget_id, currency), Decimal(0)) + sign * amount
            self.totals[project_id, budget_id, currency] = total
            self.lines.append(Line(project_id, budget_id, event_id, act, sign * amount, currency, total))


def _amounts(items: Iterable[Mapping[str, Any]]) -> dict[str | None, Decimal]:
    """What items come to, for their project (None) and for each budget."""
    amounts: dict[str | None, Decimal] = {None: Decimal(0)}
    for item in items:
        for level in {None, item["budget_id"]}:
            amounts[level] = amounts.get(level, Decimal(0)) + Decimal(item["amount"])
    return amounts


def by_total(lines: Iterable[Line]) -> dict[Total, list[Line]]:
    """The lines of each total, in their order: lines of different projects may overtake each other."""
    found: dict[Total, list[Line]] = {}
    for line in lines:
        found.setdefault((line.project_id, line.budget_id, line.currency), []).append(line)
    return found
