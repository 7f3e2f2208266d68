"""What the accounting connector does in the background: each step is one transaction, shared among replicas."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from accounting_connector.handlers import auto_pass, commands, files, process_run_work, schedules
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.rendering.workers import RenderingWorkers
from accounting_connector.store import auto_pass_due, waiting_commands
from accounting_connector.store import process_runs as stored_process_runs
from shared.database.database import Database
from shared.database.faults import is_transient
from shared.database.unit_of_work import UnitOfWork
from shared.set_aside import IsolatedStep, Picked
from shared.workers import Worker

IDLE_SECONDS: Final = 0.1
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
    """Work a chunk of a process run; if it cannot be done as a whole, event by event; else the run has failed."""
    try:
        return await database.run(lambda work: process_run_work.work_run(work, deployment))
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("chunk of a process run failed, passing its events one by one")
    try:
        return await database.run(lambda work: process_run_work.work_run(work, deployment, one_by_one=True))
    except process_run_work.BrokenRunError as broken:
        log.exception("process run given up", process_run_id=broken.process_run_id)
        process_run_id = broken.process_run_id
    await database.run(lambda work: process_run_work.give_up_run(work, process_run_id))
    return True


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
        lambda work: stored_process_runs.prune(work.connection, days=days, rows_max=PRUNED_ROWS_MAX)
    )
