"""The fields that a company's criteria may name (domain.md section 4, "Eligible")."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from accounting_connector.domain.billing_events import (
    BillingEvent,
    BillingEventItem,
    Stage,
    event_fields,
    item_fields,
)
from shared.expressions import Expression

_NO_ITEM: Final = BillingEventItem("", "", "", Decimal(0), Decimal(0), Decimal(0), None)
_NO_EVENT: Final = BillingEvent("", Stage.RELEASED, "", None, None, None, ())

ITEM_FIELDS: Final = frozenset(item_fields(_NO_ITEM))
EVENT_FIELDS: Final = frozenset(event_fields(_NO_EVENT))


@dataclass(frozen=True, slots=True)
class KnownFields:
    """What there is beside the fields that all events and items have: custom fields that some of them have.

    A custom field can always be named in full (`fields.region`): it is optional, and null where it is absent.
    """

    custom_of_events: frozenset[str] = frozenset()
    custom_of_items: frozenset[str] = frozenset()

    @property
    def of_events(self) -> frozenset[str]:
        """What an event criterion may name."""
        return EVENT_FIELDS | self.custom_of_events

    @property
    def of_items(self) -> frozenset[str]:
        """What an item criterion may name, and an event criterion of an item that it looks at."""
        return ITEM_FIELDS | self.custom_of_items

    def unknown_of_event(self, expression: Expression) -> Iterator[str]:
        """The names in an event criterion that no event has, and `items.<name>` for those that no item has."""
        yield from sorted(expression.names - self.of_events)
        yield from sorted(
            f"items.{entry}"
            for kind, entry in expression.entries
            if kind == "items" and entry not in self.of_items
        )

    def unknown_of_item(self, expression: Expression) -> Iterator[str]:
        """The names in an item criterion that no item has."""
        yield from sorted(expression.names - self.of_items)


def unknown_field_message(name: str, known: Iterable[str]) -> str:
    """What to tell who has named a field that there is not."""
    return (
        f"there is no field {name!r}; known are {', '.join(sorted(known))}; a custom field that no event has had yet "
        "is written fields.<name>"
    )
