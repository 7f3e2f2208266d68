"""Commands for billing events that are not known yet, until their deadline (contract.md section 1)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from release.store.connection import Connection

_MUST_WAIT: Final = """
select target_id from unnest($1::text[]) as target (target_id)
where not exists (select from billing_events where billing_event_id = target_id)
  or exists (select from waiting_commands as waiting where waiting.target_id = target.target_id)
"""
_KEEP: Final = """
insert into waiting_commands (message_id, target_id, type, body, correlation_id, causation_id, traceparent, deadline)
select message_id, target_id, type, body, correlation_id, causation_id, traceparent, now() + make_interval(secs => $8)
from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::text[]) with ordinality
  as given (message_id, target_id, type, body, correlation_id, causation_id, traceparent, place)
order by place
"""
# One replica at a time, or commands for one event would be taken out of order.
_ELECT: Final = "select pg_try_advisory_xact_lock(hashtext('waiting-commands'), hashtext(current_schema()))"
_TAKE: Final = """
with ready as (
  select place, exists (select from billing_events where billing_event_id = target_id) as is_known
  from waiting_commands
  where deadline <= now() or exists (select from billing_events where billing_event_id = target_id)
  order by place limit $1
), taken as (
  delete from waiting_commands using ready where waiting_commands.place = ready.place
  returning waiting_commands.*, ready.is_known
)
select * from taken order by place
"""


async def targets_that_wait(connection: Connection, target_ids: Iterable[str]) -> set[str]:
    """Of these billing events, those that are not known, and those for which commands wait already."""
    rows = await connection.fetch(_MUST_WAIT, sorted(set(target_ids)))
    return {row["target_id"] for row in rows}


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


async def take_commands(connection: Connection, *, commands_max: int) -> list["asyncpg.Record"]:
    """Take the next commands whose event is known now (`is_known`), or whose deadline has passed, in their order.

    None if another replica is about it.
    """
    if not await connection.fetchval(_ELECT):
        return []
    return await connection.fetch(_TAKE, commands_max)
