"""Events to pass by themselves that a fill, a flag or a late account has made eligible, until a worker takes them."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accounting_connector.store.connection import Connection, Reader
from shared.database.unit_of_work import Cause
from shared.set_aside import LEFT_OUT

_ADD: Final = """
insert into auto_pass_due (billing_event_id, act, starter, causation_id, correlation_id, traceparent, due_at)
select billing_event_id, act, starter, causation_id, correlation_id, traceparent, now() + make_interval(secs => $7)
from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::text[])
  as due (billing_event_id, act, starter, causation_id, correlation_id, traceparent)
order by billing_event_id collate "C"
on conflict (billing_event_id) do update set act = excluded.act, starter = excluded.starter,
  causation_id = excluded.causation_id, correlation_id = excluded.correlation_id, traceparent = excluded.traceparent,
  since = excluded.since, due_at = excluded.due_at
"""
_ARRIVED: Final = """
with arrived as (
  select due.billing_event_id, told.act, told.causation_id, told.correlation_id, told.traceparent
  from auto_pass_due as due
  join billing_events as event using (billing_event_id)
  join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    as told (party_id, act, causation_id, correlation_id, traceparent)
    on told.party_id = event.{column}
  order by due.billing_event_id for update of due
)
update auto_pass_due as due set act = arrived.act, causation_id = arrived.causation_id,
  correlation_id = arrived.correlation_id, traceparent = arrived.traceparent,
  due_at = now() + make_interval(secs => $6)
from arrived where arrived.billing_event_id = due.billing_event_id
"""
_ACCOUNTS_ARRIVED: Final = _ARRIVED.format(column="account_id")
_COMPANIES_ARRIVED: Final = _ARRIVED.format(column="company_id")

# The events of one act are told of together, but may come in several batches: they are taken once the last has settled.
QUEUE: Final = "auto_pass"
_SETTLED: Final = f"""
select act, array_agg(billing_event_id order by billing_event_id) as billing_event_ids
from auto_pass_due as due where due_at < 'infinity' and ($1::text is null or billing_event_id = $1)
  and {LEFT_OUT.format(queue=QUEUE, item_id="due.billing_event_id")}
group by act having max(due_at) <= now()
order by max(due_at) limit 1
"""  # noqa: S608 - the parts are constants
_TAKE: Final = """
delete from auto_pass_due where billing_event_id = any($1::text[]) and act = $2
returning billing_event_id, act, starter, causation_id, correlation_id, traceparent, since
"""
# Not for ever: after a while only the arrival of what is awaited brings the event back.
_PUT_BACK: Final = """
insert into auto_pass_due (billing_event_id, act, starter, causation_id, correlation_id, traceparent, since, due_at)
select due.*, case when due.since > now() - make_interval(secs => $8) then now() + make_interval(secs => $9)
  else 'infinity' end
from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
  as due (billing_event_id, act, starter, causation_id, correlation_id, traceparent, since)
"""


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event that may have become eligible by an act, whose change that was, and the messages that told of it."""

    billing_event_id: str
    act: str
    starter: Mapping[str, Any] | None
    cause: Cause
    since: datetime.datetime | None = None
    """Since when it waits; None before it is stored."""


async def add(connection: Connection, due: Sequence[DueEvent], *, settle_seconds: float) -> None:
    """Have these events looked at when their act has settled. Their rows must be locked."""
    await connection.execute(_ADD, *_columns(due), settle_seconds)


async def parties_arrived(
    connection: Connection,
    *,
    accounts: Mapping[str, Cause],
    companies: Mapping[str, Cause],
    settle_seconds: float,
) -> None:
    """Have the events looked at that wait for these accounts and companies: their arrival is the act.

    By id, with the message that told of it. Locks the waiting rows in the order of their events' ids.
    """
    for statement, arrived in ((_ACCOUNTS_ARRIVED, accounts), (_COMPANIES_ARRIVED, companies)):
        if not arrived:
            continue
        causes = list(arrived.values())
        await connection.execute(
            statement,
            list(arrived),
            [cause.causation_id for cause in causes],
            [cause.causation_id for cause in causes],
            [cause.correlation_id for cause in causes],
            [cause.traceparent for cause in causes],
            settle_seconds,
        )


async def settled_act(connection: Reader, *, only: str | None = None) -> tuple[str, list[str]] | None:
    """An act that has settled, with the ids of its events; None if there is none. Locks nothing.

    Events that are set aside are left out, and all but the one that `only` names.
    """
    row = await connection.fetchrow(_SETTLED, only)
    return None if row is None else (row["act"], row["billing_event_ids"])


async def take(connection: Connection, act: str, billing_event_ids: Sequence[str]) -> list[DueEvent]:
    """Take what is still due of the act, once. The events' rows must be locked."""
    return [
        DueEvent(
            row["billing_event_id"],
            row["act"],
            row["starter"],
            Cause(row["causation_id"], row["correlation_id"], row["traceparent"]),
            row["since"],
        )
        for row in await connection.fetch(_TAKE, list(billing_event_ids), act)
    ]


async def put_back(
    connection: Connection, due: Sequence[DueEvent], *, look_seconds: float, look_again_seconds: float
) -> None:
    """Put events back that still wait: looked at again and again for `look_seconds`, then only when called for."""
    if due:
        since = [event.since for event in due]
        await connection.execute(_PUT_BACK, *_columns(due), since, look_seconds, look_again_seconds)


def _columns(due: Sequence[DueEvent]) -> tuple[list[Any], ...]:
    return (
        [event.billing_event_id for event in due],
        [event.act for event in due],
        [event.starter for event in due],
        [event.cause.causation_id for event in due],
        [event.cause.correlation_id for event in due],
        [event.cause.traceparent for event in due],
    )
