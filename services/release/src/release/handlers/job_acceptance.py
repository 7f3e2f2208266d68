"""Release jobs are accepted: the selection is put in order and frozen, and what awaits release in it is queued."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

import orjson

from release.domain.jobs import JobMode, in_order_found, in_order_given, is_done_at_once, narrowed
from release.domain.settings import OnChunkFailure, ReleaseSettings
from release.handlers.commands import Command, starter_of
from release.handlers.job_work import QUICK, tell_end_again, work_on
from release.handlers.lock_order import lock_ahead
from release.store import job_selections, jobs
from release.store.connection import Reader
from release.store.jobs import Job
from shared.contracts.command_fields import ReleaseJobOf
from shared.contracts.commands import StartReleaseJob
from shared.contracts.selections import JobSelectOf, Select, StagedFilter
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import derived_id

START_JOB: Final = "release.job.start.v1"
DRY_RUN_KEPT_DAYS: Final = 7
"""So long can a job be started from what a dry run has found (domain.md section 2, Job)."""


class OtherRequestError(ValueError):
    """The job's id was used before for another request."""


class NoDryRunError(ValueError):
    """The selection names what is no dry run, or one that has not ended yet."""


class DryRunGoneError(ValueError):
    """The selection names a dry run whose results are kept no longer."""


@dataclass(frozen=True, slots=True)
class JobAsk:
    """A wish to release many events: by whom, how, and what the facts are to name.

    `dry_run`: only to be told what would become of them. `on_chunk_failure` None: as the setting says.
    """

    job_id: str
    mode: str
    select: JobSelectOf[Any]
    and_invoice: bool
    starter: Mapping[str, Any] | None
    cause: Cause
    permitted_projects: frozenset[str] | None = None
    dry_run: bool = False
    on_chunk_failure: OnChunkFailure | None = None

    @classmethod
    def quick(
        cls,
        job_id: str,
        billing_event_id: str,
        *,
        starter: Mapping[str, Any] | None,
        cause: Cause,
        permitted_projects: frozenset[str] | None = None,
    ) -> Self:
        """What a quick action becomes whose event has more than `release_batch_size` items."""
        select = Select(billing_event_ids=[billing_event_id])
        return cls(job_id, QUICK, select, False, starter, cause, permitted_projects)

    @property
    def selection(self) -> dict[str, Any]:
        """The selection as JSON."""
        return self.select.model_dump(mode="json", exclude_none=True)

    @property
    def request_hash(self) -> bytes:
        """The same for the same request, whatever the job's id."""
        request = {"select": self.selection, "mode": self.mode, "and_invoice": self.and_invoice}
        if (
            self.on_chunk_failure is not None
        ):  # left out where it is not given, as jobs have always been known
            request["on_chunk_failure"] = self.on_chunk_failure.value
        return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).digest()


async def start_jobs_on_command(
    work: UnitOfWork, commands: Sequence[Command], settings: ReleaseSettings
) -> None:
    """Accept `release.job.start.v1`; a worker does the work, of mode `auto` too: one chunk where it is small enough.

    The same job again changes nothing, and one that has ended is told of again; its id with another request is bad
    input.
    """
    await lock_ahead(work, commands)
    for command in commands:
        body: StartReleaseJob = command.body
        ask = JobAsk(
            body.job_id,
            body.mode,
            body.select,
            body.and_invoice,
            starter_of(body),
            command.cause,
            on_chunk_failure=asked_on_chunk_failure(body),
        )
        try:
            job = await accept_job(work, ask, settings)
            await tell_end_again(work, job, command.cause)
        except OtherRequestError as error:
            work.reject(command, str(error), [{"field": "job_id", "message": str(error)}])
        except (NoDryRunError, DryRunGoneError) as error:
            work.reject(command, str(error), [{"field": "select.dry_run_id", "message": str(error)}])


def asked_on_chunk_failure(body: ReleaseJobOf[Any]) -> OnChunkFailure | None:
    """What a command or a request asks for a failed chunk of its job; None: as the setting says."""
    return None if body.on_chunk_failure is None else OnChunkFailure(body.on_chunk_failure)


