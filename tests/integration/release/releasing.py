"""The release service's second half, driven: caps are seeded, events released by command, jobs worked to their end."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from integration.release.driver import RATE, Record, ReleaseDriver, company, generated, item, project
from release.consumers import Commands
from release.domain.cap_state import ProjectCap
from release.domain.settings import ReleaseSettings
from release.domain.sources import CompanySource
from release.handlers import by_hand, release_commands
from release.handlers.job_faults import job_step
from release.store.caps import load_caps
from release.store.late_events import Patience
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from support.records import message_record

RELEASE = "release.billing-event.release.v1"
START_JOB = "release.job.start.v1"
STEPS_MAX = 500

SETTINGS = ReleaseSettings(support_contact="support@example.com")


def release(billing_event_id: str = "BE-1", **fields: Any) -> Record:
    """A command to release one event."""
    message_id = fields.pop("message_id", None)
    return message_record(RELEASE, {"billing_event_id": billing_event_id} | fields, message_id=message_id)


def start_job(job_id: str, select: Mapping[str, Any], **fields: Any) -> Record:
    """A command to start a release job."""
    message_id = fields.pop("message_id", None)
    return message_record(START_JOB, {"job_id": job_id, "select": select} | fields, message_id=message_id)


def worth(billing_event_id: str, *amounts: str, **fields: Any) -> Record:
    """An event with items of these amounts, `<id>-1`, `<id>-2`, …, which lacks nothing."""
    items = [
        item(
            f"{billing_event_id}-{place}",
            amount,
            business_record_id=f"T-{billing_event_id}-{place}",
            created_at=f"2026-11-20T09:{place // 60:02}:{place % 60:02}Z",
            services_product="Consulting",
        )
        for place, amount in enumerate(amounts, start=1)
    ]
    return generated(billing_event_id, *items, **fields)


def capped_project(bookings: str | None = "10000.00", **fields: Any) -> Record:
    """A project whose cap is enforced."""
    flags = {"apply_billing_cap": True, "auto_cap_billing": True}
    return project(**({"bookings": bookings} | flags | fields))


class ReleasingDriver(ReleaseDriver):
    """A replica with these settings that also releases."""

    def __init__(self, database: Database, settings: ReleaseSettings = SETTINGS) -> None:
        super().__init__(database)
        self.settings = settings
        handlers = by_hand.command_handlers(CompanySource.PROJECT) | release_commands.command_handlers(
            settings
        )
        self.commands = Commands(handlers, Patience(60.0))
        self._commands = BatchProcessor(database, self.commands.line(), service="release")
        self.work_jobs = job_step(database, settings)

    def replica(self) -> "ReleasingDriver":
        """Another replica on the same database."""
        return ReleasingDriver(self.database, self.settings)

    async def know(self, *records: Record) -> None:
        """Take what PSA sent, with a company in GBP and EUR, and settle."""
        await self.psa(company(), *records)
        await self.settle()

    async def finish_jobs(self) -> None:
        """Work jobs until none is open."""
        for _ in range(STEPS_MAX):
            if not await self.work_jobs():
                return
        raise AssertionError("the jobs do not end")

    async def seed_released(
        self, amount: str, currency: str = "GBP", project_id: str = "P-1", budget_id: str | None = None
    ) -> None:
        """Let this much be released already, in the total and in the ledger."""
        total = Decimal(amount)
        async with self.database.transaction() as work:
            if budget_id is None:
                await work.connection.execute(
                    "insert into project_totals (project_id, currency, released) values ($1, $2, $3)",
                    project_id,
                    currency,
                    total,
                )
            else:
                await work.connection.execute(
                    "insert into budget_totals (project_id, budget_id, currency, released) values ($1, $2, $3, $4)",
                    project_id,
                    budget_id,
                    currency,
                    total,
                )
            await work.connection.execute(
                "insert into cap_ledger (project_id, budget_id, billing_event_id, act, amount, currency,"
                " released_after, decision) values ($1, $2, $3, 'release', $4, $5, $4, '{}')",
                project_id,
                budget_id,
                f"SEED-{project_id}",
                total,
                currency,
            )

    async def cap(self, project_id: str = "P-1") -> ProjectCap:
        """The project's cap as it stands."""
        return (await load_caps(self.database.pool, [project_id]))[project_id]

    async def stage(self, billing_event_id: str) -> str:
        """The stage of an event."""
        return str((await self.event(billing_event_id))["stage"])


def rate(pair: str, value: str) -> Record:
    """An exchange rate, `GBP-EUR`."""
    source, target = pair.split("-")
    return message_record(RATE, {"from": source, "to": target, "rate": value, "version": 1})
