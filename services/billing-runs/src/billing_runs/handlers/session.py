"""A run held in a transaction: what is changed of it is written and told once, when it is saved."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from billing_runs import facts
from billing_runs.domain.executions import (
    Execution,
    ExecutionStatus,
    LogLevel,
    LogLine,
    Step,
    begun,
    broken_off,
    completed,
    progressed,
)
from billing_runs.domain.lifecycle import (
    ExecutionState,
    Remainder,
    RunState,
    Status,
    step_done,
    step_failed,
    step_started,
)
from billing_runs.store import executions, run_documents, runs, unbilled_events
from billing_runs.store.connection import Reader
from billing_runs.store.executions import StoredExecution
from billing_runs.store.runs import StoredRun
from shared.database.unit_of_work import NO_CAUSE, Cause, UnitOfWork
from shared.ids import derived_id

ASKING = "asking"
WAITING = "waiting"
DRAFTING = "drafting"
"""Phases that several modules know: asking other services, waiting for their answers or for the drafts."""


class Asker(NamedTuple):
    """Who asked for something, and what began it."""

    starter: Mapping[str, Any] | None
    cause: Cause


class RunSession:
    """A locked run and its latest execution. `save` may be called more than once; it tells what has changed since."""

    def __init__(
        self, work: UnitOfWork, run: StoredRun, execution: StoredExecution | None, cause: Cause
    ) -> None:
        self.work = work
        self.run = run
        self.cause = cause
        self._execution = execution
        self._told_run = run
        self._told_execution = execution
        self._failure: str | None = None

    @property
    def latest(self) -> StoredExecution | None:
        """The latest execution, whether it is over or not."""
        return self._execution

    @property
    def execution(self) -> StoredExecution:
        """The latest execution. Raises ValueError if there is none."""
        if self._execution is None:
            raise ValueError(f"run {self.run.run_id} has no execution yet")
        return self._execution

    @property
    def is_running(self) -> bool:
        """Whether the latest execution is under way."""
        return self._execution is not None and self.run.state.execution is ExecutionState.RUNNING

    def asked_by(self, execution_id: str | None) -> bool:
        """Whether the execution under way is the one with this id."""
        return self.is_running and execution_id == self.execution.execution_id

    def set_state(self, state: RunState) -> None:
        """Change where the run is."""
        self.run = replace(self.run, state=state)

    def update(self, **changes: Any) -> None:
        """Change fields of the execution."""
        self._execution = replace(self.execution, **changes)

    def wake(self) -> None:
        """Say that a worker has something to do for the run."""
        self.run = replace(self.run, due=True)

    def rest(self) -> None:
        """Say that no worker has anything to do for the run until something comes."""
        self.run = replace(self.run, due=False)

    async def queue(
        self,
        step: Step,
        *,
        starter: Mapping[str, Any] | None,
        closes_events: bool = False,
        permitted_projects: frozenset[str] | None = None,
        invoice_date: date | None = None,
    ) -> None:
        """Begin a new execution, queued; the run's state is the caller's to set."""
        await self.save()
        number = self._execution.number + 1 if self._execution is not None else 1
        execution = Execution(derived_id("execution", self.run.run_id, str(number)), step)
        cause = self.cause
        if cause.correlation_id is None:
            cause = replace(cause, correlation_id=execution.execution_id)
        stored = StoredExecution(
            execution=execution,
            run_id=self.run.run_id,
            number=number,
            phase="",
            closes_events=closes_events,
            invoice_date=invoice_date,
            starter=starter,
            cause=cause,
            permitted_projects=permitted_projects,
        )
        await executions.insert_execution(self.work.connection, stored)
        self._execution = self._told_execution = stored
        self.wake()

    def start(self, *, phase: str, to_do: int = 0) -> None:
        """The queued step begins."""
        self.set_state(step_started(self.run.state))
        self.update(execution=begun(self.execution.execution, at=now(), to_do=to_do), phase=phase)

    def progress(self, done: int = 0, lines: Iterable[LogLine] = ()) -> None:
        """So many more things were dealt with, which left these lines."""
        self.update(execution=progressed(self.execution.execution, done=done, lines=lines))

    def expect(self, to_do: int) -> None:
        """Say how many things the step has to deal with."""
        self.update(execution=replace(self.execution.execution, to_do=to_do))

    async def finish(self) -> None:
        """The step was worked to its end: the run goes where that leads, and a worker looks what comes next.

        One that has made nothing of what there was has failed (domain.md section 5).
        """
        connection, run_id = self.work.connection, self.run.run_id
        counts, _ = await run_documents.count_documents(connection, run_id)
        remainder = await unbilled_events.remainder_of(connection, run_id)
        after = step_done(
            self.run.state,
            incremental=self.run.settings.incremental,
            documents=counts,
            remainder=remainder,
        )
        if after.execution is ExecutionState.FAILED:
            self._break_off(await _why_nothing(connection, run_id, remainder), after)
            return
        self.update(execution=completed(self.execution.execution, at=now()))
        self.set_state(after)
        self.wake()

    def hand_over(self) -> None:
        """The execution was worked to its end, and another one of the same step of the run follows."""
        self.update(execution=completed(self.execution.execution, at=now()))
        self.set_state(replace(self.run.state, execution=ExecutionState.QUEUED))

    def fail(self, reason: str) -> None:
        """The step cannot be worked to its end: *process* takes it up again."""
        self._break_off(reason, step_failed(self.run.state))

    def _break_off(self, reason: str, after: RunState) -> None:
        self.update(execution=broken_off(self.execution.execution, at=now(), reason=reason))
        self.set_state(after)
        self._failure = reason
        self.rest()

    async def save(self) -> None:
        """Write what has changed and publish it; afterwards that is what was told."""
        connection = self.work.connection
        if self._execution is not None and self._execution != self._told_execution:
            self._execution = await executions.update_execution(connection, self._execution)
        if self.run != self._told_run:
            await runs.update_run(connection, self.run)
        self._tell_step()
        before = self._told_run.state.status
        if self.run.state.status is not before:
            await self.tell_status(before)
        self._told_run, self._told_execution = self.run, self._execution

    async def tell_status(self, previous: Status | None) -> None:
        """Publish the run's status, which was another one before; None: the run begins in it."""
        counts, _ = await run_documents.count_documents(self.work.connection, self.run.run_id)
        totals = await run_documents.net_totals(self.work.connection, self.run.run_id)
        left_out = await run_documents.left_out_totals(self.work.connection, self.run.run_id)
        before = previous.value if previous is not None else None
        self.publish(facts.RUN_STATUS_CHANGED, facts.status_body(self.run, before, counts, totals, left_out))

    def publish(self, message_type: str, body: Mapping[str, Any]) -> None:
        """Publish a fact about the run, or a command keyed by it."""
        self.work.publish(message_type, self.run.run_id, body, self._cause())

    def command(
        self, message_type: str, key: str, body: Mapping[str, Any], asker: Asker | None = None
    ) -> None:
        """Publish a command to another service, for its asker, else in the name of whoever started the step."""
        starter = self._execution.starter if self._execution is not None else None
        cause = self._cause()
        if asker is not None:
            starter, cause = asker
        self.work.publish(message_type, key, with_requester(body, starter or self.run.starter), cause)

    def _cause(self) -> Cause:
        if self.cause is not NO_CAUSE or self._execution is None:
            return self.cause
        return self._execution.cause

    def _tell_step(self) -> None:
        after, before = self._execution, self._told_execution
        if after is None or before is None or after.execution_id != before.execution_id:
            return
        fact = facts.step_fact(before.execution.status, after.execution.status)
        if fact == facts.STEP_PROGRESSED and before.execution.done == after.execution.done:
            return
        if fact is not None:
            self.publish(fact, facts.step_body(self.run, after, self._failure))


