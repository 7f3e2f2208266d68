"""What a release job selects, and the mark of the events that wait for one (domain.md section 2, Job)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from release.domain.jobs import Found
from release.store.connection import Connection, Reader
from shared.contracts.selections import StagedFilter

_FOUND: Final = """
select billing_event_id, date from billing_events
where stage = 'awaiting_release'
  and ($1::text[] is null or batch_id = any($1)) and ($2::text is null or batch_id = $2)
  and ($3::text is null or project_id = $3) and ($4::text is null or account_id = $4)
  and ($5::text is null or currency = $5)
  and ($6::date is null or date >= $6) and ($7::date is null or date <= $7)
  and ($8::timestamptz is null or greatest(created_at, amount_changed_at) <= $8)
  and ($9::text is null or $9 = stage)
"""
_FOUND_RELEASABLE: Final = """
select billing_event_id from release_job_events where job_id = $1 and result = 'ok' order by place
"""
_ITEM_COUNT: Final = """
select coalesce(sum(item_count), 0) from billing_events where billing_event_id = any($1::text[])
"""
_QUEUE: Final = """
with waiting as (
  select billing_event_id from billing_events
  where billing_event_id = any($2::text[]) and stage = 'awaiting_release'
  order by billing_event_id for no key update
)
update billing_events as event set stage = 'queued', queued_by = $1, changed_at = now()
from waiting where event.billing_event_id = waiting.billing_event_id
returning event.billing_event_id
"""
_ELSEWHERE: Final = """
select event.project_id from release_job_events as selected
join billing_events as event using (billing_event_id)
where selected.job_id = $1 and selected.result = 'pending' and event.project_id <> all($2::text[])
order by selected.place limit 1
"""
_LET_GO: Final = """
with queued as (
  select billing_event_id from billing_events where queued_by = $1 order by billing_event_id limit $2 for no key update
)
update billing_events as event set stage = 'awaiting_release', queued_by = null, changed_at = now()
from queued where event.billing_event_id = queued.billing_event_id
returning event.billing_event_id
"""

EVENTS_PER_STATEMENT: Final = 10_000
"""A job of 100,000 events must not come near the time that one statement may take."""


async def find_awaiting(
    connection: Reader,
    *,
    batch_ids: Sequence[str] | None,
    wanted: StagedFilter,
    as_of: datetime | None,
) -> list[Found]:
    """What awaits release in these batches and matches the filter, in no order.

    `as_of` leaves out what was registered, or last changed in amount, after that moment.
    """
    rows = await connection.fetch(
        _FOUND,
        batch_ids,
        wanted.batch_id,
        wanted.project_id,
        wanted.account_id,
        wanted.currency,
        wanted.date_from,
        wanted.date_to,
        as_of,
        wanted.stage,
    )
    return [Found(row["billing_event_id"], row["date"]) for row in rows]


async def find_releasable(connection: Reader, dry_run_id: str) -> list[str]:
    """What a dry run found releasable, in the order of its selection."""
    return [row["billing_event_id"] for row in await connection.fetch(_FOUND_RELEASABLE, dry_run_id)]


async def count_items(connection: Reader, billing_event_ids: Sequence[str]) -> int:
    """How many items these events have in all."""
    return int(await connection.fetchval(_ITEM_COUNT, billing_event_ids))


async def queue_events(connection: Connection, job_id: str, billing_event_ids: Sequence[str]) -> set[str]:
    """Mark those that await release as queued for a job, locking them in the order of their ids; gives their ids."""
    queued: set[str] = set()
    in_order = sorted(billing_event_ids)
    for start in range(0, len(in_order), EVENTS_PER_STATEMENT):
        rows = await connection.fetch(_QUEUE, job_id, in_order[start : start + EVENTS_PER_STATEMENT])
        queued.update(row["billing_event_id"] for row in rows)
    return queued


async def project_beside(connection: Reader, job_id: str, project_ids: Collection[str]) -> str | None:
    """A project, beside these, of which a job has events that are not decided yet; None where there is none."""
    project_id: str | None = await connection.fetchval(_ELSEWHERE, job_id, list(project_ids))
    return project_id


async def let_go_events(connection: Connection, job_id: str) -> None:
    """Let what is still queued for a job await release again, locking it in the order of its ids."""
    while len(await connection.fetch(_LET_GO, job_id, EVENTS_PER_STATEMENT)) == EVENTS_PER_STATEMENT:
        pass
