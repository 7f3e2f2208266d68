"""Filling what is empty on an event by hand: by a user, or by a background process (domain.md section 1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from release.domain.events import BillingEvent, BillingEventItem, is_flag_set
from release.domain.psa_changes import FILLABLE_FIELDS, Accepted, ChangeRefused
from release.domain.reasons import Reason, already_released, out_of_reach
from release.domain.stages import Stage


@dataclass(frozen=True, slots=True)
class Fill:
    """What is given to fill; None where nothing is. `services_products` are by item id, `fields` by name."""

    account_id: str | None = None
    company_id: str | None = None
    billing_event_currency: str | None = None
    auto_pass_to_accounting: bool | None = None
    services_products: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)


def fill_by_hand(
    event: BillingEvent,
    fill: Fill,
    filled_by: Literal["user", "process"] = "user",
    auto_pass_field: str | None = None,
) -> Accepted | ChangeRefused:
    """Fill what is empty; all of it or nothing (domain.md section 1).

    What equals the value that is there changes nothing. Refused with the stage's own code where the event is over, with
    `item_not_found` for an item it does not have, and where something is not empty with `already_released` on a
    released event, else with `not_empty`. Of the custom fields only `auto_pass_field` can be filled, which the event's
    company names in place of the flag; it is set as that is. An unreleased event is to be completed again afterwards.
    """
    refusal = _refusal(event, fill, auto_pass_field)
    if refusal is not None:
        return ChangeRefused(refusal)
    head: dict[str, Any] = {
        name: value
        for name in FILLABLE_FIELDS
        if (value := getattr(fill, name)) is not None and value != getattr(event, name)
    }
    flag = fill.auto_pass_to_accounting
    if flag is not None and flag != event.auto_pass_to_accounting:
        head["auto_pass_to_accounting"] = flag
    if _new_fields(event, fill):
        head["fields"] = {**event.fields, **fill.fields}
    items = tuple(_filled_item(item, fill, filled_by) for item in event.items)
    filled = {**event.filled, **dict.fromkeys(head, filled_by)}
    return Accepted(replace(event, items=items, filled=filled, **head))


def _new_fields(event: BillingEvent, fill: Fill) -> dict[str, object]:
    return {
        name: value
        for name, value in fill.fields.items()
        if name not in event.fields or event.fields[name] != value
    }


def _refusal(event: BillingEvent, fill: Fill, auto_pass_field: str | None) -> Reason | None:
    if event.stage is not Stage.RELEASED and (over := out_of_reach(event.billing_event_id, event.stage)):
        return over
    item_ids = {item.item_id for item in event.items}
    unknown = sorted(fill.services_products.keys() - item_ids)
    if unknown:
        return Reason(
            "item_not_found",
            f"Billing event {event.billing_event_id} has no item {', '.join(unknown)}.",
            {"item_ids": unknown},
        )
    changed = _changed_fields(event, fill, auto_pass_field)
    if not changed:
        return None
    if event.stage is Stage.RELEASED:
        return already_released(event.billing_event_id, event.stage, changed)
    return Reason(
        "not_empty",
        f"Only what is empty can be filled; of billing event {event.billing_event_id}, {', '.join(changed)} is not.",
        {"fields": changed},
    )


def _changed_fields(event: BillingEvent, fill: Fill, auto_pass_field: str | None) -> list[str]:
    """What the fill would change that is not empty, or not to be filled."""
    changed = [
        name
        for name in FILLABLE_FIELDS
        if (value := getattr(fill, name)) is not None and getattr(event, name) not in {None, value}
    ]
    if (
        event.stage is Stage.RELEASED
        and event.auto_pass_to_accounting
        and fill.auto_pass_to_accounting is False
    ):
        changed.append("auto_pass_to_accounting")
    changed += [
        f"fields.{name}"
        for name in _new_fields(event, fill)
        if name != auto_pass_field or (event.stage is Stage.RELEASED and is_flag_set(event.fields.get(name)))
    ]
    if any(
        item.services_product not in {None, fill.services_products.get(item.item_id)}
        for item in _named(event, fill)
    ):
        changed.append("items.services_product")
    return changed


def _named(event: BillingEvent, fill: Fill) -> list[BillingEventItem]:
    return [item for item in event.items if item.item_id in fill.services_products]


def _filled_item(item: BillingEventItem, fill: Fill, filled_by: str) -> BillingEventItem:
    product = fill.services_products.get(item.item_id)
    if product is None or item.services_product is not None:
        return item
    return replace(item, services_product=product, services_product_from=filled_by)
