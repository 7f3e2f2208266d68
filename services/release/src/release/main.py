"""Puts the release service together."""

from release.api.batches import batches_router
from release.api.billing_events import changing_router, reading_router
from release.api.caps import caps_router
from release.api.jobs import jobs_router
from release.api.left_out import left_out_router
from release.api.reconciliation import reconciliation_router
from release.api.release import release_router
from release.consumers import Commands, accounting_line, psa_line
from release.domain.sources import CompanySource
from release.handlers import by_hand, release_commands
from release.handlers.completion import ChangeSpreader, completion_step
from release.handlers.incomplete_events import LOOK_SECONDS, waiting_step
from release.handlers.job_faults import job_step, measure_pending
from release.handlers.reconciliation import reconciliation_step
from release.settings import Settings
from release.store.late_events import Patience
from release.store.reconciliation import CHECK_NAMES
from shared.database.database import Database
from shared.service import Compose, Parts, run_service
from shared.settings import read_settings
from shared.workers import Worker

DESCRIPTION = "Registers billing events, holds the caps, and releases one event or many."


def compose(settings: Settings) -> Compose:
    """The parts of the service, once its database is there."""

    def parts(database: Database) -> Parts:
        source = settings.company_source
        patience = Patience(settings.command_wait_seconds, source is not CompanySource.PROJECT)
        commands = Commands(
            {**by_hand.command_handlers(source), **release_commands.command_handlers(settings.release)},
            patience,
        )
        return Parts(
            lines=[psa_line(source), commands.line(), accounting_line()],
            routers=[
                reading_router(database),
                changing_router(database, source, settings.release),
                batches_router(database),
                release_router(database, settings.release),
                left_out_router(database, settings.release),
                jobs_router(
                    database,
                    settings.release,
                    validation_limit=settings.validation_limit,
                    public_url=settings.public_url,
                ),
                caps_router(database),
                reconciliation_router(database),
            ],
            workers=[
                Worker("changes", ChangeSpreader(database).step, idle_seconds=0.1),
                Worker("completions", completion_step(database, source), idle_seconds=0.1),
                Worker(
                    "incomplete events",
                    waiting_step(database, alert_days=settings.incomplete_alert_days),
                    idle_seconds=LOOK_SECONDS,
                ),
                Worker("waiting commands", commands.waiting_step(database), idle_seconds=0.25),
                Worker("jobs", job_step(database, settings.release, patience=patience), idle_seconds=0.1),
                Worker("pending work", lambda: measure_pending(database), idle_seconds=5),
                Worker(
                    "reconciliation",
                    reconciliation_step(database, every_seconds=settings.reconciliation_seconds),
                    # The checks are spread over the time in which each is to be done once.
                    idle_seconds=settings.reconciliation_seconds / len(CHECK_NAMES),
                ),
            ],
            description=DESCRIPTION,
        )

    return parts


def main() -> None:
    """Run the service until it is stopped."""
    settings = read_settings(Settings)
    run_service("release", settings, compose(settings))
