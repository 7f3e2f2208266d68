"""Companies' schedules, and for which instant each last made a process run (domain.md section 4, "Ways in")."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounting_connector.domain.schedule import Every, Schedule
from accounting_connector.store.connection import Connection

# A schedule holds since the first of the settings that have it unchanged up to the latest ones.
_SCHEDULES: Final = """
with latest as (
  select distinct on (company_id) company_id, settings -> 'schedule' as schedule
  from company_settings order by company_id, version desc
)
select latest.company_id, latest.schedule, greatest(last_run.due_at, first.changed_at) as since,
  first.changed_by as starter
from latest left join scheduled_runs as last_run using (company_id)
cross join lateral (
  select same.changed_at, same.changed_by from company_settings as same
  where same.company_id = latest.company_id and same.version > coalesce((
    select max(other.version) from company_settings as other
    where other.company_id = latest.company_id
      and other.settings -> 'schedule' is distinct from latest.schedule), 0)
  order by same.version limit 1
) as first
where jsonb_typeof(latest.schedule) = 'object'
order by latest.company_id
"""
_TAKE: Final = """
insert into scheduled_runs as last_run (company_id, due_at) values ($1, $2)
on conflict (company_id) do update set due_at = excluded.due_at where last_run.due_at < excluded.due_at
returning true
"""


@dataclass(frozen=True, slots=True)
class CompanySchedule:
    """A company's schedule; `since`: the instant of its last run, or later, when the schedule was set.

    `starter`: who set it; None where that is not known.
    """

    company_id: str
    schedule: Schedule
    since: datetime.datetime
    starter: Mapping[str, Any] | None


async def load_schedules(connection: Connection) -> list[CompanySchedule]:
    """The schedules in force, by company."""
    return [
        CompanySchedule(
            row["company_id"],
            Schedule(
                Every(row["schedule"]["every"]),
                datetime.time.fromisoformat(row["schedule"]["at"]),
                row["schedule"]["weekday"],
                row["schedule"]["day"],
            ),
            row["since"],
            row["starter"],
        )
        for row in await connection.fetch(_SCHEDULES)
    ]


async def take_instant(connection: Connection, company_id: str, due: datetime.datetime) -> bool:
    """Take an instant for a run; False if it, or a later one, was taken before. Locks the company's row of the table.

    Waits for another transaction that takes one for the same company.
    """
    return bool(await connection.fetchval(_TAKE, company_id, due))
