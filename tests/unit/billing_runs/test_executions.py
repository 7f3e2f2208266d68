"""The execution report of a run (domain.md section 5)."""

from datetime import UTC, datetime, timedelta

import pytest

from billing_runs.domain.executions import (
    LOG_LINES_MAX,
    STARTED_BY,
    Execution,
    ExecutionStatus,
    LogLevel,
    LogLine,
    Step,
    begun,
    broken_off,
    completed,
    global_status,
    indicators,
    progressed,
)
from billing_runs.domain.indicators import Indicator
from billing_runs.domain.lifecycle import Action

START = datetime(2026, 11, 30, 9, tzinfo=UTC)
END = START + timedelta(minutes=3)
QUEUED = Execution("X-1", Step.INVOICES)


def _line(level: LogLevel, subject_id: str | None = None) -> LogLine:
    return LogLine(START, level, "what happened", subject_id)


def _ended(step: Step, status: ExecutionStatus) -> Execution:
    return Execution("X", step, status)


def test_execution_tells_start_progress_and_end() -> None:
    running = begun(QUEUED, at=START, to_do=3)
    line = _line(LogLevel.INFORMATION, "BE-1")
    after_two = progressed(running, done=2, lines=[line])
    ended = completed(progressed(after_two, done=1, lines=[]), at=END)

    assert (running.status, running.started_at, running.to_do, running.done) == (
        ExecutionStatus.RUNNING,
        START,
        3,
        0,
    )
    assert (after_two.done, after_two.log) == (2, (line,))
    assert (ended.status, ended.ended_at, ended.done) == (ExecutionStatus.COMPLETED, END, 3)


@pytest.mark.parametrize(
    "levels, warnings, errors, status",
    [
        ([LogLevel.INFORMATION], 0, 0, ExecutionStatus.COMPLETED),
        ([LogLevel.WARNING] * 2, 2, 0, ExecutionStatus.COMPLETED_WITH_WARNINGS),
        ([LogLevel.WARNING, LogLevel.ERROR], 1, 1, ExecutionStatus.COMPLETED_WITH_ERRORS),
    ],
)
def test_end_of_an_execution_follows_from_its_log(
    levels: list[LogLevel], warnings: int, errors: int, status: ExecutionStatus
) -> None:
    worked = progressed(begun(QUEUED, at=START, to_do=2), done=2, lines=map(_line, levels))

    assert (worked.warnings, worked.errors) == (warnings, errors)
    assert completed(worked, at=END).status is status


def test_full_log_goes_on_counting_and_still_tells_why_the_execution_broke_off() -> None:
    running = begun(QUEUED, at=START, to_do=1)
    worked = progressed(running, done=1, lines=[_line(LogLevel.ERROR)] * (LOG_LINES_MAX + 5))

    broken = broken_off(worked, at=END, reason="the connector did not answer")

    assert (len(worked.log), worked.errors) == (LOG_LINES_MAX, LOG_LINES_MAX + 5)
    assert len(broken.log) == LOG_LINES_MAX
    assert broken.log[-1] == LogLine(END, LogLevel.ERROR, "the connector did not answer")
    assert (broken.status, broken.ended_at, broken.errors) == (
        ExecutionStatus.FAILED,
        END,
        LOG_LINES_MAX + 6,
    )


def test_global_status_is_the_worst_of_each_steps_last_execution() -> None:
    lines = _ended(Step.INVOICE_LINES, ExecutionStatus.COMPLETED)
    warned = _ended(Step.INVOICES, ExecutionStatus.COMPLETED_WITH_WARNINGS)
    failed = _ended(Step.INVOICES, ExecutionStatus.FAILED)

    assert global_status([]) is None
    assert global_status([lines]) is ExecutionStatus.COMPLETED
    assert global_status([lines, failed]) is ExecutionStatus.FAILED
    assert global_status([lines, failed, warned]) is ExecutionStatus.COMPLETED_WITH_WARNINGS
    assert global_status([lines, failed, Execution("X", Step.XML)]) is ExecutionStatus.RUNNING


def test_indicator_shows_how_the_last_execution_of_an_action_stands() -> None:
    lines = _ended(Step.INVOICE_LINES, ExecutionStatus.FAILED)
    again = _ended(Step.INVOICE_LINES, ExecutionStatus.COMPLETED)

    assert indicators([]) == {}
    assert indicators([lines]) == {Action.PROCESS: Indicator.FAILED}
    assert indicators([lines, again]) == {}
    assert indicators(
        [
            lines,
            _ended(Step.INVOICES, ExecutionStatus.COMPLETED_WITH_WARNINGS),
            _ended(Step.PDF, ExecutionStatus.RUNNING),
            _ended(Step.CANCELLATION, ExecutionStatus.QUEUED),
        ]
    ) == {
        Action.PROCESS: Indicator.WARNING,
        Action.RENDER: Indicator.RUNNING,
        Action.CANCEL: Indicator.RUNNING,
    }


def test_every_step_belongs_to_an_action() -> None:
    assert set(STARTED_BY) == set(Step)
