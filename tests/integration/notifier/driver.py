"""The notifier without its broker: facts and dead letters in, alerts, mails and facts out."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson
from aiokafka import ConsumerRecord

from contract.samples import SAMPLES
from notifier.consumers import dead_letters_line, facts_line
from notifier.domain.retries import RetrySchedule
from notifier.handlers.sending import MailSender
from notifier.mail.rendering import Renderer
from notifier.mail.server import MailConnection
from notifier.main import audiences_of
from notifier.settings import Settings
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.decoding import decode_body
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from support.records import message_record, raw_record

JOB = "release.job.completed.v1"
THRESHOLD = "release.cap.threshold-crossed.v1"
CONFLICT = "release.cap.configuration-conflict.v1"
MISMATCH = "release.billing-event.category-mismatch.v1"
WAITS = "release.billing-event.waits.v1"
BILLED_AGAIN = "release.billing-event.billed-again.v1"
PROCESS_RUN = "accounting.process-run.completed.v1"
RUN_STATUS = "billing-runs.run.status-changed.v1"
STEP_FAILED = "billing-runs.run.step-failed.v1"
RECONCILIATION = "release.reconciliation.difference-found.v1"
WORK_PENDING = "accounting.work.pending.v1"

STEPS_MAX = 500

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


RETRIES: Final = RetrySchedule(hours=12, first_waits_seconds=(7_200,), later_wait_seconds=14_400)
"""A mail that was not taken waits longer than any test takes, however busy the machine."""


def settings_of(smtp_url: str = "smtp://127.0.0.1:1", **given: Any) -> Settings:
    """The notifier's settings, those of its surroundings filled in."""
    surroundings: dict[str, Any] = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "oidc_issuer": "http://issuer.example",
        "public_url": "http://sluice.example",
        "support_contact": "help@example.com",
        "mail_from": "Billing <billing@example.com>",
        "smtp_url": smtp_url,
    }
    return Settings(**{**surroundings, **given})


def fact(message_type: str, *, message_id: str | None = None, **fields: Any) -> Record:
    """A fact with the contract's sample body, fields of which may be given."""
    return message_record(message_type, {**SAMPLES[message_type], **fields}, message_id=message_id)


def dead_letter(
    service: str = "release",
    *,
    offset: int = 1,
    topic: str = "psa.accounts",
    time: str = "2026-11-20T09:10:00.000Z",
    headers: Mapping[str, bytes | None] | None = None,
    value: bytes | None = b"{",
) -> Record:
    """A record of a dead-letter topic, as the kit writes it."""
    written: dict[str, bytes | None] = {
        "ce_id": b"m-1",
        "dl_reason": b"the value is not JSON in UTF-8",
        "dl_errors": b"[]",
        "dl_topic": topic.encode(),
        "dl_partition": b"0",
        "dl_offset": str(offset).encode(),
        "dl_service": service.encode(),
        "dl_time": time.encode(),
    }
    chosen = written if headers is None else headers
    return raw_record(f"{service}.dead-letters", value, list(chosen.items()))


class NotifierDriver:
    """One replica of the notifier on a database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.renderer = Renderer(settings.public_url, settings.support_contact)
        audiences = audiences_of(settings)
        self._facts = BatchProcessor(database, facts_line(audiences), service="notifier")
        self._dead_letters = BatchProcessor(database, dead_letters_line(audiences), service="notifier")

    async def take(self, *records: Record) -> None:
        """Take a batch of facts."""
        await self._facts.take(records)

    async def take_dead_letters(self, *records: Record) -> None:
        """Take a batch of dead letters."""
        await self._dead_letters.take(records)

    def sender(self, **limits: float) -> MailSender:
        """One of the senders, with a connection of its own."""
        connection = MailConnection(self.settings.mail_server, **limits)
        return MailSender(self.database, connection, self.renderer, self.settings.sender, RETRIES)

    async def send_due(self, **limits: float) -> int:
        """Send until nothing is due; how many steps there were."""
        sender = self.sender(**limits)
        for step in range(STEPS_MAX):
            if not await sender.step():
                return step
        raise AssertionError("the mails do not end")

    async def let_time_pass(self) -> None:
        """Let all waits and leases of mails be over."""
        await self.database.pool.execute(
            "update deliveries set due_at = least(due_at, now()), leased_until = null where status = 'queued'"
        )

    async def alerts(self) -> list[dict[str, Any]]:
        """All alerts, in the order of their addresses."""
        rows = await self.database.pool.fetch(
            "select address, cause, kind, notice, read_at from alerts join notifications using (cause)"
            " order by address, cause"
        )
        return [dict(row) for row in rows]

    async def deliveries(self) -> list[dict[str, Any]]:
        """All mails, in the order of their recipients."""
        rows = await self.database.pool.fetch("select * from deliveries order by recipient, cause")
        return [dict(row) for row in rows]

    async def told(self) -> tuple[list[str], list[str]]:
        """Whose alerts there are, and whom mails go to."""
        return (
            [alert["address"] for alert in await self.alerts()],
            [delivery["recipient"] for delivery in await self.deliveries()],
        )

    async def published(self) -> list[tuple[str, dict[str, Any]]]:
        """What was published, checked against the contract: each its type's last words and its body."""
        rows = await self.database.pool.fetch("select * from outbox order by seq")
        for row in rows:
            assert row["aggregateid"] == orjson.loads(row["payload"])["notification_id"].encode()
            decode_body(CATALOGUE[row["type"]], row["payload"])
        return [(row["type"].split(".")[2], orjson.loads(row["payload"])) for row in rows]
