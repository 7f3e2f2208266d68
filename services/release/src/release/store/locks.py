"""Rows locked ahead, in the order that holds everywhere: projects, then billing events, each by their ids."""

from collections.abc import Collection
from typing import Final

from release.store.connection import Connection

_PROJECTS: Final = """
select from projects where project_id in
  (select project_id from billing_events where billing_event_id = any($1::text[]))
order by project_id for no key update
"""
_EVENTS: Final = """
select from billing_events where billing_event_id = any($1::text[]) order by billing_event_id for no key update
"""


async def lock_projects_and_events(connection: Connection, billing_event_ids: Collection[str]) -> None:
    """Lock the projects of these events, then the events, `for no key update`, without reading them."""
    await connection.execute(_PROJECTS, list(billing_event_ids))
    await lock_events_only(connection, billing_event_ids)


async def lock_events_only(connection: Connection, billing_event_ids: Collection[str]) -> None:
    """Lock these events `for no key update`, without reading them."""
    await connection.execute(_EVENTS, list(billing_event_ids))
