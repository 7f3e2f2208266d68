"""Deletes that PSA sent before their events, and items that splits have moved out of an event."""

from collections.abc import Iterable, Mapping
from typing import Final

from release.store.connection import Connection

_KEEP: Final = """
insert into deleted_billing_events as known (billing_event_id, version)
select * from unnest($1::text[], $2::bigint[])
order by 1
on conflict (billing_event_id) do update set version = greatest(known.version, excluded.version)
"""
_LOAD: Final = (
    "select billing_event_id, version from deleted_billing_events where billing_event_id = any($1::text[])"
)
_MOVED: Final = """
select origin.billing_event_id, item.item_id
from unnest($1::text[], $2::text[]) as origin (billing_event_id, root_id)
  join billing_events as other on other.root_id = origin.root_id and other.billing_event_id <> origin.billing_event_id
  join billing_event_items as item on item.billing_event_id = other.billing_event_id
where item.adjusts_item_id is null
"""


async def keep_deletions(connection: Connection, versions: Mapping[str, int]) -> None:
    """Keep deletes of events that are not known, by id."""
    if versions:
        await connection.execute(_KEEP, list(versions), list(versions.values()))


async def load_deletions(connection: Connection, billing_event_ids: Iterable[str]) -> dict[str, int]:
    """The versions of the kept deletes of these ids."""
    rows = await connection.fetch(_LOAD, list(billing_event_ids))
    return {row["billing_event_id"]: row["version"] for row in rows}


async def load_moved_item_ids(connection: Connection, roots: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """By event, the items that are now in other events of its lineage; `roots` gives each event's lineage root."""
    if not roots:
        return {}
    moved: dict[str, set[str]] = {billing_event_id: set() for billing_event_id in roots}
    for row in await connection.fetch(_MOVED, list(roots), list(roots.values())):
        moved[row["billing_event_id"]].add(row["item_id"])
    return {billing_event_id: frozenset(item_ids) for billing_event_id, item_ids in moved.items()}
