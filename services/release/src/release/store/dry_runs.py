"""What the chunks of a dry run would have released so far: totals, ids, items and records as later chunks find them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from release.domain.billed import Billing
from release.domain.events import BillingEvent, RecordKey
from release.domain.ledger import LedgerEntry
from release.store.connection import Connection
from shared.money import exact_sum

_ADD: Final = """
insert into dry_run_totals as total (job_id, project_id, budget_id, currency, released)
select $1, project_id, budget_id, currency, amount
from unnest($2::text[], $3::text[], $4::text[], $5::numeric[]) as added (project_id, budget_id, currency, amount)
on conflict (job_id, project_id, budget_id, currency) do update set released = total.released + excluded.released
"""
_TOTALS: Final = """
select project_id, budget_id, currency, released from dry_run_totals
where job_id = $1 and project_id = any($2::text[])
"""
_KEEP_IDS: Final = "insert into dry_run_events (job_id, billing_event_id) select $1, unnest($2::text[])"
_ADD_ITEMS: Final = """
insert into dry_run_items (job_id, item_id, billing_event_id) select $1, * from unnest($2::text[], $3::text[])
"""
_ADD_BILLINGS: Final = """
insert into dry_run_billings (job_id, kind, record_id, billing_event_id, root_id, currency, amount, record_limit)
select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::numeric[])
"""
_ITEMS: Final = """
select item_id, billing_event_id from dry_run_items where job_id = $1 and item_id = any($2::text[])
"""
_BILLINGS: Final = """
select billing.* from unnest($2::text[], $3::text[]) as wanted (kind, record_id)
join dry_run_billings as billing on billing.job_id = $1 and billing.kind = wanted.kind
  and billing.record_id = wanted.record_id
order by billing.billing_event_id
"""
_FORGET: Final = (
    "delete from dry_run_totals where job_id = $1",
    "delete from dry_run_events where job_id = $1",
    "delete from dry_run_items where job_id = $1",
    "delete from dry_run_billings where job_id = $1",
)


async def add_consumed(
    connection: Connection, job_id: str, entries: Iterable[LedgerEntry], made_ids: list[str]
) -> None:
    """Add what a chunk would have released, and the ids of the events that its splits would have made.

    The dry run must be locked.
    """
    sums: dict[tuple[str, str | None, str], list[LedgerEntry]] = {}
    for entry in entries:
        sums.setdefault((entry.project_id, entry.budget_id, entry.currency), []).append(entry)
    if sums:
        amounts = [exact_sum(entry.amount for entry in group) for group in sums.values()]
        await connection.execute(_ADD, job_id, *map(list, zip(*sums, strict=True)), amounts)
    if made_ids:
        await connection.execute(_KEEP_IDS, job_id, made_ids)


async def load_consumed(
    connection: Connection, job_id: str, project_ids: Iterable[str]
) -> list[tuple[str, str | None, str, Decimal]]:
    """What the dry run would have released on these projects: project, budget or None, currency, amount."""
    rows = await connection.fetch(_TOTALS, job_id, sorted(project_ids))
    return [(row["project_id"], row["budget_id"], row["currency"], row["released"]) for row in rows]


async def add_billed_dry(
    connection: Connection, job_id: str, billings: Sequence[Billing], items: Sequence[tuple[str, str]]
) -> None:
    """Keep what a chunk would have billed of records, and the items, each with its event, that it would have released.

    The dry run must be locked.
    """
    if billings:
        rows = [
            (*each.record, each.billing_event_id, each.root_id, each.currency, each.amount, each.limit)
            for each in billings
        ]
        await connection.execute(_ADD_BILLINGS, job_id, *map(list, zip(*rows, strict=True)))
    if items:
        await connection.execute(_ADD_ITEMS, job_id, *map(list, zip(*items, strict=True)))


async def load_billed_dry(
    connection: Connection, job_id: str, events: Iterable[BillingEvent]
) -> list[tuple[str, list[str], list[Billing]]]:
    """What the dry run would have billed of these events' items and records: by event, item ids and billings."""
    items = [item for event in events for item in event.items]
    keys = sorted({key for item in items if (key := item.counted_record) is not None})
    found: dict[str, tuple[list[str], list[Billing]]] = {}
    for row in await connection.fetch(_ITEMS, job_id, [item.item_id for item in items]):
        found.setdefault(row["billing_event_id"], ([], []))[0].append(row["item_id"])
    for row in await connection.fetch(_BILLINGS, job_id, *map(list, zip(*keys, strict=True))) if keys else ():
        billing = Billing(
            RecordKey(row["kind"], row["record_id"]),
            row["billing_event_id"],
            row["root_id"],
            row["currency"],
            row["amount"],
            row["record_limit"],
        )
        found.setdefault(row["billing_event_id"], ([], []))[1].append(billing)
    return [
        (billing_event_id, item_ids, billings) for billing_event_id, (item_ids, billings) in found.items()
    ]


async def forget_consumed(connection: Connection, job_id: str) -> None:
    """Remove it all: the dry run has ended."""
    for statement in _FORGET:
        await connection.execute(statement, job_id)
