"""How far release's jobs are known: facts may overtake each other, so that their `released` facts are counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accounting_connector.store.connection import Connection

_ADVANCE: Final = """
insert into release_jobs as known (job_id, released_read, released_told, and_invoice, starter)
select * from unnest($1::text[], $2::int[], $3::int[], $4::bool[], $5::jsonb[]) as told (job_id)
order by told.job_id
on conflict (job_id) do update set
  released_read = known.released_read + excluded.released_read,
  released_told = coalesce(excluded.released_told, known.released_told),
  is_counted = known.is_counted and coalesce(excluded.released_told <= known.released_told, true),
  and_invoice = coalesce(excluded.and_invoice, known.and_invoice),
  starter = coalesce(excluded.starter, known.starter)
"""
_COUNT_OUT: Final = """
update release_jobs set is_counted = true
where job_id = any($1::text[]) and not is_counted and released_read >= released_told
returning job_id, and_invoice, starter
"""


@dataclass(frozen=True, slots=True)
class JobNews:
    """What a batch of facts says of a job: how many `released` facts it holds, and the end where it holds that."""

    released_read: int = 0
    released_told: int | None = None
    and_invoice: bool | None = None
    starter: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CountedJob:
    """A job that has ended, and of which all `released` facts have been read.

    One that released more after its end, since a fault of ours kept that, has ended once more.
    """

    job_id: str
    and_invoice: bool
    starter: Mapping[str, Any] | None


async def advance(connection: Connection, news: Mapping[str, JobNews]) -> list[CountedJob]:
    """Keep the news of jobs, by job id; returns those that are counted out by it. Locks their rows in order.

    In a transaction that also locks billing events, those come first.
    """
    told: Sequence[JobNews] = list(news.values())
    await connection.execute(
        _ADVANCE,
        list(news),
        [job.released_read for job in told],
        [job.released_told for job in told],
        [job.and_invoice for job in told],
        [job.starter for job in told],
    )
    rows: list[Any] = await connection.fetch(_COUNT_OUT, list(news))
    return [CountedJob(row["job_id"], bool(row["and_invoice"]), row["starter"]) for row in rows]
