"""The billing-runs service, put together."""

from collections.abc import Callable
from typing import Final

from billing_runs.api.billing_cycles import billing_cycles_router
from billing_runs.api.documents import documents_router
from billing_runs.api.progress import progress_router
from billing_runs.api.reports import reports_router
from billing_runs.api.rules import rules_router
from billing_runs.api.runs import runs_router
from billing_runs.consumers import lines
from billing_runs.handlers.commands import Commands
from billing_runs.handlers.engine import StepWorker
from billing_runs.handlers.progress_feed import LOOK_SECONDS, ProgressFeed
from billing_runs.handlers.retries import Retries
from billing_runs.settings import BillingRunsSettings
from billing_runs.store import waiting_commands
from shared.database.database import Database
from shared.service import Parts, run_service
from shared.set_aside import IsolatedStep
from shared.settings import read_settings
from shared.workers import Worker

NAME: Final = "billing-runs"
STEPS_IDLE_SECONDS: Final = 0.2
SETTLE_SECONDS: Final = 0.5
WAITING_IDLE_SECONDS: Final = 0.5
RETRIES_IDLE_SECONDS: Final = 1.0


def compose(settings: BillingRunsSettings, *, settle_seconds: float = 0.0) -> Callable[[Database], Parts]:
    """What makes the parts of the service once its database is known; `settle_seconds` as StepWorker has it."""

    def make_parts(database: Database) -> Parts:
        commands = Commands(settings.time_zone, settings.command_wait_seconds, settings.four_eyes)
        steps = StepWorker(database, settings.time_zone, settle_seconds, settings.four_eyes)
        retries = Retries(database, four_eyes=settings.four_eyes)
        feed = ProgressFeed(database)
        look_again = IsolatedStep(
            database, commands.look_again, queue=waiting_commands.QUEUE, facts="billing-runs"
        )

        return Parts(
            lines=lines(commands),
            routers=[
                runs_router(database, commands, settings.support_contact),
                reports_router(database, zero_amounts=settings.zero_amount_policy == "invoice"),
                progress_router(database, feed),
                documents_router(database, four_eyes=settings.four_eyes),
                rules_router(database),
                billing_cycles_router(database),
            ],
            workers=[
                Worker("steps", steps.step, idle_seconds=STEPS_IDLE_SECONDS),
                Worker("retries", retries.step, idle_seconds=RETRIES_IDLE_SECONDS),
                Worker("waiting commands", look_again, idle_seconds=WAITING_IDLE_SECONDS),
                Worker("progress feed", feed.step, idle_seconds=LOOK_SECONDS),
            ],
            description="Invoices many released billing events step by step, with a review.",
            on_stop=[feed.close],
        )

    return make_parts


def main() -> None:
    """Run the service until it is stopped."""
    settings = read_settings(BillingRunsSettings)
    run_service(NAME, settings, compose(settings, settle_seconds=SETTLE_SECONDS))
