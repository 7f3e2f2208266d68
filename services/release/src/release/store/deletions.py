"""Deletes that PSA sent before their events."""

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


async def keep_deletions(connection: Connection, versions: Mapping[str, int]) -> None:
    """Keep deletes of events that are not known, by id."""
    if versions:
        await connection.execute(_KEEP, list(versions), list(versions.values()))


async def load_deletions(connection: Connection, billing_event_ids: Iterable[str]) -> dict[str, int]:
    """The versions of the kept deletes of these ids."""
    rows = await connection.fetch(_LOAD, list(billing_event_ids))
    return {row["billing_event_id"]: row["version"] for row in rows}
