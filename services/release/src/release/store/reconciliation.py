"""Whether the books balance, asked of the whole set by SQL (domain.md section 6, as far as release sees it)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from release.store.billed_checks import BILLED_CHECKS
from release.store.connection import Connection

_RELEASED_STAGES: Final = "('released', 'invoiced', 'reverting', 'closed')"

_PROJECT_TOTALS: Final = """
select project_id, currency, total.released as total, coalesce(ledger.amount, 0) as ledger
from project_totals as total
full join (
  select project_id, currency, sum(amount) as amount from cap_ledger where budget_id is null group by 1, 2
) as ledger using (project_id, currency)
where total.released is distinct from coalesce(ledger.amount, 0)
order by project_id, currency limit $1
"""
_BUDGET_TOTALS: Final = """
select project_id, budget_id, currency, total.released as total, coalesce(ledger.amount, 0) as ledger
from budget_totals as total
full join (
  select project_id, budget_id, currency, sum(amount) as amount from cap_ledger where budget_id is not null
  group by 1, 2, 3
) as ledger using (project_id, budget_id, currency)
where total.released is distinct from coalesce(ledger.amount, 0)
order by project_id, budget_id, currency limit $1
"""
# The stages are constants of ours; every value is a parameter.
_LEDGER_OF_PROJECTS: Final = f"""
select project_id, currency, coalesce(ledger.amount, 0) as ledger, coalesce(items.amount, 0) as items
from (
  select project_id, currency, sum(amount) as amount from cap_ledger where budget_id is null group by 1, 2
) as ledger
full join (
  select event.project_id, event.currency, sum(item.amount) as amount
  from billing_events as event join billing_event_items as item using (billing_event_id)
  where event.stage in {_RELEASED_STAGES} group by 1, 2
) as items using (project_id, currency)
where coalesce(ledger.amount, 0) <> coalesce(items.amount, 0)
order by project_id, currency limit $1
"""  # noqa: S608
_LEDGER_OF_BUDGETS: Final = f"""
select project_id, budget_id, currency, coalesce(ledger.amount, 0) as ledger, coalesce(items.amount, 0) as items
from (
  select project_id, budget_id, currency, sum(amount) as amount from cap_ledger where budget_id is not null
  group by 1, 2, 3
) as ledger
full join (
  select event.project_id, item.budget_id, event.currency, sum(item.amount) as amount
  from billing_events as event join billing_event_items as item using (billing_event_id)
  where event.stage in {_RELEASED_STAGES} and item.budget_id is not null group by 1, 2, 3
) as items using (project_id, budget_id, currency)
where coalesce(ledger.amount, 0) <> coalesce(items.amount, 0)
order by project_id, budget_id, currency limit $1
"""  # noqa: S608
_EVENTS_IN_LEDGER: Final = f"""
select billing_event_id, event.stage, event.summary_amount, coalesce(ledger.amount, 0) as ledger, ledger.acts
from (select * from billing_events where stage <> 'deleted') as event
full join (
  select billing_event_id, sum(amount) as amount, string_agg(act, ', ' order by entry_id) as acts
  from cap_ledger where budget_id is null group by 1
) as ledger using (billing_event_id)
where case
  when event.stage in {_RELEASED_STAGES}
    then coalesce(ledger.acts, '') not in ('release', 'release, move')
      or ledger.amount is distinct from event.summary_amount
  when event.stage = 'reverted' then coalesce(ledger.acts, '') not in ('release, revert', 'release, move, revert')
    or ledger.amount <> 0
  else ledger.acts is not null
end
order by billing_event_id limit $1
"""  # noqa: S608
_EVENT_SUMS: Final = """
select billing_event_id, event.summary_amount, coalesce(items.amount, 0) as items, event.item_count,
  coalesce(items.item_count, 0) as items_found
from billing_events as event
left join (
  select billing_event_id, sum(amount) as amount, count(*) as item_count from billing_event_items group by 1
) as items using (billing_event_id)
where event.summary_amount <> coalesce(items.amount, 0) or event.item_count <> coalesce(items.item_count, 0)
order by billing_event_id limit $1
"""
# Each release of more than 0 is held against the bookings of its own decision, so that bookings which were lowered
# later are no difference.
_PROJECT_CAPS: Final = """
select project_id, billing_event_id, released_after, decision ->> 'bookings' as bookings
from cap_ledger
where budget_id is null and act = 'release' and amount > 0 and decision ->> 'rule' in ('fits_remaining', 'first_fit')
  and released_after > (decision ->> 'bookings')::numeric
