"""The engine of the steps: one bounded chunk of one run per transaction, so that a crash loses nothing of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Final

import structlog

from billing_runs.domain.approval import course
from billing_runs.domain.executions import Step
from billing_runs.domain.lifecycle import Action as RunAction
from billing_runs.domain.lifecycle import ExecutionState, Status, act, goes_on_to, may_start
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.scope import EventsScope
from billing_runs.handlers.queued_reviews import send_queued_reviews
from billing_runs.handlers.session import ASKING, RunSession, now, open_session, open_sessions
from billing_runs.handlers.steps import cancellation, invoices, lines, release, rendering, validation
from billing_runs.handlers.steps.rendering import format_of
from billing_runs.store import document_steps, run_documents, run_events, runs
from shared import failpoints
from shared.database.database import Database
from shared.database.faults import is_transient
from shared.database.unit_of_work import UnitOfWork
from shared.set_aside import put_aside

FIRST_PHASE: Final[Mapping[Step, str]] = {
    Step.RELEASE: release.SELECTING,
    Step.INVOICE_LINES: lines.SELECTING,
    Step.INVOICES: invoices.STARTING,
    Step.VALIDATION: validation.RECHECKING,
    Step.CANCELLATION: ASKING,
    Step.XML: ASKING,
    Step.PDF: ASKING,
}

STEP_OF_STATUS: Final[Mapping[Status, Step]] = {
    Status.CREATING_INVOICE_LINES: Step.INVOICE_LINES,
    Status.CREATING_INVOICES: Step.INVOICES,
    Status.VALIDATING: Step.VALIDATION,
    Status.CANCELLING: Step.CANCELLATION,
}
"""The step that is executed in each status that is a step."""

RUN_QUEUE: Final = "billing_run"
"""The runs whose step has failed by a fault of ours, among what is set aside."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class StepWorker:
    """Goes round the runs that have something to do, a chunk of each at a time.

    `settle_seconds`: how long a step that selects by more than ids lets facts come in first: whoever asks for it may
    have released something a moment before. `four_eyes`: no run numbers by itself.
    """

    database: Database
    time_zone: tzinfo
    settle_seconds: float = 0.0
    four_eyes: bool = False
    _last_run_id: str = ""

    async def step(self) -> bool:
        """Do one chunk of the next run; whether there was one. A chunk that cannot be done fails the run's step."""
        picked: list[str] = []

        async def advance(work: UnitOfWork) -> bool:
            picked.clear()
            run = await runs.lock_due_run(work.connection, after=self._last_run_id)
            if run is None and self._last_run_id:
                run = await runs.lock_due_run(work.connection, after="")
            if run is None:
                return False
            picked.append(run.run_id)
            session = await open_session(work, run)
            if _is_settling(session, self.settle_seconds):
                return False
            await advance_run(session, self.time_zone, four_eyes=self.four_eyes)
            await session.save()
            return True

        try:
            worked = await self.database.run(advance)
        except Exception as error:
            if is_transient(error) or not picked:
                raise
            log.exception("step cannot go on", run_id=picked[0])
            reason = f"the step cannot go on ({type(error).__name__})"
            await self.database.run(lambda work: _fail_by_our_fault(work, picked[0], reason))
            worked = True
        failpoints.hit(failpoints.STEP_AFTER_COMMIT)
        self._last_run_id = picked[0] if picked else ""
        return worked


def _is_settling(session: RunSession, settle_seconds: float) -> bool:
    if (
        session.run.state.execution is not ExecutionState.RUNNING
        or session.execution.phase != lines.SELECTING
    ):
        return False
    started_at = session.execution.execution.started_at
    return (
        settle_seconds > 0
        and session.execution.place is None
        and not isinstance(session.run.settings.scope, EventsScope)
        and started_at is not None
        and now() < started_at + timedelta(seconds=settle_seconds)
    )