async def accept_job(work: UnitOfWork, ask: JobAsk, settings: ReleaseSettings) -> Job:
    """Store a job and queue its events, locking them; gives the job that is there where it is asked for again.

    A dry run queues nothing. Raises OtherRequestError, NoDryRunError, DryRunGoneError.
    """
    known = await jobs.load_job(work.connection, ask.job_id)
    if known is not None:
        if (known.request_hash, known.dry_run) != (ask.request_hash, ask.dry_run):
            raise OtherRequestError("this job_id was used before for another request")
        return known
    billing_event_ids = await select_events(work.connection, ask.select)
    if ask.dry_run:
        return await _store(work, ask, billing_event_ids, settings)
    queued = await job_selections.queue_events(work.connection, ask.job_id, billing_event_ids)
    if (
        ask.select.batch_ids is not None or ask.select.filter is not None
    ):  # what another job has taken meanwhile awaits release no longer
        billing_event_ids = [each for each in billing_event_ids if each in queued]
    return await _store(work, ask, billing_event_ids, settings)


async def do_at_once(work: UnitOfWork, ask: JobAsk, settings: ReleaseSettings) -> Job | None:
    """Do a new job of mode `auto` in this transaction, as one chunk; None where it is of another mode, or too large.

    Locks the events' projects, then the events. Raises NoDryRunError, DryRunGoneError.
    """
    if ask.mode != JobMode.AUTO:
        return None
    billing_event_ids = await select_events(work.connection, ask.select)
    item_count = await job_selections.count_items(work.connection, billing_event_ids)
    if not is_done_at_once(JobMode.AUTO, len(billing_event_ids), item_count, settings):
        return None
    job = await _store(work, ask, billing_event_ids, settings)
    while not job.has_ended:
        job = await work_on(work, job, settings)
    return job


async def select_events(connection: Reader, select: JobSelectOf[Any]) -> list[str]:
    """The ids that a selection comes to, in the order in which they are worked (domain.md section 2, Job).

    Raises NoDryRunError, DryRunGoneError.
    """
    if select.billing_event_ids is not None:
        return in_order_given(select.billing_event_ids)
    if select.dry_run_id is not None:
        return await _found_by_dry_run(connection, select.dry_run_id)
    found = await job_selections.find_awaiting(
        connection,
        batch_ids=select.batch_ids,
        wanted=select.filter or StagedFilter(),
        as_of=select.as_of,
    )
    return in_order_found(narrowed(found, select.exclude_ids or ()))


async def _found_by_dry_run(connection: Reader, dry_run_id: str) -> list[str]:
    job = await jobs.load_job(connection, dry_run_id)
    if job is None or not job.dry_run:
        raise NoDryRunError(f"{dry_run_id} is not the id of a dry run")
    if job.ended_at is None:
        raise NoDryRunError(f"dry run {dry_run_id} has not ended yet")
    if job.ended_at < await connection.fetchval("select now()") - timedelta(days=DRY_RUN_KEPT_DAYS):
        raise DryRunGoneError(f"the results of dry run {dry_run_id} were kept for {DRY_RUN_KEPT_DAYS} days")
    return await job_selections.find_releasable(connection, dry_run_id)


async def _store(
    work: UnitOfWork, ask: JobAsk, billing_event_ids: Sequence[str], settings: ReleaseSettings
) -> Job:
    job = Job(
        job_id=ask.job_id,
        mode=ask.mode,
        and_invoice=ask.and_invoice,
        request_hash=ask.request_hash,
        chunk_size=settings.release_batch_size,
        total=len(billing_event_ids),
        starter=ask.starter,
        permitted_projects=ask.permitted_projects,
        correlation_id=ask.cause.correlation_id or ask.job_id,
        traceparent=ask.cause.traceparent,
        process_run_id=derived_id("process-run", ask.job_id) if ask.and_invoice and not ask.dry_run else None,
        dry_run=ask.dry_run,
        on_chunk_failure=ask.on_chunk_failure or settings.on_chunk_failure,
    )
    await jobs.insert_job(work.connection, job, ask.selection, billing_event_ids)
    return job
