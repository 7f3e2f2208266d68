"""Commands for billing events that are not known yet, or merely late, until their deadline (contract.md section 1)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from release.store.connection import Connection
from release.store.late_events import STILL_MISSES, Patience
from shared.set_aside import LEFT_OUT

# The parts are ours; every value is a parameter.
_MUST_WAIT: Final = f"""
select target_id, event.billing_event_id is null
    or exists (select from waiting_commands as waiting where waiting.target_id = target.target_id) as for_all,
  coalesce({STILL_MISSES.format(wait_seconds="$2", finds_companies="$3::boolean")}, false) as for_releases
from unnest($1::text[]) as target (target_id)
left join billing_events as event on event.billing_event_id = target_id
"""  # noqa: S608
_KEEP: Final = """
insert into waiting_commands (message_id, target_id, type, body, correlation_id, causation_id, traceparent, deadline)
select message_id, target_id, type, body, correlation_id, causation_id, traceparent, now() + make_interval(secs => $8)
from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::text[]) with ordinality
  as given (message_id, target_id, type, body, correlation_id, causation_id, traceparent, place)
order by place
"""
# One replica at a time, or commands for one event would be taken out of order.
_ELECT: Final = "select pg_try_advisory_xact_lock(hashtext('waiting-commands'), hashtext(current_schema()))"
# A release waits for an event that is late, and what came after it for the same event waits behind it.
QUEUE: Final = "command"
_TAKE: Final = f"""
with ready as (
  select place, event.billing_event_id is not null as is_known
  from waiting_commands as waiting left join billing_events as event on event.billing_event_id = target_id
  where ($5::text is null or target_id = $5) and {LEFT_OUT.format(queue=QUEUE, item_id="target_id")}
    and (deadline <= now() or event.billing_event_id is not null and not (
    {STILL_MISSES.format(wait_seconds="$2", finds_companies="$3::boolean")}
    and exists (select from waiting_commands as ahead
      where ahead.target_id = waiting.target_id and ahead.place <= waiting.place and ahead.type = $4)))
  order by place limit $1
), taken as (
  delete from waiting_commands using ready where waiting_commands.place = ready.place
  returning waiting_commands.*, ready.is_known
)
select * from taken order by place
"""  # noqa: S608


async def targets_that_wait(
    connection: Connection, target_ids: Iterable[str], patience: Patience
) -> tuple[set[str], set[str]]:
    """Of these billing events, those for which every command waits, and those for which a release does.

    The former are not known, or commands wait for them already; the latter are late.
    """
    rows = await connection.fetch(
        _MUST_WAIT, sorted(set(target_ids)), patience.wait_seconds, patience.finds_companies
    )
    return (
        {row["target_id"] for row in rows if row["for_all"]},
        {row["target_id"] for row in rows if row["for_releases"]},
    )


async def keep_commands(
    connection: Connection, commands: Sequence[Sequence[Any]], *, wait_seconds: float
) -> None:
    """Let commands wait, in their order.

    Each is its message's id, its target, its type, its body as JSON, and the correlation id, causation id and
    traceparent to go on with.
    """
    if commands:
        columns = [list(column) for column in zip(*commands, strict=True)]
        await connection.execute(_KEEP, *columns, wait_seconds)


async def take_commands(
    connection: Connection,
    patience: Patience,
    *,
    release_type: str,
    commands_max: int,
    only: str | None = None,
) -> list["asyncpg.Record"]:
    """Take the next commands whose event is there now (`is_known`), or whose deadline has passed, in their order.

    `release_type` are those that wait for what is late, too; `only` names one event. None if another replica is
    about it; those of an event that is set aside are left out.
    """
    if not await connection.fetchval(_ELECT):
        return []
    return await connection.fetch(
        _TAKE, commands_max, patience.wait_seconds, patience.finds_companies, release_type, only
    )
