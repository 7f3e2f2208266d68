"""What failed by our own fault is never final: told, tried again with back-off, given up only by a person
(domain.md section 4, "Process run").
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from accounting_connector.domain.grouping import Grouping
from accounting_connector.domain.process_runs import (
    LogEntry,
    LogResult,
    ProcessRunKind,
    ProcessRunStatus,
    add_to_tally,
    not_passed_entry,
    process_run_status,
    retry_seconds,
)
from accounting_connector.domain.reasons import Reason
from accounting_connector.facts import format_instant
from accounting_connector.handlers.assessing import INTERNAL_ERROR
from accounting_connector.handlers.passing import publish_not_passed
from accounting_connector.handlers.process_runs import publish_run
from accounting_connector.store import process_run_events, process_runs
from accounting_connector.store.process_runs import ProcessRun
from shared.database.unit_of_work import Cause, UnitOfWork

PROCESS_RUN: Final = "process_run"
"""The kind of pending work that a process run is."""

_GIVEN_UP: Final = "given_up"


async def note_failed(
    work: UnitOfWork, run: ProcessRun, entries: Sequence[LogEntry], failures: Mapping[str, int]
) -> None:
    """Put off the events among these entries that have failed by our own fault; `failures` so far, by event."""
    failed = [
        (entry, retry_seconds(failures.get(entry.billing_event_id, 0) + 1))
        for entry in entries
        if entry.result is LogResult.PENDING
    ]
    if failed:
        await process_run_events.fail(work.connection, run.process_run_id, failed)


async def counted(work: UnitOfWork, run: ProcessRun) -> ProcessRun:
    """The locked run, which has just been worked, with how many of its events fail, and since when."""
    failing = await process_run_events.count_failing(work.connection, run.process_run_id)
    since = (run.failing_since or now()) if failing else None
    return replace(run, tally=replace(run.tally, pending=failing), failing_since=since, failures=0)


def tell_of_pending(work: UnitOfWork, before: ProcessRun, after: ProcessRun) -> None:
    """Tell operators when a run begins to fail by our own fault, and when nothing of it does so any more."""
    if before.failing_since is None and after.failing_since is not None:
        tell_pending(work, PROCESS_RUN, after.process_run_id, INTERNAL_ERROR.message, after.failing_since)
    elif before.failing_since is not None and after.failing_since is None:
        tell_recovered(work, PROCESS_RUN, after.process_run_id, before.failing_since, after.cause)


def tell_pending(
    work: UnitOfWork,
    kind: str,
    id: str,  # noqa: A002 - the contract's name
    reason: str,
    since: datetime.datetime,
) -> None:
    """Tell that something failed by our own fault, and is tried again."""
    body = {"kind": kind, "id": id, "reason": reason, "since": format_instant(since), "starter": None}
    work.publish("accounting.work.pending.v1", id, body)


def tell_recovered(
    work: UnitOfWork,
    kind: str,
    id: str,  # noqa: A002 - the contract's name
    since: datetime.datetime,
    cause: Cause,
) -> None:
    """Tell that it is pending no more."""
    body = {"kind": kind, "id": id, "since": format_instant(since), "starter": None}
    work.publish("accounting.work.recovered.v1", id, body, cause)


async def put_off_run(work: UnitOfWork, process_run_id: str) -> None:
    """Try a run again later that could not be worked at all: it must not keep the others waiting. Locks the run."""
    run = await process_runs.lock_run(work.connection, process_run_id)
    if run is None:
        return
    await process_runs.put_off(work.connection, process_run_id, retry_seconds(run.failures + 1))
    tell_of_pending(work, run, replace(run, failing_since=run.failing_since or now()))


async def give_up(
    work: UnitOfWork, run: ProcessRun, billing_event_ids: Sequence[str] | None, *, by: str
) -> ProcessRun:
    """End what is pending of a locked run, of these ids where they are given: errors, told as any other.

    A run that could not be worked at all ends as failed, where no ids are given. Once nothing is pending any more, its
    end is told once more.
    """
    connection = work.connection
    is_broken = run.status is ProcessRunStatus.IN_PROGRESS and run.failures > 0 and billing_event_ids is None
    ids = await process_run_events.pending_ids(
        connection, run.process_run_id, billing_event_ids, also_not_worked=is_broken
    )
    if not ids and not is_broken:
        return run
    given_up = Reason(_GIVEN_UP, f"Given up by {by}", {"by": by})
    entries = [not_passed_entry(event_id, (INTERNAL_ERROR, given_up)) for event_id in ids]
    await process_run_events.decide(connection, run.process_run_id, entries)
    publish_not_passed(work, run, entries)
    after = await counted(work, replace(run, tally=add_to_tally(run.tally, (), entries)))
    if is_broken:
        after = replace(after, status=process_run_status(after.tally, pending=0, failed=True))
    return await save_tried(work, run, after)


async def save_tried(work: UnitOfWork, before: ProcessRun, after: ProcessRun) -> ProcessRun:
    """Keep what a locked run has come to since its events were tried again or given up, and tell of it."""
    if before.status in {ProcessRunStatus.COMPLETED, ProcessRunStatus.COMPLETED_WITH_ERRORS}:
        after = replace(after, status=process_run_status(after.tally, pending=0))
    await process_runs.save_run(work.connection, after)
    tell_of_pending(work, before, after)
    if after.status is ProcessRunStatus.IN_PROGRESS:
        publish_run(work, "progressed", after)
    elif not after.tally.pending:
        publish_run(work, "completed", after)
    return after


def run_of_errors(
    run: ProcessRun,
    process_run_id: str,
    *,
    starter: Mapping[str, Any] | None,
    cause: Cause,
    permitted_projects: frozenset[str] | None,
) -> ProcessRun:
    """A new run, on the terms of another one but with the rights of who asks, over what that could not pass."""
    return ProcessRun(
        process_run_id=process_run_id,
        kind=ProcessRunKind.ON_DEMAND,
        name=f"Once more: {run.name}",
        selection={"retry_of": run.process_run_id},
        starter=starter,
        cause=cause,
        unknown_wait_seconds=0.0,
        validates=run.validates,
        grouping=Grouping(run.grouping),
        invoice_date=run.invoice_date,
        collection_date=run.collection_date,
        threshold=run.threshold,
        permitted_projects=permitted_projects,
    )


def now() -> datetime.datetime:
    """The time of what is being done."""
    return datetime.datetime.now(datetime.UTC)
