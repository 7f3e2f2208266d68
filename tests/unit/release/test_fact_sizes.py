"""Arrival leaves room for all that completion and release add (contract.md section 1)."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from release.domain.events import BillingEvent, BillingEventItem
from release.domain.stages import Stage
from release.fact_sizes import SURELY_FITTING_BYTES, SURELY_FITTING_ITEMS, released_bytes_max
from release.facts import DETAIL_IDS_MAX, MESSAGE_LENGTH_MAX, billing_event_body
from release.store.events import StoredEvent
from shared.contracts.base import NAME_LENGTH_MAX
from shared.database.unit_of_work import MESSAGE_BYTES_MAX
from unit.release.builders import make_event, make_item

LONGEST_NAME = "\N{RECEIPT}" * NAME_LENGTH_MAX
LONGEST_ID = "x" * 80
LONGEST_AMOUNT = f"-{'9' * 18}"
WARNING = {
    "code": "amount_above_record",
    "message": "x" * MESSAGE_LENGTH_MAX,
    "detail": {"item_ids": [LONGEST_ID] * DETAIL_IDS_MAX},
}


def filled(item: BillingEventItem) -> BillingEventItem:
    """The item with all that completion may find, at its longest."""
    return replace(
        item,
        services_product=item.services_product or LONGEST_NAME,
        services_product_from=item.services_product_from
        or (None if item.services_product else "miscellaneous_adjustment"),
        accounting_line_description=LONGEST_NAME if item.category == "milestone" else item.description,
    )


def adjustment_of(item: BillingEventItem) -> BillingEventItem:
    description = f"Adjustment to the budget's cap: {item.description}"
    return replace(
        item,
        item_id=LONGEST_ID,
        category="miscellaneous_adjustment",
        description=description,
        accounting_line_description=description,
        adjusts_item_id=item.item_id,
    )


def largest_fact(event: BillingEvent) -> dict[str, Any]:
    """The `released` fact of an event in which everything is filled that can be."""
    budgets = {item.budget_id: item for item in event.items if item.budget_id is not None}
    items = [filled(item) for item in event.items]
    items += [adjustment_of(filled(item)) for item in budgets.values()]
    now = datetime(2026, 11, 20, 9, 0, 0, 123456, tzinfo=UTC)
    released = StoredEvent(
        replace(
            event,
            items=tuple(items),
            stage=Stage.RELEASED,
            account_id=LONGEST_ID,
            company_id=LONGEST_ID,
            billing_event_currency="GBP",
            filled={"account_id": "project", "company_id": "practice", "billing_event_currency": "company"},
            origin_id=LONGEST_ID,
            root_id=LONGEST_ID,
        ),
        released_at=now,
        released_by="\N{RECEIPT}" * 255,
        released_by_job_id=LONGEST_ID,
        engagement=LONGEST_NAME,
    )
    figures = ("amount", "tolerance", "released_before", "released_after")
    return {
        "billing_event": billing_event_body(released),
        "released_at": now.isoformat(),
        "job_id": LONGEST_ID,
        "and_invoice": False,
        "warnings": [WARNING] * 3,
        "cap": {
            "level": "project",
            "bookings": LONGEST_AMOUNT,
            "remaining_before": LONGEST_AMOUNT,
            "remaining_after": LONGEST_AMOUNT,
            "budgets": [
                {"budget_id": each, **dict.fromkeys(figures, LONGEST_AMOUNT)} for each in sorted(budgets)
            ],
        },
        "starter": {"user_id": "\N{RECEIPT}" * 255, "email": "\N{RECEIPT}" * 320},
    }


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
ITEMS = st.builds(
    lambda number, changes: make_item(f"i{number}", "100", **changes),
    st.integers(0, 99_999),
    st.fixed_dictionaries(
        {
            "category": st.sampled_from(["timecard", "expense", "milestone", "budget"]),
            "services_product": st.none() | TEXTS.filter(bool),
            "description": TEXTS,
            "budget_id": st.none() | st.sampled_from(["b1", "b2", LONGEST_ID]),
            "accounting_line_description": st.none(),
        }
    ),
)


@given(st.lists(ITEMS, min_size=1, max_size=20))
def test_no_fact_of_an_event_is_larger_than_arrival_counted(items: list[BillingEventItem]) -> None:
    event = make_event(*items, account_id=None, company_id=None, billing_event_currency=None)
    assert len(orjson.dumps(largest_fact(event))) <= released_bytes_max(StoredEvent(event))


def test_what_is_not_counted_fits_surely() -> None:
    """Half a megabyte of items, each of a milestone and a budget of its own, and as long as may be."""
    description = "x" * (SURELY_FITTING_BYTES // SURELY_FITTING_ITEMS)
    items = [
        make_item(
            LONGEST_ID, Decimal(1), LONGEST_ID[:70] + str(number), category="milestone",
            services_product=None, description=description,
        )
        for number in range(SURELY_FITTING_ITEMS)
    ]  # fmt: skip
    assert released_bytes_max(StoredEvent(make_event(*items))) <= MESSAGE_BYTES_MAX
