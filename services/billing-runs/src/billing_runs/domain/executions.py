"""The execution report: every step and job of a run, with its progress and its log (domain.md section 5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from billing_runs.domain.indicators import Indicator
from billing_runs.domain.lifecycle import Action

LOG_LINES_MAX: Final = 1_000
"""Most log lines that one execution keeps; what comes later is only counted."""


class Step(StrEnum):
    """The steps and jobs of a run that are reported."""

    RELEASE = "release"
    INVOICE_LINES = "invoice_lines"
    INVOICES = "invoices"
    VALIDATION = "validation"
    CANCELLATION = "cancellation"
    XML = "xml"
    PDF = "pdf"


class ExecutionStatus(StrEnum):
    """How one execution stands; `failed` could not be worked to its end."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_WARNINGS = "completed_with_warnings"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


class LogLevel(StrEnum):
    """How grave a log line is."""

    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an execution's log; `subject_id` is the billing event or document it speaks of."""

    time: datetime
    level: LogLevel
    message: str
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a step: when, how far (`done` of `to_do`), and what went wrong."""

    execution_id: str
    step: Step
    status: ExecutionStatus = ExecutionStatus.QUEUED
    started_at: datetime | None = None
    ended_at: datetime | None = None
    to_do: int = 0
    done: int = 0
    warnings: int = 0
    errors: int = 0
    log: tuple[LogLine, ...] = ()


STARTED_BY: Final[Mapping[Step, Action]] = {
    Step.RELEASE: Action.PROCESS,
    Step.INVOICE_LINES: Action.PROCESS,
    Step.INVOICES: Action.PROCESS,
    Step.VALIDATION: Action.PROCESS,
    Step.CANCELLATION: Action.CANCEL,
    Step.XML: Action.RENDER,
    Step.PDF: Action.RENDER,
}
"""The action whose button shows how the step's last execution stands."""

_UNDER_WAY: Final = frozenset({ExecutionStatus.QUEUED, ExecutionStatus.RUNNING})

_WORST_FIRST: Final = (
    ExecutionStatus.FAILED,
    ExecutionStatus.COMPLETED_WITH_ERRORS,
    ExecutionStatus.COMPLETED_WITH_WARNINGS,
    ExecutionStatus.COMPLETED,
)


def begun(execution: Execution, *, at: datetime, to_do: int) -> Execution:
    """The execution as it starts to run over `to_do` things."""
    return replace(execution, status=ExecutionStatus.RUNNING, started_at=at, ended_at=None, to_do=to_do)


def progressed(execution: Execution, *, done: int, lines: Iterable[LogLine]) -> Execution:
    """The execution after `done` more things were dealt with, which left these log lines.

    Warnings and errors are counted from the lines, also those beyond `LOG_LINES_MAX`.
    """
    new = tuple(lines)
    return replace(
        execution,
        done=execution.done + done,
        warnings=execution.warnings + sum(line.level is LogLevel.WARNING for line in new),
        errors=execution.errors + sum(line.level is LogLevel.ERROR for line in new),
        log=(*execution.log, *new)[:LOG_LINES_MAX],
    )


def completed(execution: Execution, *, at: datetime) -> Execution:
    """The execution worked to its end; its status follows from its errors and warnings."""
    if execution.errors:
        status = ExecutionStatus.COMPLETED_WITH_ERRORS
    elif execution.warnings:
        status = ExecutionStatus.COMPLETED_WITH_WARNINGS
    else:
        status = ExecutionStatus.COMPLETED
    return replace(execution, status=status, ended_at=at)


def broken_off(execution: Execution, *, at: datetime, reason: str) -> Execution:
    """The execution that could not be worked to its end, with the reason as an error in its log.

    The reason is kept even where the log is full.
    """
    line = LogLine(at, LogLevel.ERROR, reason)
    return replace(
        execution,
        status=ExecutionStatus.FAILED,
        ended_at=at,
        errors=execution.errors + 1,
        log=(*execution.log[: LOG_LINES_MAX - 1], line),
    )


def global_status(executions: Iterable[Execution]) -> ExecutionStatus | None:
    """How a run's executions stand as a whole, given from the oldest to the latest; None: there is none yet.

    Running while any is under way, else the worst of each step's last execution: what was taken up again and
    ended well no longer counts as failed.
    """
    last = {execution.step: execution.status for execution in executions}
    if not last:
        return None
    if _UNDER_WAY & set(last.values()):
        return ExecutionStatus.RUNNING
    return next(status for status in _WORST_FIRST if status in last.values())


def indicators(executions: Iterable[Execution]) -> dict[Action, Indicator]:
    """What the buttons of a run show, by its executions from the oldest to the latest (domain.md section 5).

    Running while a step of the action is under way, failed or warning when the action's last execution ended
    so; an action that is not among the keys shows nothing.
    """
    shown: dict[Action, Indicator] = {}
    for execution in executions:
        action = STARTED_BY[execution.step]
        indicator = _indicator(execution.status)
        if indicator is None:
            shown.pop(action, None)
        else:
            shown[action] = indicator
    return shown


def _indicator(status: ExecutionStatus) -> Indicator | None:
    if status in _UNDER_WAY:
        return Indicator.RUNNING
    if status is ExecutionStatus.FAILED:
        return Indicator.FAILED
    return None if status is ExecutionStatus.COMPLETED else Indicator.WARNING
