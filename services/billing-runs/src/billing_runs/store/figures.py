"""What the billing events of a run come to, by everything that the pre-invoicing report tells apart."""

from typing import Final

import asyncpg

from billing_runs.domain.statistics import CountedItem
from billing_runs.store.connection import Reader

_OF_RUN: Final = "select billing_event_id from run_events where run_id = $1 and claimed"
_OF_EVENTS: Final = "select unnest($1::text[])"

# The parts are texts of ours; every value is a parameter.
_ITEMS: Final = """
select event.account_id, event.project_id, event.currency, line.value ->> 'category' as category,
  line.value ->> 'product' as product, sum((line.value ->> 'items')::bigint)::bigint as items,
  sum((line.value ->> 'amount')::numeric) as amount
from billing_events as event cross join lateral jsonb_array_elements(event.figures -> 'lines') as line
where event.billing_event_id in ({event_ids})
group by 1, 2, 3, 4, 5
"""
_COUNT: Final = "select count(*) from billing_events where billing_event_id in ({event_ids})"


async def items_of_run(connection: Reader, run_id: str) -> tuple[list[CountedItem], int]:
    """The items of the events that the run has claimed, summed up, and how many such events are known."""
    return await _figures(connection, _OF_RUN, run_id)


async def items_of_events(connection: Reader, billing_event_ids: list[str]) -> tuple[list[CountedItem], int]:
    """The same for these events."""
    return await _figures(connection, _OF_EVENTS, billing_event_ids)


async def _figures(
    connection: Reader, event_ids: str, value: str | list[str]
) -> tuple[list[CountedItem], int]:
    rows = await connection.fetch(_ITEMS.format(event_ids=event_ids), value)
    events: int = await connection.fetchval(_COUNT.format(event_ids=event_ids), value)
    return [_item_of(row) for row in rows], events


def _item_of(row: "asyncpg.Record") -> CountedItem:
    return CountedItem(
        account_id=row["account_id"],
        project_id=row["project_id"],
        currency=row["currency"],
        category=row["category"],
        services_product=row["product"],
        amount=row["amount"],
        items=row["items"],
    )