async def open_sessions(
    work: UnitOfWork, run_ids: Iterable[str], cause: Cause = NO_CAUSE
) -> dict[str, RunSession]:
    """Lock these runs and, after them, their quarantine runs, where documents of theirs may be.

    A document only ever moves from a run to its quarantine run while the former is locked: whoever holds both knows
    where it is. Runs that are not known are left out.
    """
    connection = work.connection
    locked = await runs.lock_runs(connection, run_ids)
    linked = {run.quarantine_run_id for run in locked.values() if run.quarantine_run_id is not None}
    locked |= await runs.lock_runs(connection, linked - locked.keys())
    latest = await executions.latest_executions(connection, locked)
    return {run_id: RunSession(work, run, latest.get(run_id), cause) for run_id, run in locked.items()}


async def open_session(work: UnitOfWork, run: StoredRun, cause: Cause = NO_CAUSE) -> RunSession:
    """A session on a run that is locked already."""
    latest = await executions.latest_executions(work.connection, [run.run_id])
    return RunSession(work, run, latest.get(run.run_id), cause)


async def save_sessions(sessions: Mapping[str, RunSession]) -> None:
    """Save all of them, in the order of their runs."""
    for run_id in sorted(sessions):
        await sessions[run_id].save()


async def _why_nothing(connection: Reader, run_id: str, remainder: Remainder) -> str:
    if not remainder.failed:
        return "nothing to invoice: the release step could not release the billing events, as its log says"
    reasons = await unbilled_events.first_reasons(connection, run_id)
    said = in_words({"code": code, "message": message} for code, message, _ in reasons)
    return f"no invoice could be made of {remainder.failed} billing events: {said}"


def warning(message: str, subject_id: str | None = None) -> LogLine:
    """A line on something that the step did without."""
    return LogLine(now(), LogLevel.WARNING, message, subject_id)


def error(message: str, subject_id: str | None = None) -> LogLine:
    """A line on something that went wrong."""
    return LogLine(now(), LogLevel.ERROR, message, subject_id)


def in_words(reasons: Iterable[Mapping[str, Any]]) -> str:
    """Reasons in one line of a log."""
    return "; ".join(
        f"{each['code']}: {each['message']}" if each["message"] else each["code"] for each in reasons
    )


def is_answered(stored: StoredExecution) -> bool:
    """Whether everything that the execution waits for has come."""
    if stored.execution.status is not ExecutionStatus.RUNNING:
        return False
    if stored.phase == DRAFTING:
        if stored.documents_expected is None or stored.not_passed_expected is None:
            return False
        documents_came = stored.documents_seen >= stored.documents_expected
        return documents_came and stored.not_passed_seen >= stored.not_passed_expected
    if stored.step is Step.CANCELLATION:
        return True
    return stored.phase == WAITING and stored.answered >= stored.asked


def with_requester(body: Mapping[str, Any], starter: Mapping[str, Any] | None) -> dict[str, Any]:
    """A command's body, with who asks for it."""
    if starter is None:
        return dict(body)
    return {**body, "requested_by": {"user_id": starter["user_id"], "email": starter.get("email")}}


def now() -> datetime:
    """The time of what is being done."""
    return datetime.now(UTC)
