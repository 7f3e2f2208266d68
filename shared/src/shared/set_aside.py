"""Work items of a background step that break it are set aside, so that they stop no others (domain.md section 7).

A step takes many items in one transaction. When that fails by what an item may cause, the same items are done one by
one: the culprit stays in its queue, is left out of what is taken, told to operators, and tried again with back-off from
a minute to an hour. So whatever cures it, a later version or a mended program, needs nobody's hand. What every item
meets (decision record 0020) sets none aside: the step fails, and is tried again as a whole.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from shared.database.database import Database
from shared.database.faults import is_ours, name_of
from shared.database.unit_of_work import MessageTooLargeError, UnitOfWork
from shared.ids import derived_id
from shared.telemetry import metrics

TRY_SECONDS_FIRST: Final = 60
TRY_SECONDS_MAX: Final = 3_600
MEASURED_SECONDS: Final = 5.0

LEFT_OUT: Final = """not exists (
  select from set_aside_work as aside
  where aside.queue = '{queue}' and aside.item_id = {item_id} and aside.try_at > now())"""
"""The condition on a queue's rows that leaves out what is set aside now; of literal names."""

_PUT: Final = """
insert into set_aside_work as aside (queue, item_id, reason, try_at)
values ($1, $2, $3, now() + make_interval(secs => $4))
on conflict (queue, item_id) do update set reason = excluded.reason, tries = aside.tries + 1,
  try_at = now() + make_interval(secs => least($4 * 2.0 ^ least(aside.tries, 30), $5))
returning since, tries
"""
_DONE: Final = (
    "delete from set_aside_work where queue = $1 and item_id = any($2::text[]) returning item_id, since"
)
_COUNT: Final = "select count(*) from set_aside_work where queue = $1"
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,80}")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Picked:
    """What a step takes: only one item if `only` names it. The step adds the ids of what it has taken."""

    ids: list[str]
    only: str | None = None


Told = Callable[[UnitOfWork, str, str], Awaitable[None]]
"""What a service notes of an item that is set aside for the first time, with the reason."""

Work = Callable[[UnitOfWork, Picked], Awaitable[bool]]
"""Takes and does the next items; whether there were any. It notes what it has taken before it does any of it."""


class IsolatedStep:
    """The step of a worker over one queue. `facts` is what the service's facts begin with (`release`)."""

    def __init__(
        self, database: Database, work: Work, *, queue: str, facts: str, told: Told | None = None
    ) -> None:
        self._database = database
        self._work = work
        self._queue = queue
        self._facts = facts
        self._told = told
        self._measured_at = -MEASURED_SECONDS

    async def __call__(self) -> bool:
        """Do the next items; one by one if they cannot be done together. Raises what every item would meet."""
        await self._measure()
        picked = Picked([])
        try:
            return await self._database.run(lambda work: self._do(work, picked))
        except Exception as error:
            if is_ours(error) or not picked.ids:
                raise
            log.exception("work items could not be done together, doing them one by one", queue=self._queue)
        for item_id in dict.fromkeys(picked.ids):
            await self._do_alone(item_id)
        return True

    async def _do(self, work: UnitOfWork, picked: Picked) -> bool:
        picked.ids.clear()
        done = await self._work(work, picked)
        if picked.ids:
            await take_back(work, picked.ids, queue=self._queue, facts=self._facts)
        return done

    async def _do_alone(self, item_id: str) -> None:
        try:
            await self._database.run(lambda work: self._do(work, Picked([], only=item_id)))
        except Exception as error:
            if is_ours(error):
                raise
            log.exception("work item set aside", queue=self._queue, item_id=item_id)
            reason = reason_of(error)
            await self._database.run(lambda work: self._put(work, item_id, reason))

    async def _put(self, work: UnitOfWork, item_id: str, reason: str) -> None:
        is_first = await put_aside(work, item_id, reason, queue=self._queue, facts=self._facts)
        if is_first and self._told is not None:
            await self._told(work, item_id, reason)

    async def _measure(self) -> None:
        if time.monotonic() - self._measured_at >= MEASURED_SECONDS:
            self._measured_at = time.monotonic()
            metrics.set_pending_work(self._queue, await count_aside(self._database, self._queue))


async def put_aside(work: UnitOfWork, item_id: str, reason: str, *, queue: str, facts: str) -> bool:
    """Set an item aside, to be tried again with back-off, and tell it; whether it was not set aside before."""
    row = await work.connection.fetchrow(_PUT, queue, item_id, reason, TRY_SECONDS_FIRST, TRY_SECONDS_MAX)
    assert row is not None
    if row["tries"] > 1:
        return False
    body = {"kind": queue, "id": fact_id(item_id), "reason": reason, "since": _instant(row["since"])}
    work.publish(f"{facts}.work.pending.v1", body["id"], body)
    return True


async def take_back(work: UnitOfWork, item_ids: Sequence[str], *, queue: str, facts: str) -> None:
    """These items are set aside no more; tell it of those that were."""
    for row in await work.connection.fetch(_DONE, queue, item_ids):
        body = {"kind": queue, "id": fact_id(row["item_id"]), "since": _instant(row["since"])}
        work.publish(f"{facts}.work.recovered.v1", body["id"], body)


async def count_aside(database: Database, queue: str) -> int:
    """How many items of a queue are set aside."""
    return int(await database.pool.fetchval(_COUNT, queue))


def reason_of(error: BaseException) -> str:
    """The reason's code, and what it stands for, in words that hold nothing of what was written."""
    if isinstance(error, MessageTooLargeError):
        return "too_large: what it tells is more than one message may hold"
    return f"internal_error: {name_of(error)}"


def fact_id(item_id: str) -> str:
    return item_id if _ID.fullmatch(item_id) else derived_id("work", item_id)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
