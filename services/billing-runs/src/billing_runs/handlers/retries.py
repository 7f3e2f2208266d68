"""A step that failed by our own fault is taken up again with back-off, until it goes on or a person ends the run
(domain.md section 5; decision record 0028).
"""

import time
from functools import partial
from typing import Final

from billing_runs.domain.executions import Step
from billing_runs.domain.lifecycle import Action, ExecutionState
from billing_runs.domain.refusals import RefusalCode
from billing_runs.handlers.actions import ActionRequest, act_on_run
from billing_runs.handlers.engine import RUN_QUEUE
from billing_runs.handlers.session import RunSession, open_sessions
from billing_runs.handlers.steps.rendering import format_of
from billing_runs.store import failed_runs
from billing_runs.store.executions import StoredExecution
from billing_runs.store.failed_runs import FailedRun
from billing_runs.store.runs import StoredRun
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import new_id
from shared.set_aside import count_aside, take_back
from shared.telemetry import metrics

LOOK_SECONDS: Final = 10.0
"""How long after it was taken up a run is looked at again."""
MEASURED_SECONDS: Final = 5.0


class Retries:
    """Takes up what has failed, one run at a time."""

    def __init__(self, database: Database, *, four_eyes: bool = False) -> None:
        self._database = database
        self._four_eyes = four_eyes
        self._measured_at = -MEASURED_SECONDS

    async def step(self) -> bool:
        """Take up, or look at, the next run whose time has come; whether there was one."""
        if time.monotonic() - self._measured_at >= MEASURED_SECONDS:
            self._measured_at = time.monotonic()
            metrics.set_pending_work(RUN_QUEUE, await count_aside(self._database, RUN_QUEUE))
        return await self._database.run(partial(_look_at_next, four_eyes=self._four_eyes))


async def _look_at_next(work: UnitOfWork, *, four_eyes: bool) -> bool:
    failed = await failed_runs.next_due(work.connection, RUN_QUEUE)
    if failed is None:
        return False
    session = (await open_sessions(work, [failed.run_id])).get(failed.run_id)
    if session is None:
        await take_back(work, [failed.run_id], queue=RUN_QUEUE, facts="billing-runs")
    elif not failed.is_taken_up:
        await _take_up(work, session, failed, four_eyes=four_eyes)
    elif session.run.state.step_runs:
        await failed_runs.look_later(work.connection, RUN_QUEUE, failed.run_id, LOOK_SECONDS)
    else:
        await take_back(work, [failed.run_id], queue=RUN_QUEUE, facts="billing-runs")
    return True


async def _take_up(work: UnitOfWork, session: RunSession, failed: FailedRun, *, four_eyes: bool) -> None:
    """Ask for the step again as whoever asked for it; a run that has not failed, or no more, only goes on."""
    run = session.run
    if run.state.execution is ExecutionState.FAILED:
        again = _asked_again(session.execution, run)
        done = await act_on_run(work, run.run_id, again, Cause.begun_here(new_id()), four_eyes=four_eyes)
        if isinstance(done, RefusalCode):  # disabled, or a second person is needed: a person lets it go on
            await failed_runs.look_later(work.connection, RUN_QUEUE, run.run_id, LOOK_SECONDS)
            return
    else:
        session.wake()
        await session.save()
    await failed_runs.note_taken_up(work.connection, RUN_QUEUE, run.run_id, LOOK_SECONDS)


def _asked_again(failed: StoredExecution, run: StoredRun) -> ActionRequest:
    """What begins the failed step anew. Files are asked for by *render*: to process drafts would number them."""
    files = failed.step in {Step.XML, Step.PDF}
    return ActionRequest(
        Action.RENDER if files else Action.PROCESS,
        failed.starter or run.starter,
        file_format=format_of(failed.step) if files else None,
        permitted_projects=failed.permitted_projects,
        invoice_date=failed.invoice_date,
    )
