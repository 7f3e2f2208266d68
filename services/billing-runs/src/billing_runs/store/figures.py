"""What the billing events of a run come to, by everything that the pre-invoicing report tells apart."""

from typing import Final

import asyncpg

from billing_runs.domain.statistics import CountedItem
from billing_runs.store.connection import Reader

_ITEMS: Final = """
select event.billing_event_id, event.account_id, event.project_id, event.currency,
  line.value ->> 'category' as category, line.value ->> 'product' as product,
  (line.value ->> 'items')::integer as items, (line.value ->> 'amount')::numeric as amount
from billing_events as event cross join lateral jsonb_array_elements(event.figures -> 'lines') as line
"""
# The parts are texts of ours; every value is a parameter.
_OF_RUN: Final = (
    f"{_ITEMS} where event.billing_event_id in"  # noqa: S608
    " (select billing_event_id from run_events where run_id = $1 and claimed)"
)
_OF_EVENTS: Final = f"{_ITEMS} where event.billing_event_id = any($1::text[])"


async def items_of_run(connection: Reader, run_id: str) -> list[CountedItem]:
    """The items of the events that the run has claimed, summed by event, category and product."""
    return [_item_of(row) for row in await connection.fetch(_OF_RUN, run_id)]


async def items_of_events(connection: Reader, billing_event_ids: list[str]) -> list[CountedItem]:
    """The same for these events."""
    return [_item_of(row) for row in await connection.fetch(_OF_EVENTS, billing_event_ids)]


def _item_of(row: "asyncpg.Record") -> CountedItem:
    return CountedItem(
        billing_event_id=row["billing_event_id"],
        account_id=row["account_id"],
        project_id=row["project_id"],
        currency=row["currency"],
        category=row["category"],
        services_product=row["product"],
        amount=row["amount"],
        items=row["items"],
    )
