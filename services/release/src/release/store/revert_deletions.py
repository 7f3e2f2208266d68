"""Unreleased events that a revert with cascade deletes, once the event that they were split from is withdrawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from release.store.connection import Connection

_NOTE: Final = """
insert into revert_deletions (billing_event_id, reverting_id, was_on_hold)
select billing_event_id, $1, was_on_hold
from unnest($2::text[], $3::boolean[]) as given (billing_event_id, was_on_hold)
on conflict (billing_event_id) do update set reverting_id = excluded.reverting_id
"""
_TAKE: Final = """
delete from revert_deletions where reverting_id = any($1::text[])
returning billing_event_id, reverting_id, was_on_hold
"""


@dataclass(frozen=True, slots=True)
class RevertDeletion:
    """An event that is to be deleted with the revert of another one, and whether it had been on hold by itself."""

    billing_event_id: str
    reverting_id: str
    was_on_hold: bool


async def note_deletions(
    connection: Connection, reverting_id: str, events: Sequence[tuple[str, bool]]
) -> None:
    """Keep which events, each with whether it is on hold, the revert of this one deletes; they must be locked."""
    if events:
        ids, on_hold = zip(*events, strict=True)
        await connection.execute(_NOTE, reverting_id, list(ids), list(on_hold))


async def take_deletions(connection: Connection, reverting_ids: Sequence[str]) -> list[RevertDeletion]:
    """Take out what the reverts of these events were to delete, since they have come to an end."""
    rows = await connection.fetch(_TAKE, reverting_ids)
    return [RevertDeletion(**dict(row)) for row in rows]
