"""The events in a run's scope, page by page: the preview, the release and the lines all take them from here."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Final

from billing_runs.domain.scope import (
    BatchesScope,
    BillingCycle,
    CycleScope,
    EventsScope,
    FilterScope,
    Selection,
    accounts_of_cycle,
    select_events,
)
from billing_runs.store import billing_cycles, projections
from billing_runs.store.connection import Reader
from billing_runs.store.projections import Wanted
from billing_runs.store.runs import StoredRun

PAGE_EVENTS: Final = 1_000

Place = tuple[date, str]
START: Final[Place] = (date.min, "")


async def select_page(
    connection: Reader, run: StoredRun, *, after: Place, release_first: bool
) -> tuple[Selection, Place | None]:
    """What the run makes of the next events in its scope, and where the page ends; None: it was the last one."""
    scope = run.settings.scope
    accounts: frozenset[str] = frozenset()
    if isinstance(scope, CycleScope):
        accounts = await cycle_accounts(connection, scope)
    events = await projections.events_page(
        connection, _wanted(run, accounts), run_id=run.run_id, after=after, limit=PAGE_EVENTS
    )
    selection = select_events(
        events, run_id=run.run_id, scope=scope, cycle_accounts=accounts, release_first=release_first
    )
    if len(events) < PAGE_EVENTS:
        return selection, None
    return selection, (events[-1].date, events[-1].billing_event_id)


async def select_all(connection: Reader, run: StoredRun, *, release_first: bool) -> AsyncIterator[Selection]:
    """What the run makes of all events in its scope, page by page."""
    place: Place | None = START
    while place is not None:
        selection, place = await select_page(connection, run, after=place, release_first=release_first)
        yield selection


def _wanted(run: StoredRun, accounts: frozenset[str]) -> Wanted:
    """What the database can tell apart; `select_events` decides."""
    scope = run.settings.scope
    match scope:
        case CycleScope():
            return Wanted(
                account_ids=sorted(accounts), date_from=scope.date_from, date_to=scope.last_transaction_date
            )
        case EventsScope():
            return Wanted(billing_event_ids=sorted(scope.billing_event_ids))
        case BatchesScope():
            return Wanted(batch_ids=sorted(scope.batch_ids))
        case FilterScope():
            return Wanted(
                project_id=scope.project_id,
                account_id=scope.account_id,
                currency=scope.currency,
                batch_id=scope.batch_id,
                date_from=scope.date_from,
                date_to=scope.date_to,
            )


async def cycle_accounts(connection: Reader, scope: CycleScope) -> frozenset[str]:
    """The accounts of a run's cycle, which need not be described: accounts may name it."""
    stored = await billing_cycles.load_cycle(connection, scope.billing_cycle_id)
    cycle = stored.cycle if stored is not None else BillingCycle(scope.billing_cycle_id, accounts=None)
    naming = await projections.accounts_naming_cycle(connection, scope.billing_cycle_id)
    return accounts_of_cycle(cycle, naming)
