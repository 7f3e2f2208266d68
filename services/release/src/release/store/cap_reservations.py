"""The room that credits under revert will take from the caps, kept free until the withdrawal has an answer."""

from collections.abc import Sequence
from typing import Final

from release.domain.revert import Reservation
from release.store.connection import Connection

_RESERVE: Final = """
insert into cap_reservations (billing_event_id, project_id, budget_id, currency, amount)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[])
"""
_END: Final = "delete from cap_reservations where billing_event_id = any($1::text[])"


async def reserve(connection: Connection, reservations: Sequence[Reservation]) -> None:
    """Keep this room free; the projects must be locked, and the events not yet under revert."""
    if reservations:
        rows = [
            (each.billing_event_id, each.project_id, each.budget_id, each.currency, each.amount)
            for each in reservations
        ]
        await connection.execute(_RESERVE, *map(list, zip(*rows, strict=True)))


async def end_reservations(connection: Connection, billing_event_ids: Sequence[str]) -> None:
    """Keep nothing free for these events any more: they are reverted, or go back; the projects must be locked."""
    await connection.execute(_END, billing_event_ids)
