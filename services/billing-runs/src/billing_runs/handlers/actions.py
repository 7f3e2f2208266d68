"""What a user does with a whole run, from process to describe (domain.md section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from billing_runs import facts
from billing_runs.domain.approval import is_second_person, numbers_at_once
from billing_runs.domain.executions import Step
from billing_runs.domain.lifecycle import Action, RunState, Status, act
from billing_runs.domain.refusals import RefusalCode
from billing_runs.handlers.engine import STEP_OF_STATUS
from billing_runs.handlers.session import RunSession, open_sessions
from billing_runs.store.runs import StoredRun
from shared.database.unit_of_work import Cause, UnitOfWork

_KEEP_THE_STATUS: Final = frozenset({Action.ENABLE, Action.DISABLE, Action.DESCRIBE})
"""What no change of the status and no step tells of."""


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """An action with what it takes: the format of *render*, the end of the events of *cancel*, the description.

    `permitted_projects`: whose billing events its step may take in, and no others; None: all.
    """

    action: Action
    starter: Mapping[str, Any] | None
    file_format: str | None = None
    closes_events: bool = False
    description: str | None = None
    permitted_projects: frozenset[str] | None = None
    invoice_date: date | None = None
    """Of what *process* numbers, in place of the run's."""


async def act_on_run(
    work: UnitOfWork, run_id: str, request: ActionRequest, cause: Cause, *, four_eyes: bool
) -> StoredRun | RefusalCode | None:
    """Do the action: the run right after it, the code that refuses it, or None for a run that is not known.

    `four_eyes`: what numbers documents needs another user than the run's creator. Locks the run.
    """
    session = (await open_sessions(work, [run_id], cause)).get(run_id)
    if session is None:
        return None
    before = session.run.state
    is_second = is_second_person(session.run.starter, request.starter)
    if four_eyes and numbers_at_once(before, request.action) and not is_second:
        return RefusalCode.SECOND_PERSON_NEEDED
    after = act(before, request.action)
    if isinstance(after, RefusalCode):
        return after
    if request.invoice_date is not None and after.status is not Status.VALIDATING:
        return RefusalCode.ACTION_NOT_AVAILABLE  # it numbers nothing
    session.set_state(after)
    match request.action:
        case Action.PROCESS | Action.CANCEL | Action.RENDER:
            step = _step_of(session, before, request)
            await session.queue(
                step,
                starter=request.starter,
                closes_events=_closes(session, before, request),
                permitted_projects=request.permitted_projects,
                invoice_date=request.invoice_date,
            )
        case Action.CLOSE | Action.ENABLE:
            session.wake()
        case Action.DESCRIBE:
            session.run = replace(session.run, description=request.description or "")
        case Action.DISABLE:
            pass
    await session.save()
    if request.action in _KEEP_THE_STATUS:
        session.publish(facts.RUN_CHANGED, facts.run_body(session.run))
    return session.run


def _step_of(session: RunSession, before: RunState, request: ActionRequest) -> Step:
    if request.action is Action.RENDER:
        return Step.XML if request.file_format == "xml" else Step.PDF
    status = session.run.state.status
    if status is not Status.CREATING_INVOICE_LINES:
        return STEP_OF_STATUS[status]
    if before.status is status and session.latest is not None:
        return session.execution.step  # which has failed, and is taken up again
    return Step.RELEASE if session.run.settings.release_first else Step.INVOICE_LINES


def _closes(session: RunSession, before: RunState, request: ActionRequest) -> bool:
    """A cancel that failed is taken up as it was meant."""
    if request.action is Action.PROCESS and before.status is Status.CANCELLING:
        return session.execution.closes_events
    return request.closes_events
