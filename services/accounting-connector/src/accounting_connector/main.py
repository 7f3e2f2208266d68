"""The accounting connector, put together: makes documents from released events, numbers them, writes back."""

from dataclasses import replace
from typing import Final

from accounting_connector.api.companies import companies_router
from accounting_connector.api.documents import documents_router
from accounting_connector.api.eligibility import eligibility_router
from accounting_connector.api.files import files_router
from accounting_connector.api.process_runs import process_runs_router
from accounting_connector.consumers import lines
from accounting_connector.rendering.workers import RenderingWorkers
from accounting_connector.settings import AccountingConnectorSettings
from accounting_connector.workers import workers
from shared.database.database import Database
from shared.service import Compose, Parts, run_service
from shared.settings import read_settings

NAME = "accounting-connector"
SETTLE_SECONDS: Final = 0.5


def compose(settings: AccountingConnectorSettings, *, settle_seconds: float = 0.0) -> Compose:
    """How the parts of the service are made, once there is a database; `settle_seconds` as Deployment has it."""

    def parts(database: Database) -> Parts:
        deployment = replace(settings.deployment(), settle_seconds=settle_seconds)
        processes = RenderingWorkers(settings.rendering_processes)
        return Parts(
            lines=lines(deployment),
            routers=[
                files_router(database, deployment, processes),
                documents_router(database),
                process_runs_router(database, deployment, settings.public_url),
                eligibility_router(database, deployment),
                companies_router(database, deployment),
            ],
            workers=workers(database, deployment, processes, process_run_days=settings.process_run_days),
            description="Documents from released billing events, their numbers, and process runs.",
            on_stop=[processes.close],
        )

    return parts


def main() -> None:
    """Run the service until it is asked to stop."""
    settings = read_settings(AccountingConnectorSettings)
    run_service(NAME, settings, compose(settings, settle_seconds=SETTLE_SECONDS))