async def advance_run(session: RunSession, time_zone: tzinfo, *, four_eyes: bool) -> None:
    """Do what comes next for a locked run: begin its queued step, a chunk of it, or what it does between steps."""
    state = session.run.state
    match state.execution:
        case ExecutionState.QUEUED if may_start(state):
            session.start(phase=FIRST_PHASE[session.execution.step])
        case ExecutionState.RUNNING:
            await _chunk(session, time_zone)
            if session.run.state.execution is ExecutionState.IDLE:
                # At once: a run that goes on by itself is never seen to rest between two steps.
                await session.save()
                await _between_steps(session, time_zone, four_eyes=four_eyes)
        case ExecutionState.QUEUED:
            session.rest()
        case ExecutionState.IDLE | ExecutionState.FAILED:
            await _between_steps(session, time_zone, four_eyes=four_eyes)


async def _chunk(session: RunSession, time_zone: tzinfo) -> None:
    steps: Mapping[Step, Callable[[RunSession], Awaitable[None]]] = {
        Step.RELEASE: release.advance,
        Step.INVOICE_LINES: lines.advance,
        Step.INVOICES: invoices.advance,
        Step.CANCELLATION: cancellation.advance,
        Step.XML: rendering.advance,
        Step.PDF: rendering.advance,
    }
    step = session.execution.step
    if step is Step.VALIDATION:
        await validation.advance(session, time_zone)
    else:
        await steps[step](session)


async def _between_steps(session: RunSession, time_zone: tzinfo, *, four_eyes: bool) -> None:
    """Send the queued actions on documents, then go on by itself where the run's process type says so.

    No step runs, whether the last one has ended well or has failed; after a failed one it does not go on by itself.
    """
    if await send_queued_reviews(session, time_zone):
        return
    session.rest()
    run = session.run
    counts, refused_drafts = await run_documents.count_documents(session.work.connection, run.run_id)
    destination = goes_on_to(
        run.state,
        process_type=course(run.settings.process_type, four_eyes=four_eyes),
        on_suspect=run.settings.on_suspect,
        drafts=counts.draft,
        suspects=counts.suspect,
        refused_drafts=refused_drafts,
    )
    if destination is None:
        return
    after = act(run.state, RunAction.PROCESS)
    if isinstance(after, RefusalCode):
        raise ValueError(f"run {run.run_id} cannot go on from {run.state.status}: {after}")
    session.set_state(after)
    await session.queue(STEP_OF_STATUS[destination], starter=run.starter)


async def _fail_by_our_fault(work: UnitOfWork, run_id: str, reason: str) -> None:
    """Fail the step, to be taken up again with back-off (`retries`), and tell operators."""
    await fail_step(work, run_id, reason)
    await put_aside(work, run_id, f"internal_error: {reason}", queue=RUN_QUEUE, facts="billing-runs")


async def fail_step(work: UnitOfWork, run_id: str, reason: str) -> None:
    """Give up the step of a run, with the reason; what it asked without an answer can be asked again."""
    session = (await open_sessions(work, [run_id]))[run_id]
    if session.run.state.execution is ExecutionState.QUEUED:
        session.start(phase=FIRST_PHASE[session.execution.step])
    if session.is_running:
        await give_up(session, reason)
    else:
        session.rest()
    await session.save()


async def give_up(session: RunSession, reason: str) -> None:
    """The running step failed; what it asked without an answer can be asked again by the next execution."""
    connection, run_id = session.work.connection, session.run.run_id
    execution = session.execution
    await document_steps.forget_asked_by(connection, run_id, execution.execution_id)
    await run_events.let_go_again(connection, run_id)
    if execution.step in {Step.XML, Step.PDF}:
        run_ids = [run_id, *([session.run.quarantine_run_id] if session.run.quarantine_run_id else [])]
        await document_steps.unqueue_files(
            connection, execution.execution_id, run_ids, file_format=format_of(execution.step)
        )
    session.fail(reason)
