"""The jobs of a run's release step: what each is to release, and how much of what it published has been read."""

from collections.abc import Mapping
from typing import Final

from billing_runs.store.connection import Connection, Reader

_INSERT: Final = (
    "insert into release_jobs (job_id, execution_id, events) values ($1, $2, $3) on conflict do nothing"
)
_RUNS: Final = """
select job_id, run_id from release_jobs join executions using (execution_id) where job_id = any($1::text[])
"""
_SEEN: Final = """
update release_jobs as job set released_seen = job.released_seen + given.released,
  failed_seen = job.failed_seen + given.failed
from unnest($1::text[], $2::integer[], $3::integer[]) as given (job_id, released, failed)
where job.job_id = given.job_id
"""
_EXPECTED: Final = """
update release_jobs set released_expected = $2, failed_expected = $3 where job_id = $1
"""
_END: Final = """
update release_jobs set is_over = true
where execution_id = $1 and not is_over and released_seen >= released_expected and failed_seen >= failed_expected
returning events
"""


async def insert_job(connection: Connection, job_id: str, *, execution_id: str, events: int) -> None:
    """Note a job that an execution has started for so many events."""
    await connection.execute(_INSERT, job_id, execution_id, events)


async def runs_of_jobs(connection: Reader, job_ids: list[str]) -> dict[str, str]:
    """The run that started each of these jobs; jobs of no run are left out."""
    return {row["job_id"]: row["run_id"] for row in await connection.fetch(_RUNS, job_ids)}


async def add_seen(connection: Connection, seen: Mapping[str, tuple[int, int]]) -> None:
    """Count `released` and `refused` facts that have been read, by job; the jobs' runs must be locked."""
    if seen:
        jobs = sorted(seen)
        await connection.execute(_SEEN, jobs, [seen[job][0] for job in jobs], [seen[job][1] for job in jobs])


async def set_expected(connection: Connection, job_id: str, *, released: int, failed: int) -> None:
    """Note how many facts a completed job says that it published; its run must be locked."""
    await connection.execute(_EXPECTED, job_id, released, failed)


async def end_jobs(connection: Connection, execution_id: str) -> list[int]:
    """Mark the jobs as over of which everything has been read; returns how many events each of them had."""
    return [row["events"] for row in await connection.fetch(_END, execution_id)]
