"""Commands for what is not known yet, until it is, or until their deadline (contract.md section 1)."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounting_connector.store.connection import Connection, Reader
from shared.database.unit_of_work import Cause
from shared.set_aside import LEFT_OUT

_ADD: Final = """
insert into waiting_commands (message_id, type, body, correlation_id, causation_id, traceparent, since, due_at,
  failures, failing_since)
values ($1, $2, $3, $4, $5, $6, now() - make_interval(secs => $7), now() + make_interval(secs => $8), $9, $10)
"""
QUEUE: Final = "command"
_TAKE: Final = f"""
delete from waiting_commands where message_id = (
  select message_id from waiting_commands as waiting
  where due_at <= now() and ($1::text is null or message_id = $1)
    and {LEFT_OUT.format(queue=QUEUE, item_id="waiting.message_id")}
  order by due_at, message_id limit 1
  for update skip locked)
returning *, extract(epoch from now() - since)::float8 as waited_seconds
"""  # noqa: S608 - the parts are constants


_COUNT_FAILING: Final = "select count(*) from waiting_commands where failures > 0"
_COUNT_FAILING_WITHDRAWALS: Final = f"{_COUNT_FAILING} and type = 'accounting.billing-events.withdraw.v1'"


@dataclass(frozen=True, slots=True)
class WaitingCommand:
    """A command as it came, with the cause that its facts name, and how long it has waited so far (seconds).

    `message_id` is the identity of its message: several sources may use the same id.
    """

    message_id: str
    type: str
    body: Mapping[str, Any]
    cause: Cause
    waited_seconds: float
    failures: int = 0
    failing_since: datetime.datetime | None = None
    """How often it has failed by our own fault, and since when; it then waits for that to be mended."""


async def add(connection: Connection, command: WaitingCommand, *, look_again_seconds: float) -> None:
    """Keep a command until it is looked at again."""
    await connection.execute(
        _ADD,
        command.message_id,
        command.type,
        command.body,
        command.cause.correlation_id,
        command.cause.causation_id,
        command.cause.traceparent,
        command.waited_seconds,
        look_again_seconds,
        command.failures,
        command.failing_since,
    )


async def take(connection: Connection, *, only: str | None = None) -> WaitingCommand | None:
    """Take the command that is due first, or the one that `only` names if it is due; None if there is none.

    Skips what another worker holds, and what is set aside.
    """
    row = await connection.fetchrow(_TAKE, only)
    if row is None:
        return None
    return WaitingCommand(
        row["message_id"],
        row["type"],
        row["body"],
        Cause(row["causation_id"], row["correlation_id"], row["traceparent"]),
        row["waited_seconds"],
        row["failures"],
        row["failing_since"],
    )


async def count_failing(connection: Reader) -> dict[str, int]:
    """How many commands fail by our own fault, by kind of pending work, 0 where none does."""
    failing = await connection.fetchval(_COUNT_FAILING)
    withdrawals = await connection.fetchval(_COUNT_FAILING_WITHDRAWALS)
    return {"command": failing - withdrawals, "withdrawal": withdrawals}
