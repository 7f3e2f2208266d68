"""What the accounting connector does in the background: each step is one transaction, shared among replicas."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from accounting_connector.handlers import auto_pass, commands, files, pending, process_run_work, schedules
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.rendering.workers import RenderingWorkers
from accounting_connector.store import auto_pass_due, process_runs, waiting_commands
from shared.database.database import Database
from shared.database.faults import is_transient
from shared.database.unit_of_work import UnitOfWork
from shared.set_aside import IsolatedStep, Picked
from shared.telemetry import metrics
from shared.workers import Worker

IDLE_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0
COUNT_SECONDS: Final = 5.0
SCHEDULE_SECONDS: Final = 2.0
FILES_WORKERS: Final = 2
"""Workers of files: one stores while another one renders."""

PRUNE_SECONDS: Final = 3_600.0
PRUNED_ROWS_MAX: Final = 5_000

log = structlog.get_logger(__name__)


def workers(
    database: Database, deployment: Deployment, processes: RenderingWorkers, *, process_run_days: int
) -> list[Worker]:
    """The background work of the service."""
    return [
        Worker("process-runs", lambda: work_process_runs(database, deployment), idle_seconds=IDLE_SECONDS),
        Worker(
            "pending-process-runs",
            lambda: try_process_runs_again(database, deployment),
            idle_seconds=RETRY_SECONDS,
        ),
        Worker("pending-work", lambda: count_pending(database), idle_seconds=COUNT_SECONDS),
        Worker(
            "auto-pass",
            _step(database, deployment, auto_pass.work_due, auto_pass_due.QUEUE),
            idle_seconds=IDLE_SECONDS,
        ),
        Worker(
            "waiting-commands",
            _step(database, deployment, commands.work_waiting, waiting_commands.QUEUE),
            idle_seconds=IDLE_SECONDS,
        ),
        *(
            Worker(
                f"files-{number}",
                lambda: database.run(lambda work: files.work_files(work, deployment, processes)),
                idle_seconds=IDLE_SECONDS * FILES_WORKERS,
            )
            for number in range(1, FILES_WORKERS + 1)
        ),
        Worker("schedules", lambda: _start_scheduled(database, deployment), idle_seconds=SCHEDULE_SECONDS),
        Worker("prune-process-runs", lambda: _prune(database, process_run_days), idle_seconds=PRUNE_SECONDS),
    ]


async def work_process_runs(database: Database, deployment: Deployment) -> bool:
    """Work a chunk of a process run; if it cannot be done as a whole, event by event; else the run is put off."""
    return await _whole_or_one_by_one(database, deployment, process_run_work.work_run)


async def try_process_runs_again(database: Database, deployment: Deployment) -> bool:
    """Try a chunk of a run's events again that have failed by our own fault, as `work_process_runs` does."""
    return await _whole_or_one_by_one(database, deployment, process_run_work.try_again)


class _RunStep(Protocol):
    def __call__(
        self, work: UnitOfWork, deployment: Deployment, *, one_by_one: bool = False
    ) -> Awaitable[bool]: ...


async def _whole_or_one_by_one(database: Database, deployment: Deployment, step: _RunStep) -> bool:
    try:
        return await database.run(lambda work: step(work, deployment))
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("chunk of a process run failed, passing its events one by one")
    try:
        return await database.run(lambda work: step(work, deployment, one_by_one=True))
    except process_run_work.BrokenRunError as broken:
        log.exception("process run cannot be worked now, put off", process_run_id=broken.process_run_id)
        process_run_id = broken.process_run_id
    await database.run(lambda work: pending.put_off_run(work, process_run_id))
    return True


async def count_pending(database: Database) -> bool:
    """Show how much fails by our own fault and is tried again."""
    metrics.set_pending_work(pending.PROCESS_RUN, await process_runs.count_failing(database.pool))
    for kind, count in (await waiting_commands.count_failing(database.pool)).items():
        metrics.set_pending_work(kind, count)
    return False


def _step(
    database: Database,
    deployment: Deployment,
    work_some: Callable[[UnitOfWork, Deployment, Picked], Awaitable[bool]],
    queue: str,
) -> IsolatedStep:
    return IsolatedStep(
        database, lambda work, picked: work_some(work, deployment, picked), queue=queue, facts="accounting"
    )


async def _start_scheduled(database: Database, deployment: Deployment) -> bool:
    now = datetime.datetime.now(datetime.UTC)
    return await database.run(lambda work: schedules.work_due(work, deployment, now))


async def _prune(database: Database, days: int) -> bool:
    return await database.run(
        lambda work: process_runs.prune(work.connection, days=days, rows_max=PRUNED_ROWS_MAX)
    )
