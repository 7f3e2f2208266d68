"""The schedule: due companies get a process run over their eligible events (domain.md section 4, "Ways in")."""

import datetime
from typing import Final

from accounting_connector.domain.process_runs import ProcessRunKind
from accounting_connector.domain.schedule import due_since
from accounting_connector.handlers.assessing import assess_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.process_runs import start_run
from accounting_connector.store import billing_events, parties, schedules, selections
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.schedules import CompanySchedule
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import derived_id

LOOKED_AT_MAX: Final = 200
"""Where more events than these look eligible, some are taken to be."""

_NAME: Final = "Scheduled invoices and credits"


async def work_due(work: UnitOfWork, deployment: Deployment, now: datetime.datetime) -> bool:
    """Start the run of one company whose schedule is due at `now`; False if none is.

    An instant makes one run, whoever else looks at the same time; of several that an outage has missed only the last
    one does. Its starter is who set the schedule, so that somebody is told. Where nothing is eligible there is nothing
    to tell of, and no run.
    """
    for company in await schedules.load_schedules(work.connection):
        due = due_since(company.schedule, company.since, now, deployment.zone)
        if due is not None and await schedules.take_instant(work.connection, company.company_id, due):
            await _start(work, deployment, company, due)
            return True
    return False


async def _start(
    work: UnitOfWork, deployment: Deployment, company: CompanySchedule, due: datetime.datetime
) -> None:
    company_id = company.company_id
    selection = {"eligible": True, "company_id": company_id}
    ids = await selections.select_ids(work.connection, selection, waive_released=False, limit=LOOKED_AT_MAX)
    if ids is not None and not await _is_any_eligible(work, deployment, ids):
        return
    process_run_id = derived_id("schedule", company_id, due.isoformat())
    companies = await parties.load_companies(work.connection, [company_id])
    run = ProcessRun(
        process_run_id=process_run_id,
        kind=ProcessRunKind.SCHEDULE,
        name=_NAME,
        selection=selection,
        starter=company.starter,
        cause=Cause.begun_here(process_run_id),
        unknown_wait_seconds=0.0,
        additional_recipients=companies[company_id].additional_recipients,
    )
    await start_run(work, run)


async def _is_any_eligible(work: UnitOfWork, deployment: Deployment, billing_event_ids: list[str]) -> bool:
    """Whether a run over these events would pass any, or tell of one whose lines cannot be built."""
    events = await billing_events.load_events(work.connection, billing_event_ids)
    assessed = await assess_events(work.connection, list(events.values()), deployment.terms)
    return any(event.is_eligible or event.assessment is None for event in assessed)