order by entry_id limit $1
"""
_BUDGET_CAPS: Final = """
select entry.project_id, entry.budget_id, entry.billing_event_id, entry.released_after, budget.amount, budget.tolerance
from cap_ledger as entry
cross join lateral jsonb_to_recordset(coalesce(entry.decision -> 'budgets', '[]'))
  as budget (budget_id text, amount numeric, tolerance numeric)
where entry.budget_id = budget.budget_id and entry.act = 'release' and entry.amount > 0
  and entry.released_after > budget.amount + budget.tolerance
order by entry.entry_id limit $1
"""
_JOBS: Final = """
select job.job_id, job.total, job.done as passed, job.released, job.failed, job.held_back, job.stopped,
  log.ok, log.error, log.error_held_back, log.log_stopped, put_off.log_passed
from release_jobs as job
left join lateral (
  select count(*) as events, count(*) filter (where result = 'ok') as ok,
    count(*) filter (where result = 'error') as error, count(*) filter (where result = 'stopped') as log_stopped,
    count(*) filter (where result = 'error' and held_back) as error_held_back
  from release_job_events as event where event.job_id = job.job_id
) as log on true
-- What was passed is decided, stopped, or in a chunk that is put off; what is not passed is neither.
left join lateral (
  select count(*) as log_passed from release_job_events as event
  where event.job_id = job.job_id and (event.result <> 'pending' or exists (
    select from release_job_chunks_put_off as put_off
    where put_off.job_id = job.job_id and event.place between put_off.first_place and put_off.last_place))
) as put_off on true
where (job.total, job.released, job.failed, job.held_back, job.stopped)
    <> (log.events, log.ok, log.error, log.error_held_back, log.log_stopped)
  or job.status <> 'failed' and job.done <> put_off.log_passed
order by job.job_id limit $1
"""
# Each record that was read was applied, was seen before, was put aside, or concerns others. Offsets do not say how many
# there were: the ends of transactions take some, and retention and compaction remove records.
_RECORDS: Final = """
select line, topic, partition, next_offset, records, applied, duplicates, dead_letters, ignored
from consumed_positions
where records > applied + duplicates + dead_letters + ignored
order by line, topic, partition limit $1
"""
_MESSAGES: Final = """
select counted.applied, kept.messages
from (select coalesce(sum(applied), 0) as applied from consumed_positions) as counted,
  (select (select count(*) from inbox) + (select count(*) from inbox_shared_ids) as messages) as kept
where kept.messages > counted.applied limit $1
"""

_CHECKS: Final[Mapping[str, str]] = {
    "project_totals_match_ledger": _PROJECT_TOTALS,
    "budget_totals_match_ledger": _BUDGET_TOTALS,
    "project_ledger_matches_released_items": _LEDGER_OF_PROJECTS,
    "budget_ledger_matches_released_items": _LEDGER_OF_BUDGETS,
    "released_events_are_in_ledger_once": _EVENTS_IN_LEDGER,
    "summary_amounts_match_items": _EVENT_SUMS,
    "project_caps_are_kept": _PROJECT_CAPS,
    "budget_caps_are_kept": _BUDGET_CAPS,
    **BILLED_CHECKS,
    "jobs_match_their_log": _JOBS,
    "messages_are_counted": _MESSAGES,
    "records_are_counted": _RECORDS,
}
CHECK_NAMES: Final = tuple(_CHECKS)
DIFFERENCES_MAX: Final = 50
"""Most differences that a check gives; it may have found more where it gives as many."""

_SUBJECT: Final = (
    "project_id",
    "budget_id",
    "currency",
    "billing_event_id",
    "kind",
    "record_id",
    "item_id",
    "job_id",
    "line",
    "topic",
    "partition",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check and the first differences that it found, each as its columns."""

    name: str
    differences: tuple[Mapping[str, Any], ...]


def subject_of(difference: Mapping[str, Any]) -> str:
    """What differs, without its figures: the same as long as the difference stays, whatever else is released."""
    return " ".join(f"{name}={difference[name]}" for name in _SUBJECT if difference.get(name) is not None)


async def run_check(connection: Connection, name: str) -> Check:
    """Run one check, one statement, so that it looks at one snapshot of the books."""
    return Check(name, tuple(dict(row) for row in await connection.fetch(_CHECKS[name], DIFFERENCES_MAX)))
