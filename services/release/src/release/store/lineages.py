"""Lineages of splits: the ids taken in them, their events, and the items that moved (domain.md section 3)."""

from collections.abc import Iterable, Mapping
from typing import Final

from release.domain.events import BillingEventItem
from release.domain.revert import LineageMember
from release.domain.split_ids import lineage_prefixes
from release.domain.stages import Stage
from release.store.connection import Connection, Reader
from release.store.events import item_of

# Ids are compared by code point, so those with a prefix stand together in the primary key.
_TAKEN: Final = """
select taken.billing_event_id
from unnest($1::text[], $2::text[]) as range (first_id, end_id)
cross join lateral (
  select billing_event_id from billing_events where billing_event_id >= first_id and billing_event_id < end_id
  union all
  select billing_event_id from deleted_billing_events
  where billing_event_id >= first_id and billing_event_id < end_id
  union all
  select billing_event_id from dry_run_events
  where job_id = $3 and billing_event_id >= first_id and billing_event_id < end_id
) as taken
"""
_MEMBERS: Final = """
select billing_event_id, stage, origin_id from billing_events
where billing_event_id = $1 or root_id = $1
order by origin_id is not null, created_at, billing_event_id
"""
_CORRECTING: Final = """
select billing_event_id, corrects_billing_event_id from billing_events
where corrects_billing_event_id = any($1::text[]) order by billing_event_id
"""
_MOVED: Final = """
select origin.billing_event_id as moved_from, item.*
from unnest($1::text[], $2::text[]) as origin (billing_event_id, root_id)
  join billing_events as other on other.root_id = origin.root_id and other.billing_event_id <> origin.billing_event_id
  join billing_event_items as item on item.billing_event_id = other.billing_event_id
where item.adjusts_item_id is null
"""


async def load_taken_ids(
    connection: Reader, root_ids: Iterable[str], *, dry_run_job_id: str | None = None
) -> set[str]:
    """The event ids that exist, or were deleted before they came, under the prefixes of these lineages.

    For a dry run also those that its splits would have given.
    """
    prefixes = sorted({prefix for root_id in root_ids for prefix in lineage_prefixes(root_id)})
    ends = [prefix[:-1] + chr(ord(prefix[-1]) + 1) for prefix in prefixes]
    rows = await connection.fetch(_TAKEN, prefixes, ends, dry_run_job_id)
    return {row["billing_event_id"] for row in rows}


async def load_lineage(connection: Connection, root_id: str) -> dict[str, LineageMember]:
    """All events of a lineage, by id, in the order in which splits made them; not locked."""
    return {
        row["billing_event_id"]: LineageMember(Stage(row["stage"]), row["origin_id"])
        for row in await connection.fetch(_MEMBERS, root_id)
    }


async def load_correcting_ids(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, str]:
    """The events that correct one of these, with the one that each corrects; not locked."""
    rows = await connection.fetch(_CORRECTING, list(billing_event_ids))
    return {row["billing_event_id"]: row["corrects_billing_event_id"] for row in rows}


async def load_moved_items(
    connection: Connection, roots: Mapping[str, str]
) -> dict[str, dict[str, BillingEventItem]]:
    """By event, the items that are now in other events of its lineage, by id; `roots` gives each event's root."""
    moved: dict[str, dict[str, BillingEventItem]] = {billing_event_id: {} for billing_event_id in roots}
    if roots:
        for row in await connection.fetch(_MOVED, list(roots), list(roots.values())):
            moved[row["moved_from"]][row["item_id"]] = item_of(row)
    return moved
