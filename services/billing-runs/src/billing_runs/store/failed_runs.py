"""Runs whose step has failed by a fault of ours, as they are set aside: when each is taken up again."""

from dataclasses import dataclass
from typing import Final

from billing_runs.store.connection import Connection

_TAKEN_UP: Final = "taken up again"

_NEXT: Final = """
select item_id, reason from set_aside_work where queue = $1 and try_at <= now() order by try_at, item_id limit 1
"""
_LATER: Final = """
update set_aside_work set try_at = now() + make_interval(secs => $3), reason = coalesce($4, reason)
where queue = $1 and item_id = $2
"""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that is set aside, and whether it was taken up since it failed last."""

    run_id: str
    is_taken_up: bool


async def next_due(connection: Connection, queue: str) -> FailedRun | None:
    """The next run whose time has come, without locking it."""
    row = await connection.fetchrow(_NEXT, queue)
    return None if row is None else FailedRun(row["item_id"], row["reason"] == _TAKEN_UP)


async def look_later(connection: Connection, queue: str, run_id: str, seconds: float) -> None:
    """Look at the run again after so many seconds."""
    await connection.execute(_LATER, queue, run_id, seconds, None)


async def note_taken_up(connection: Connection, queue: str, run_id: str, seconds: float) -> None:
    """The run goes on: whether it did is seen after so many seconds; if it fails again, it is set aside anew."""
    await connection.execute(_LATER, queue, run_id, seconds, _TAKEN_UP)
