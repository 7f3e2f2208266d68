"""Splitting an event: what stays and is released, the one new event, and the adjustment pairs (domain.md section 3)."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from release.domain.division import Division, Overage
from release.domain.events import BillingEvent, BillingEventItem
from release.domain.split_ids import adjustment_ids, next_event_id
from release.domain.stages import Stage

ADJUSTMENT_CATEGORY: Final = "miscellaneous_adjustment"
ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One half of an adjustment pair: the generated item's id and amount, and the event that holds it."""

    item_id: str
    amount: Decimal
    budget_id: str | None
    billing_event_id: str
    adjusts_item_id: str


@dataclass(frozen=True, slots=True)
class SplitEvents:
    """The two events that a split makes of one, and the generated adjustments.

    `origin` is what is released, with its kept items in the order of decision and then the negative adjustments;
    `new_event` awaits release, with the moved items and then the positive adjustments. `adjustments` holds pair after
    pair in the order of decision, the origin's half first.
    """

    origin: BillingEvent
    new_event: BillingEvent
    adjustments: tuple[Adjustment, ...]


def split_event(event: BillingEvent, division: Division, taken_ids: Container[str]) -> SplitEvents:
    """Make the origin and the new event of a division (domain.md section 3).

    The new event keeps project, account, company, currency, batch, dates and flags, has version 1, is marked as made by
    a cap, and is linked to its origin and root. `taken_ids` are the event ids that exist in the lineage's name.
    """
    new_id = next_event_id(event.lineage_root_id, taken_ids)
    item_ids = {item.item_id for item in event.items}
    ids_in_origin = adjustment_ids(event.billing_event_id, item_ids)
    ids_in_new = adjustment_ids(new_id, item_ids)
    pairs = [
        _adjustment_pair(overage, next(ids_in_origin), next(ids_in_new)) for overage in division.overages
    ]
    origin = replace(
        event,
        items=(*division.kept, *(in_origin for in_origin, _ in pairs)),
        stage=Stage.RELEASED,
        queued_by=None,
    )
    moved = (*division.moved, *(in_new for _, in_new in pairs))
    new_event = event_made_of(event, new_id, moved, made_by_cap=True)
    adjustments = tuple(
        Adjustment(half.item_id, half.amount, half.budget_id, holder.billing_event_id, overage.item.item_id)
        for overage, pair in zip(division.overages, pairs, strict=True)
        for half, holder in zip(pair, (origin, new_event), strict=True)
    )
    return SplitEvents(origin, new_event, adjustments)


def event_made_of(
    event: BillingEvent, new_id: str, items: Sequence[BillingEventItem], *, made_by_cap: bool
) -> BillingEvent:
    """The new event of items that leave their event: it awaits release, and is linked to its origin and root.

    It keeps everything but what the event corrects (domain.md section 3).
    """
    return replace(
        event,
        billing_event_id=new_id,
        version=1,
        items=tuple(items),
        stage=Stage.AWAITING_RELEASE,
        queued_by=None,
        origin_id=event.billing_event_id,
        root_id=event.lineage_root_id,
        made_by_cap=made_by_cap,
        corrects_billing_event_id=None,
    )


def _adjustment_pair(
    overage: Overage, id_in_origin: str, id_in_new: str
) -> tuple[BillingEventItem, BillingEventItem]:
    """The negative adjustment of an overage and its positive counterpart, both like the item that they adjust."""
    item = overage.item
    description = f"Adjustment to the budget's cap: {item.description}"
    in_new = replace(
        item,
        item_id=id_in_new,
        category=ADJUSTMENT_CATEGORY,
        description=description,
        accounting_line_description=description,
        amount=overage.amount,
        quantity=ONE,
        unit_price=overage.amount,
        services_product_from=None,  # no record stands behind it: completion must not look for the product anew
        adjusts_item_id=item.item_id,
        adjusts_category=item.adjusts_category or item.category,
    )
    return replace(in_new, item_id=id_in_origin, amount=-overage.amount, unit_price=-overage.amount), in_new
