"""Events that have waited for long, for operators to be told of (domain.md section 1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from release.domain.sources import Source
from release.store.connection import Connection

# Taken by one replica each, since they are locked; the row of the alert keeps them from being taken again.
_TAKE: Final = """
with due as (
  select billing_event_id, project_id, incomplete_since, waits_for from billing_events as event
  where stage = 'incomplete' and incomplete_since < $1
    and not exists (select from incomplete_alerts as told where told.billing_event_id = event.billing_event_id)
  order by billing_event_id limit $2 for no key update skip locked
),
told as (
  insert into incomplete_alerts (billing_event_id) select billing_event_id from due
  on conflict do nothing returning billing_event_id
)
select due.* from due join told using (billing_event_id) order by billing_event_id
"""


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits, since when, and what for."""

    billing_event_id: str
    project_id: str
    since: datetime
    waits_for: tuple[Source, ...]


async def take_waiting(connection: Connection, *, before: datetime, events_max: int) -> list[WaitingEvent]:
    """Take events that have been incomplete since before then and that nobody was told of, each once in its life.

    Locks them; those that another transaction holds are left for later.
    """
    return [
        WaitingEvent(
            row["billing_event_id"],
            row["project_id"],
            row["incomplete_since"],
            tuple(Source(*pair) for pair in row["waits_for"]),
        )
        for row in await connection.fetch(_TAKE, before, events_max)
    ]
