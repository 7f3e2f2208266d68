"""The step that makes the invoice lines: it selects the run's events and has the connector claim them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.scope import CycleScope, EventsScope, LeftOut
from billing_runs.handlers.selection import START, cycle_accounts, select_page
from billing_runs.handlers.session import ASKING, WAITING, RunSession, in_words, warning
from billing_runs.handlers.steps.places import place_of, stored_place
from billing_runs.store import projects, run_events
from billing_runs.store.run_events import ids_of
from shared import failpoints
from shared.contracts.base import MESSAGE_IDS_MAX

SELECTING: Final = "selecting"
PARTS_PER_CHUNK: Final = 5
CLAIM: Final = "accounting.billing-events.claim.v1"

_SENTENCES: Final[Mapping[str, str]] = {
    "not_released": "The billing event is not released",
    "already_invoiced": "The billing event is invoiced already",
    "closed": "The billing event was cancelled for good in a billing run",
    "claimed_by_run": "Another billing run has claimed the billing event",
    "not_permitted": "Whoever asked for the step has no right to the billing event's project",
}


async def advance(session: RunSession) -> None:
    """Select a page of events, or send the next parts of the claim, or end once every event has an answer."""
    match session.execution.phase:
        case "selecting":
            await _select(session)
        case "asking":
            await _claim(session)
        case _:
            if session.execution.answered < session.execution.asked:
                session.rest()
            else:
                await session.finish()


async def _select(session: RunSession) -> None:
    connection, run = session.work.connection, session.run
    scope = run.settings.scope
    place = None
    if session.execution.place is None:
        # Of a step that failed; what has been answered since then is not asked again.
        await run_events.ask_again(connection, run.run_id)
        await _warn_of_empty_cycle(session)
    if isinstance(scope, EventsScope):
        # What is known here may be behind the connector, which answers for every id that was named.
        await _take(session, scope.billing_event_ids)
    else:
        after = place_of(session.execution.place, START)
        selection, place = await select_page(connection, run, after=after, release_first=False)
        await _take(session, ids_of(selection.taken))
        await _leave_out(session, selection.left_out)
    session.update(place=stored_place(place))
    if place is None:
        selected = await run_events.count_events(connection, run.run_id, "selected")
        session.expect(selected)
        session.update(phase=ASKING, asked=selected)


async def _take(session: RunSession, event_ids: Collection[str]) -> None:
    """Select events, but for those that whoever asked for the step has no right to."""
    connection, permitted = session.work.connection, session.execution.permitted_projects
    beside = [] if permitted is None else await projects.events_beside(connection, event_ids, permitted)
    await run_events.select_events(connection, session.run.run_id, set(event_ids).difference(beside))
    await _leave_out(session, [LeftOut(event_id, (RefusalCode.NOT_PERMITTED.value,)) for event_id in beside])


async def _leave_out(session: RunSession, events: Sequence[LeftOut]) -> None:
    left_out = {each.billing_event_id: _reasons(each) for each in events}
    await run_events.leave_out(session.work.connection, session.run.run_id, left_out)
    session.progress(lines=[warning(in_words(reasons), event_id) for event_id, reasons in left_out.items()])


async def _warn_of_empty_cycle(session: RunSession) -> None:
    """A cycle that nobody names, which may be a slip of the pen, gives a run over nothing: the report says why."""
    scope = session.run.settings.scope
    if isinstance(scope, CycleScope) and not await cycle_accounts(session.work.connection, scope):
        session.progress(
            lines=[warning(f"no_accounts: No account is in billing cycle {scope.billing_cycle_id}")]
        )


async def _claim(session: RunSession) -> None:
    if session.execution.parts:
        failpoints.hit(failpoints.BETWEEN_CLAIMS)
    asked = session.execution.asked
    parts = -(-asked // MESSAGE_IDS_MAX)
    last = min(session.execution.parts + PARTS_PER_CHUNK, parts)
    for part in range(session.execution.parts + 1, last + 1):
        event_ids = await run_events.take_selected(
            session.work.connection, session.run.run_id, limit=MESSAGE_IDS_MAX
        )
        body = {"billing_event_ids": event_ids, "part": part, "parts": parts}
        session.command(CLAIM, session.run.run_id, {"billing_run_id": session.run.run_id, **body})
    session.update(parts=last, phase=WAITING if last == parts else ASKING)


def _reasons(left_out: LeftOut) -> list[dict[str, Any]]:
    return [{"code": code, "message": _SENTENCES.get(code, ""), "detail": None} for code in left_out.codes]
