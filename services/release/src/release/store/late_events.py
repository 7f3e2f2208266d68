"""Billing events that are merely late: not known, or known for a moment and still without what another topic brings.

The topics of PSA have no order among them, so that who releases an event waits a little for it, its project and its
company (contract.md section 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from release.store.connection import Reader


@dataclass(frozen=True, slots=True)
class Patience:
    """How long who releases waits (seconds), and whether companies are found by what the project says of itself."""

    wait_seconds: float
    finds_companies: bool = False


NO_PATIENCE: Final = Patience(0.0)

# What no other topic brings any more is not waited for: a project without an account, a company without the currency.
STILL_MISSES: Final = """
event.created_at > now() - make_interval(secs => {wait_seconds}) and (
  event.stage = 'incomplete'
  or event.stage in ('awaiting_release', 'queued') and event.missing && '{{account,company,currency}}' and (
    exists (select from source_changes as change where change.source_id in (event.project_id, event.company_id))
    or exists (select from completions_due as due where due.billing_event_id = event.billing_event_id)
    or event.company_id is null and 'company' = any(event.missing) and {finds_companies}
    or event.company_id is not null
      and not exists (select from companies where companies.company_id = event.company_id)))
"""
"""Whether a known event is late; to be formatted with the parameters of a statement."""

_LATE: Final = f"""
select named.billing_event_id, case
    when event.billing_event_id is null then 'billing event ' || named.billing_event_id
    when event.stage = 'incomplete'
      then coalesce((event.waits_for -> 0 ->> 0) || ' ' || (event.waits_for -> 0 ->> 1), 'project')
    else array_to_string(event.missing, ', ') end as waits_for
from unnest($1::text[]) with ordinality as named (billing_event_id, place)
left join billing_events as event on event.billing_event_id = named.billing_event_id
where $3 > now() - make_interval(secs => $2) and (event.billing_event_id is null
  or {STILL_MISSES.format(wait_seconds="$2", finds_companies="$4::boolean")})
order by named.place
"""  # noqa: S608 - the parts are ours; every value is a parameter


async def late_events(
    connection: Reader, billing_event_ids: Sequence[str], patience: Patience, *, asked_at: datetime
) -> list[tuple[str, str]]:
    """Those of these events that are late, in the order given, each with what it waits for in a few words.

    None once whoever asks has waited long enough since `asked_at`.
    """
    if patience.wait_seconds <= 0:
        return []
    rows = await connection.fetch(
        _LATE, list(billing_event_ids), patience.wait_seconds, asked_at, patience.finds_companies
    )
    return [(row["billing_event_id"], row["waits_for"]) for row in rows]
