"""Executions of steps with their log: what the execution report shows, and what a step needs to go on after a crash."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import asyncpg

from billing_runs.domain.executions import (
    LOG_LINES_MAX,
    Execution,
    ExecutionStatus,
    LogLevel,
    LogLine,
    Step,
)
from billing_runs.store.connection import Connection, Reader
from shared.database.unit_of_work import Cause

_COLUMNS: Final = (
    "phase",
    "place",
    "parts",
    "asked",
    "answered",
    "process_run_id",
    "documents_expected",
    "documents_seen",
    "not_passed_expected",
    "not_passed_seen",
    "pending_expected",
)
_INSERT: Final = """
insert into executions (execution_id, run_id, number, step, status, phase, closes_events, starter, correlation_id,
  causation_id, traceparent, permitted_projects, invoice_date, queued_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now())
"""
# The parts are column names of ours; every value is a parameter.
_UPDATE: Final = (
    "update executions set (status, started_at, ended_at, to_do, done, warnings, errors, log_lines, "  # noqa: S608
    f"{', '.join(_COLUMNS)}) = ({', '.join(f'${place}' for place in range(2, 10 + len(_COLUMNS)))})"
    " where execution_id = $1"
)
_LOG: Final = """
insert into execution_log (execution_id, recorded_at, level, message, subject_id)
select $1, * from unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[])
"""
_LATEST: Final = """
select distinct on (run_id) * from executions where run_id = any($1::text[]) order by run_id, number desc
"""
_LIST: Final = """
select * from executions where run_id = $1 and number > $2 order by number limit $3
"""
_STEPS: Final = "select * from executions where run_id = $1 order by number desc limit 200"
_LINES: Final = """
select line.* from unnest($1::text[]) as shown (execution_id)
cross join lateral (
  select * from execution_log where execution_log.execution_id = shown.execution_id order by entry_id limit $2
) as line
order by line.execution_id, line.entry_id
"""

_PROCESS_RUNS: Final = "select process_run_id, run_id from executions where process_run_id = any($1::text[])"


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """An execution of a step with what it needs to go on.

    `execution.log` holds the lines that were added since it was loaded. `phase` is where in the step it is, `place`
    where in a list that it goes through. `asked` and `answered` count what it asked of other services, in so many
    `parts`. `closes_events`: what is cancelled is cancelled for good. `invoice_date`: the date of what
    is validated, in place of the run's. `process_run_id` is the process run that makes
    its drafts, of which so many documents and events not passed are expected (None: not said yet) and seen; and so many
    events it is still to try again (domain.md section 4, "Process run").
    """

    execution: Execution
    run_id: str
    number: int
    phase: str
    place: Sequence[str] | None = None
    closes_events: bool = False
    invoice_date: date | None = None
    starter: Mapping[str, Any] | None = None
    cause: Cause = field(default_factory=Cause)
    permitted_projects: frozenset[str] | None = None
    """The only projects whose billing events it may take in: those of the token that asked for it; None: all."""
    log_lines: int = 0
    parts: int = 0
    asked: int = 0
    answered: int = 0
    process_run_id: str | None = None
    documents_expected: int | None = None
    documents_seen: int = 0
    not_passed_expected: int | None = None
    not_passed_seen: int = 0
    pending_expected: int = 0

    @property
    def execution_id(self) -> str:
        """The execution's id."""
        return self.execution.execution_id

    @property
    def step(self) -> Step:
        """The step that it executes."""
        return self.execution.step


async def insert_execution(connection: Connection, stored: StoredExecution) -> None:
    """Store a new execution; its run must be locked."""
    await connection.execute(
        _INSERT,
        stored.execution_id,
        stored.run_id,
        stored.number,
        stored.step,
        stored.execution.status,
        stored.phase,
        stored.closes_events,
        stored.starter,
        stored.cause.correlation_id,
        stored.cause.causation_id,
        stored.cause.traceparent,
        None if stored.permitted_projects is None else sorted(stored.permitted_projects),
        stored.invoice_date,
    )


async def update_execution(connection: Connection, stored: StoredExecution) -> StoredExecution:
    """Write an execution, whose run must be locked, and its new log lines; returns it without them.

    An execution keeps LOG_LINES_MAX lines, and one more for the reason why it was broken off.
    """
    execution = stored.execution
    room = LOG_LINES_MAX - stored.log_lines
    lines = execution.log[: max(room, 0)]
    if execution.status is ExecutionStatus.FAILED and execution.log and not lines:
        lines = execution.log[-1:]
    if lines:
        await connection.execute(
            _LOG,
            stored.execution_id,
            [line.time for line in lines],
            [line.level for line in lines],
            [line.message for line in lines],
            [line.subject_id for line in lines],
        )
    written = replace(stored, execution=replace(execution, log=()), log_lines=stored.log_lines + len(lines))
    await connection.execute(
        _UPDATE,
        stored.execution_id,
        execution.status,
        execution.started_at,
        execution.ended_at,
        execution.to_do,
        execution.done,
        execution.warnings,
        execution.errors,
        written.log_lines,
        *(getattr(stored, column) for column in _COLUMNS),
    )
    return written


async def latest_executions(connection: Reader, run_ids: Iterable[str]) -> dict[str, StoredExecution]:
    """The latest execution of each of these runs, by run id; runs without one are left out."""
    rows = await connection.fetch(_LATEST, list(run_ids))
    return {row["run_id"]: _execution_of(row) for row in rows}


async def runs_of_process_runs(connection: Reader, process_run_ids: list[str]) -> dict[str, str]:
    """The run that each of these process runs makes drafts for; others are left out."""
    rows = await connection.fetch(_PROCESS_RUNS, process_run_ids)
    return {row["process_run_id"]: row["run_id"] for row in rows}


async def executions_of(connection: Reader, run_id: str) -> list[Execution]:
    """The last 200 executions of a run from the oldest to the latest, without their logs."""
    rows = await connection.fetch(_STEPS, run_id)
    return [_execution_of(row).execution for row in reversed(rows)]


async def list_executions(
    connection: Reader, run_id: str, *, after: int, limit: int, lines_max: int
) -> list[StoredExecution]:
    """Executions of a run from the oldest, after this number, each with the first lines of its log."""
    stored = [_execution_of(row) for row in await connection.fetch(_LIST, run_id, after, limit)]
    lines: dict[str, list[LogLine]] = {each.execution_id: [] for each in stored}
    for row in await connection.fetch(_LINES, list(lines), lines_max):
        line = LogLine(row["recorded_at"], LogLevel(row["level"]), row["message"], row["subject_id"])
        lines[row["execution_id"]].append(line)
    return [
        replace(each, execution=replace(each.execution, log=tuple(lines[each.execution_id])))
        for each in stored
    ]


def _execution_of(row: "asyncpg.Record") -> StoredExecution:
    permitted = row["permitted_projects"]
    return StoredExecution(
        execution=Execution(
            execution_id=row["execution_id"],
            step=Step(row["step"]),
            status=ExecutionStatus(row["status"]),
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            to_do=row["to_do"],
            done=row["done"],
            warnings=row["warnings"],
            errors=row["errors"],
        ),
        run_id=row["run_id"],
        number=row["number"],
        closes_events=row["closes_events"],
        invoice_date=row["invoice_date"],
        starter=row["starter"],
        cause=Cause(row["causation_id"], row["correlation_id"], row["traceparent"]),
        permitted_projects=None if permitted is None else frozenset(permitted),
        log_lines=row["log_lines"],
        **{column: row[column] for column in _COLUMNS},
    )
