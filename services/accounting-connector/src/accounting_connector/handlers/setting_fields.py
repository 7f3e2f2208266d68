"""Whether what a company's settings name is there (domain.md section 4, "Eligible")."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accounting_connector.domain.known_fields import KnownFields
from shared.expressions import compile_expression


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A name that no event, or no item, has; `setting`: where the settings name it, such as `event_criteria[0]`."""

    setting: str
    name: str
    is_of_item: bool


def unknown_fields(settings: Mapping[str, Any], known: KnownFields) -> Iterator[UnknownField]:
    """All names in the settings that are not known; with one of them a criterion would stop every event.

    Raises shared.expressions.ExpressionError for a criterion that is no expression.
    """
    for place, text in enumerate(settings["event_criteria"]):
        for name in known.unknown_of_event(compile_expression(text)):
            yield UnknownField(f"event_criteria[{place}]", name, name.startswith("items."))
    for place, text in enumerate(settings["item_criteria"]):
        for name in known.unknown_of_item(compile_expression(text)):
            yield UnknownField(f"item_criteria[{place}]", name, is_of_item=True)


def known_fields_body(known: KnownFields) -> dict[str, list[str]]:
    """The known fields as calls tell them."""
    return {"event": sorted(known.of_events), "item": sorted(known.of_items)}
