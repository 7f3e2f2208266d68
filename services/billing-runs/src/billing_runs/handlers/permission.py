"""Whether a token of some projects may change a run: only where all of its billing events are theirs (contract.md
section 2).
"""

from billing_runs.domain.lifecycle import Status
from billing_runs.domain.scope import EventsScope, FilterScope
from billing_runs.handlers.selection import select_all
from billing_runs.store import projects
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun

_TAKES_EVENTS = frozenset({Status.NEW, Status.OPEN, Status.CREATING_INVOICE_LINES})
"""Where the next step selects events."""


async def event_not_permitted(connection: Reader, run: StoredRun, permitted: frozenset[str]) -> str | None:
    """A billing event that the run has, or would take as things stand, and that is of another project than these; None:
    all are of these.
    """
    beside = await projects.event_of_run_beside(connection, run.run_id, permitted)
    if beside is not None or run.state.status not in _TAKES_EVENTS:
        return beside
    match run.settings.scope:
        case EventsScope(billing_event_ids=named):
            return next(iter(await projects.events_beside(connection, named, permitted)), None)
        case FilterScope(project_id=str() as project_id) if project_id in permitted:
            return None
        case _:
            pass
    async for selection in select_all(connection, run, release_first=run.settings.release_first):
        for event in (*selection.taken, *selection.to_release):
            if event.project_id not in permitted:
                return event.billing_event_id
    return None
