"""The accounts of a run that got no document, or not for all of their events, with the reason."""

from dataclasses import dataclass
from typing import Final

from billing_runs.store.connection import Reader

ACCOUNTS_MAX: Final = 1_000
"""Rows that are shown; all events are in the run's list of billing events."""

_ACCOUNTS_LEFT: Final = """
select event.account_id, reason.value ->> 'code' as code, min(reason.value ->> 'message') as message,
  count(*) as events
from run_events join billing_events as event using (billing_event_id)
cross join lateral jsonb_array_elements(run_events.reasons) as reason
where run_events.run_id = $1 and run_events.state in ('below_threshold', 'failed', 'pending')
  and event.account_id is not null
group by event.account_id, reason.value ->> 'code' order by event.account_id, code limit $2
"""


@dataclass(frozen=True, slots=True)
class AccountLeft:
    """An account of which so many events got no document, for a reason: its code, and the first one in words."""

    account_id: str
    code: str
    message: str
    events: int


async def accounts_left(connection: Reader, run_id: str) -> list[AccountLeft]:
    """The accounts below the threshold, or whose documents failed or are tried again, by account and code."""
    rows = await connection.fetch(_ACCOUNTS_LEFT, run_id, ACCOUNTS_MAX)
    return [AccountLeft(row["account_id"], row["code"], row["message"], row["events"]) for row in rows]
