"""Release jobs as they are looked at: lists, first failures, logs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg

from release.store.connection import Reader
from release.store.jobs import JOB_COLUMNS, Job, job_of

# The culprits go first: that is what somebody can mend.
_FAILURES: Final = """
select job_id, failure.* from unnest($1::text[]) as job (job_id)
cross join lateral (
  select place, billing_event_id, reasons, held_back, can_be_split from release_job_events as event
  where event.job_id = job.job_id and result = 'error' order by held_back, place limit $2) as failure
order by job_id, failure.held_back, failure.place
"""
# The parts are column names of ours; every value is a parameter.
_PAGE: Final = f"""
select {JOB_COLUMNS} from release_jobs
where ($1::text is null or status = $1) and ($2::text is null or starter ->> 'user_id' = $2)
  and ($3::timestamptz is null or (created_at, job_id) < ($3, $4))
order by created_at desc, job_id desc limit $5
"""  # noqa: S608
# What was released with something to look at has reasons, too.
_SHOWN: Final = (
    "case when event.result = 'ok' and event.reasons is not null then 'warning' else event.result end"
)
_LOG: Final = f"""
select event.place, event.billing_event_id, {_SHOWN} as result, event.new_billing_event_id, event.reasons,
  event.held_back, event.can_be_split, event.decided_at, known.document_id, put_off.reason as tried_again_for
from release_job_events as event
left join billing_events as known using (billing_event_id)
left join release_job_chunks_put_off as put_off on event.result = 'pending' and put_off.cause = 'failed'
  and put_off.job_id = event.job_id and event.place between put_off.first_place and put_off.last_place
where event.job_id = $1 and event.place > $2 and ($3::text is null or {_SHOWN} = $3)
order by event.place limit $4
"""  # noqa: S608 - the parts are constants

ResultName = Literal["pending", "ok", "warning", "error", "stopped"]


async def load_failures(
    connection: Reader, job_ids: Sequence[str], *, failures_max: int
) -> dict[str, list[dict[str, Any]]]:
    """By job, the first events that failed, with their reasons: the culprits, then what they held back."""
    failures: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in job_ids}
    for row in await connection.fetch(_FAILURES, list(failures), failures_max):
        names = ("billing_event_id", "reasons", "held_back", "can_be_split")
        failures[row["job_id"]].append({name: row[name] for name in names})
    return failures


async def load_jobs(
    connection: Reader,
    *,
    status: str | None,
    starter_user_id: str | None,
    before: tuple[datetime, str] | None,
    rows_max: int,
) -> list[Job]:
    """Jobs, the newest first, after the one with this moment of creation and id."""
    created_at, job_id = before or (None, None)
    rows = await connection.fetch(_PAGE, status, starter_user_id, created_at, job_id, rows_max)
    return [job_of(row) for row in rows]


async def load_log(
    connection: Reader, job_id: str, *, after_place: int, result: ResultName | None, rows_max: int
) -> list["asyncpg.Record"]:
    """Events of a job in the order of the selection, from the place after the given one, with what became of them."""
    return await connection.fetch(_LOG, job_id, after_place, result, rows_max)
