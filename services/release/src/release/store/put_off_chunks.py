"""Chunks of release jobs that were passed over: they wait for what is late, or failed by a fault of ours.

Their places stay as they were cut; of what is between them only the events that are not decided yet count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from release.store.connection import Connection, Reader


class Why(StrEnum):
    """Why a chunk was put off: for what another topic brings, or since it failed by a fault of ours."""

    WAITS = "waits"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PutOffChunk:
    """A chunk of a job that is to be taken up again; `tries` counts the times that it has failed so far."""

    job_id: str
    first_place: int
    last_place: int
    cause: Why
    tries: int = 0
    since: datetime | None = None


_PUT_OFF: Final = """
insert into release_job_chunks_put_off as known
  (job_id, first_place, last_place, cause, reason, waits_for, tries, due_at)
values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
on conflict (job_id, first_place) do update set cause = excluded.cause, reason = excluded.reason,
  waits_for = excluded.waits_for, tries = excluded.tries, due_at = excluded.due_at,
  since = case when known.cause = excluded.cause then known.since else excluded.since end
returning since
"""
_DUE: Final = """
select job_id, first_place, last_place, cause, tries, since from release_job_chunks_put_off
where job_id = $1 and due_at <= now() order by due_at, first_place limit 1
"""
_DONE: Final = "delete from release_job_chunks_put_off where job_id = $1 and first_place = $2"
_FORGET: Final = "delete from release_job_chunks_put_off where job_id = $1 returning cause, since"
_ALL_DUE: Final = "update release_job_chunks_put_off set due_at = now() where job_id = $1"
_COUNTS: Final = """
select cause, count(*) as chunks from release_job_chunks_put_off where job_id = $1 group by cause
"""
_WAITED_FOR: Final = """
select waits_for from release_job_chunks_put_off where job_id = $1 and cause = 'waits' order by first_place limit $2
"""
_IS_PUT_OFF: Final = """
select exists (select from release_job_chunks_put_off where job_id = $1 and first_place = $2 and tries = $3)
"""
_JOBS_PENDING: Final = "select count(distinct job_id) from release_job_chunks_put_off where cause = 'failed'"


async def put_off(
    connection: Connection,
    chunk: PutOffChunk,
    *,
    seconds: float,
    reason: str | None = None,
    waits_for: Sequence[Mapping[str, Any]] = (),
) -> datetime:
    """Put a chunk off for so long, and tell since when it is; its job must be locked."""
    since: datetime = await connection.fetchval(
        _PUT_OFF,
        chunk.job_id,
        chunk.first_place,
        chunk.last_place,
        chunk.cause,
        reason,
        list(waits_for),
        chunk.tries,
        seconds,
    )
    return since


async def load_due(connection: Connection, job_id: str) -> PutOffChunk | None:
    """The chunk of a job that was put off until now and is due first; the job must be locked."""
    row = await connection.fetchrow(_DUE, job_id)
    return None if row is None else PutOffChunk(**{**row, "cause": Why(row["cause"])})


async def take_up(connection: Connection, chunk: PutOffChunk) -> None:
    """The chunk is put off no longer; its job must be locked."""
    await connection.execute(_DONE, chunk.job_id, chunk.first_place)


async def forget_all(connection: Connection, job_id: str) -> dict[Why, datetime]:
    """Nothing of the job is put off any longer; tells why it was, and since when. The job must be locked."""
    rows = await connection.fetch(_FORGET, job_id)
    return {
        Why(row["cause"]): row["since"] for row in sorted(rows, key=lambda row: row["since"], reverse=True)
    }


async def make_all_due(connection: Connection, job_id: str) -> None:
    """Let the job be taken up now."""
    await connection.execute(_ALL_DUE, job_id)


async def count_put_off(connection: Reader, job_id: str) -> dict[Why, int]:
    """How many chunks of a job are put off, by why."""
    return {Why(row["cause"]): row["chunks"] for row in await connection.fetch(_COUNTS, job_id)}


async def load_waited_for(connection: Reader, job_id: str, *, entries_max: int) -> list[dict[str, Any]]:
    """What the chunks of a job wait for, the first ones."""
    rows = await connection.fetch(_WAITED_FOR, job_id, entries_max)
    return [entry for row in rows for entry in row["waits_for"]][:entries_max]


async def is_put_off(connection: Reader, chunk: PutOffChunk) -> bool:
    """Whether the chunk is put off as it was, and nobody has worked on it since."""
    return bool(await connection.fetchval(_IS_PUT_OFF, chunk.job_id, chunk.first_place, chunk.tries))


async def count_pending_jobs(connection: Reader) -> int:
    """How many jobs have chunks that failed by a fault of ours and are tried again."""
    return int(await connection.fetchval(_JOBS_PENDING))
