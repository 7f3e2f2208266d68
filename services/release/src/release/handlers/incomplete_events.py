"""Operators are told of events that have waited for long (domain.md section 1)."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from release.facts import format_instant
from release.store.incomplete_events import take_waiting
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import new_id

EVENTS_MAX: Final = 100
LOOK_SECONDS: Final = 60.0
"""How often it is looked for what has become due."""


async def tell_of_waiting(work: UnitOfWork, *, now: datetime, alert_days: int) -> int:
    """Tell of events that have been incomplete for more than these days, each once; gives how many. Locks them."""
    due = await take_waiting(work.connection, before=now - timedelta(days=alert_days), events_max=EVENTS_MAX)
    cause = Cause.begun_here(new_id())
    for event in due:
        body = {
            "billing_event_id": event.billing_event_id,
            "project_id": event.project_id,
            "incomplete_since": format_instant(event.since),
            "alert_days": alert_days,
            "waits_for": [
                {"kind": source.kind, "id": source.source_id} for source in event.waits_for[:MESSAGE_IDS_MAX]
            ],
            "sources": len(event.waits_for),
            "starter": None,
        }
        work.publish("release.billing-event.waits.v1", event.project_id, body, cause)
    return len(due)


def waiting_step(
    database: Database, *, alert_days: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Callable[[], Awaitable[bool]]:
    """The step of the worker that tells of them."""

    async def step() -> bool:
        told = await database.run(lambda work: tell_of_waiting(work, now=clock(), alert_days=alert_days))
        return told == EVENTS_MAX

    return step
