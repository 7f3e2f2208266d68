"""Process runs: asked for, started, told of (domain.md section 4)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accounting_connector.domain.grouping import Grouping, Threshold
from accounting_connector.domain.process_runs import (
    ProcessRunKind,
    ProcessRunStatus,
)
from accounting_connector.facts import process_run_body
from accounting_connector.store import process_run_events, process_runs, selections
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.reason_bodies import bounded
from shared.contracts.command_fields import ProcessRunOf
from shared.database.unit_of_work import Cause, UnitOfWork


def run_asked_for(
    process_run_id: str,
    asked: ProcessRunOf[Any],
    *,
    starter: Mapping[str, Any] | None,
    cause: Cause,
    unknown_wait_seconds: float,
    permitted_projects: frozenset[str] | None = None,
) -> ProcessRun:
    """The process run that a command or a request asks for."""
    threshold = asked.threshold
    in_billing_run = asked.billing_run_id is not None
    return ProcessRun(
        process_run_id=process_run_id,
        kind=ProcessRunKind.BILLING_RUN if in_billing_run else ProcessRunKind.ON_DEMAND,
        name=f"Billing run {asked.billing_run_id}" if in_billing_run else "Create invoices and credits",
        selection=asked.select.model_dump(mode="json", exclude_none=True),
        starter=starter,
        cause=cause,
        unknown_wait_seconds=unknown_wait_seconds,
        validates=asked.validate_documents,
        billing_run_id=asked.billing_run_id,
        grouping=Grouping(asked.grouping),
        invoice_date=asked.invoice_date,
        collection_date=asked.collection_date,
        threshold=None if threshold is None else Threshold(threshold.amount, threshold.currency),
        permitted_projects=permitted_projects,
    )


async def start_run(work: UnitOfWork, run: ProcessRun) -> bool:
    """Start a process run with its selection frozen; False if one with its id is there already: nothing is done."""
    if not await process_runs.insert_runs(work.connection, [run]):
        return False
    if run.kind is ProcessRunKind.RELEASE_AND_INVOICE and run.job_id is not None:
        await process_run_events.freeze_job(work.connection, run.process_run_id, run.job_id)
    else:
        await _freeze(work, run)
    publish_run(work, "started", run)
    return True


async def start_or_extend(work: UnitOfWork, run: ProcessRun, job_id: str) -> None:
    """Start the second stage of release and invoice or, where it is there, go on with what its job released since."""
    if await start_run(work, run):
        return
    if await process_run_events.freeze_job(work.connection, run.process_run_id, job_id):
        await process_runs.extend_run(work.connection, run.process_run_id)


async def add_what_has_settled(work: UnitOfWork, run: ProcessRun) -> None:
    """Add what a new run's filter or batches stand for by now: a release just before it may have been told of since."""
    if "billing_event_ids" not in run.selection:
        await _freeze(work, run)


async def _freeze(work: UnitOfWork, run: ProcessRun) -> None:
    await selections.freeze_selection(
        work.connection,
        run.process_run_id,
        run.selection,
        run.grouping,
        billing_run_id=run.billing_run_id,
    )


class OtherRequestError(ValueError):
    """A process run is asked for by the id of another one."""


async def start_or_tell_again(work: UnitOfWork, run: ProcessRun) -> None:
    """Start a process run; where one with its id is there, that is told of again if it has ended, and nothing is done.

    Raises OtherRequestError if that one was asked for otherwise.
    """
    if await start_run(work, run):
        return
    row = await process_runs.load_run(work.connection, run.process_run_id)
    known = run if row is None else process_runs.run_of(dict(row))
    if not _request(run) == _request(known):
        raise OtherRequestError("this process_run_id was used before for another request")
    if known.status is not ProcessRunStatus.IN_PROGRESS:
        publish_run(work, "completed", replace(known, cause=run.cause))


def publish_run(work: UnitOfWork, what: str, run: ProcessRun) -> None:
    """Tell of a process run: `started`, `progressed` or `completed`."""
    body = process_run_body(run)
    work.publish(f"accounting.process-run.{what}.v1", run.process_run_id, body, run.cause)


def _request(run: ProcessRun) -> tuple[object, ...]:
    """The words by which a run was asked for, as far as they are kept."""
    return (
        run.kind,
        bounded(run.selection),
        run.validates,
        run.billing_run_id,
        run.grouping,
        run.invoice_date,
        run.collection_date,
        run.threshold,
    )
