"""Which events are to be completed again, since something that they depend on has arrived or changed.

A transaction that reads sources and one that writes them may pass each other unseen. So a change is noted first, and
its events are looked for only when every transaction that was under way when the change was seen has ended.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from release.domain.sources import Source
from release.store.connection import Connection, Reader
from shared.database.unit_of_work import Cause
from shared.set_aside import LEFT_OUT

DELETION: Final = "billing_event_deletion"
"""The kind of a noted change that is no source: a delete that came before its event."""

_NOTE: Final = """
insert into source_changes (kind, source_id, correlation_id, causation_id, traceparent)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
"""
_SEEN: Final = "select change_id from source_changes order by change_id limit $1"
_UNDER_WAY: Final = """
select backend_xid::text as transaction_id from pg_stat_activity
where usename = current_user and datname = current_database() and backend_xid is not null
"""
# Released events can only be filled, so those that miss nothing are left alone.
_OPEN: Final = """
(event.stage in ('incomplete', 'awaiting_release', 'queued') or event.stage = 'released' and event.missing <> '{}')
"""
# A business record stands for all that are below it in their chains, too; union ends circles. Items of another category
# that name it depend on it as well: whether they may do so is known with it. "offset 0" keeps the
# planner from reading whole tables for a few changes, as it would while it has no statistics, or many changes.
_SPREAD: Final = f"""
with recursive taken as (
  delete from source_changes where change_id in (
    select change_id from source_changes where change_id = any($1::bigint[])
    order by change_id for update skip locked)
  returning *
),
record (kind, record_id, change_id) as (
  select kind, source_id, change_id from taken
    where kind not in ('project', 'company', 'region', 'practice', 'group', '{DELETION}')
  union
  select child.kind, child.record_id, record.change_id from record
    cross join lateral (
      select kind, record_id from business_records as known
      where known.parent_kind = record.kind and known.parent_record_id = record.record_id offset 0) as child
),
project (project_id, change_id) as (
  select source_id, change_id from taken where kind = 'project'
  union
  select known.project_id, taken.change_id from taken
    join projects as known on taken.kind = 'region' and known.region = taken.source_id
      or taken.kind = 'practice' and known.practice = taken.source_id
      or taken.kind = 'group' and known."group" = taken.source_id
    where taken.kind in ('region', 'practice', 'group')
),
dependent (billing_event_id, change_id) as (
  select event.billing_event_id, project.change_id from project
    cross join lateral (select * from billing_events where project_id = project.project_id offset 0) as event
    where {_OPEN}
  union all
  select event.billing_event_id, taken.change_id from taken
    cross join lateral (select * from billing_events where company_id = taken.source_id offset 0) as event
    where taken.kind = 'company' and {_OPEN}
  union all
  select event.billing_event_id, record.change_id from record
    cross join lateral (
      select billing_event_id from billing_event_items
      where business_record_id = record.record_id offset 0) as item
    cross join lateral (select * from billing_events where billing_event_id = item.billing_event_id offset 0) as event
    where {_OPEN}
  union all
  select event.billing_event_id, taken.change_id from taken
    cross join lateral (select * from billing_events where billing_event_id = taken.source_id offset 0) as event
    where taken.kind = '{DELETION}'
),
first_change as (
  select billing_event_id, min(change_id) as change_id from dependent group by billing_event_id
)
insert into completions_due (billing_event_id, correlation_id, causation_id, traceparent)
select billing_event_id, correlation_id, causation_id, traceparent from first_change join taken using (change_id)
order by billing_event_id
on conflict (billing_event_id) do nothing
"""  # noqa: S608 - the parts are constants of this module
QUEUE: Final = "completion"
_TAKE_DUE: Final = f"""
delete from completions_due where billing_event_id in (
  select billing_event_id from completions_due as due
  where ($2::text is null or billing_event_id = $2)
    and {LEFT_OUT.format(queue=QUEUE, item_id="due.billing_event_id")}
  order by billing_event_id limit $1 for update skip locked)
returning billing_event_id, correlation_id, causation_id, traceparent
"""  # noqa: S608 - the parts are constants


async def note_changes(connection: Connection, changes: Iterable[tuple[Source, Cause]]) -> None:
    """Note sources that arrived or changed in this transaction, each with the message that said so."""
    rows = [
        (source.kind, source.source_id, cause.correlation_id, cause.causation_id, cause.traceparent)
        for source, cause in changes
    ]
    if rows:
        await connection.execute(_NOTE, *[list(column) for column in zip(*rows, strict=True)])


async def seen_changes(connection: Reader, *, changes_max: int) -> list[int]:
    """The ids of changes whose transactions have committed, the oldest first."""
    return [row["change_id"] for row in await connection.fetch(_SEEN, changes_max)]


async def transactions_under_way(connection: Reader) -> frozenset[str]:
    """The ids of this service's transactions, of all replicas, that write and have not ended."""
    return frozenset(row["transaction_id"] for row in await connection.fetch(_UNDER_WAY))


async def spread_changes(connection: Connection, change_ids: Sequence[int]) -> None:
    """Take noted changes, and make the completion of the events due that depend on them.

    Locks the changes; those that another transaction holds are left to it.
    """
    await connection.execute(_SPREAD, list(change_ids))


async def take_due(connection: Connection, *, events_max: int, only: str | None = None) -> dict[str, Cause]:
    """Take the next events whose completion is due, each with what caused it.

    Locks them here; those that another transaction holds, or that are set aside, are left out. `only` names one.
    """
    rows = await connection.fetch(_TAKE_DUE, events_max, only)
    return {
        row["billing_event_id"]: Cause(
            causation_id=row["causation_id"],
            correlation_id=row["correlation_id"],
            traceparent=row["traceparent"],
        )
        for row in rows
    }
