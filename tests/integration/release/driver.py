"""The release service without its broker: batches in, facts out, background work done until nothing is left."""

import itertools
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord

from release.consumers import Commands, psa_line
from release.domain.sources import CompanySource
from release.facts import billing_event_body
from release.handlers import by_hand
from release.handlers.completion import ChangeSpreader, complete_due
from release.store.events import load_events
from release.store.late_events import Patience
from shared.contracts.catalogue import CATALOGUE
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from support.contracts import unknown_fields
from support.records import message_record

PROJECT = "psa.project.upserted.v1"
ACCOUNT = "psa.account.upserted.v1"
COMPANY = "psa.company.upserted.v1"
RECORD = "psa.business-record.upserted.v1"
RATE = "psa.exchange-rate.upserted.v1"
GENERATED = "psa.billing-event.generated.v1"
DELETED = "psa.billing-event.deleted.v1"

STEPS_MAX = 200

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


def project(project_id: str = "P-1", **fields: Any) -> Record:
    """A project that completes its events."""
    body = {
        "project_id": project_id,
        "version": 1,
        "name": "Survey",
        "account_id": "A-1",
        "company_id": "C-UK",
        "currency": "GBP",
        "engagement": "ENG-7",
        "services_product": "Consulting",
    }
    return message_record(PROJECT, body | fields)


def company(company_id: str = "C-UK", **fields: Any) -> Record:
    """A company with pounds and euros."""
    body = {"company_id": company_id, "version": 1, "accounting_currencies": ["GBP", "EUR"]}
    return message_record(COMPANY, body | fields)


def business_record(record_id: str = "T-1", kind: str = "timecard", **fields: Any) -> Record:
    """A business record without a parent."""
    return message_record(RECORD, {"record_id": record_id, "version": 1, "kind": kind} | fields)


def item(item_id: str = "i1", amount: str = "100.00", **fields: Any) -> dict[str, Any]:
    """An item of a generated billing event: a timecard."""
    return {
        "item_id": item_id,
        "created_at": "2026-11-20T09:00:00Z",
        "category": "timecard",
        "business_record_id": "T-1",
        "description": "Survey day",
        "quantity": "1",
        "unit_price": amount,
        "amount": amount,
    } | fields


def generated(billing_event_id: str = "BE-1", *items: dict[str, Any], **fields: Any) -> Record:
    """A billing event as PSA makes it; one item of 100.00 where none is given."""
    message_id = fields.pop("message_id", None)
    body = {
        "billing_event_id": billing_event_id,
        "version": 1,
        "project_id": "P-1",
        "date": "2026-11-20",
        "currency": "GBP",
        "items": list(items) or [item()],
    }
    return message_record(GENERATED, body | fields, message_id=message_id)


def deleted(billing_event_id: str = "BE-1", version: int = 2) -> Record:
    """PSA withdraws a billing event."""
    return message_record(DELETED, {"billing_event_id": billing_event_id, "version": version})


def everything_known() -> list[Record]:
    """All that an event of one timecard is completed from."""
    return [project(), company(), business_record()]


class Fact(dict[str, Any]):
    """A published message: its body, with its `type`, `key` and cause beside it."""

    type: str
    key: str
    correlation_id: str | None
    causation_id: str | None


class ReleaseDriver:
    """One replica of the release service on a database."""

    def __init__(
        self,
        database: Database,
        *,
        company_source: CompanySource = CompanySource.PROJECT,
        command_wait_seconds: float = 60.0,
    ) -> None:
        self.database = database
        self.company_source = company_source
        self.commands = Commands(by_hand.command_handlers(company_source), Patience(command_wait_seconds))
        self._psa = BatchProcessor(database, psa_line(company_source), service="release")
        self._commands = BatchProcessor(database, self.commands.line(), service="release")
        self._spreader = ChangeSpreader(database)

    async def psa(self, *records: Record) -> None:
        """Take a batch of what PSA sent."""
        await self._psa.take(records)

    async def command(self, *records: Record) -> None:
        """Take a batch of commands."""
        await self._commands.take(records)

    async def settle(self) -> None:
        """Do the background work until nothing is left of it."""
        for _ in range(STEPS_MAX):
            moved = await self._spreader.step()
            done = await self.database.run(lambda work: complete_due(work, self.company_source))
            if not moved and not done and not await self._has_work():
                return
        raise AssertionError("the background work does not end")

    async def _has_work(self) -> bool:
        query = "select exists (select from source_changes) or exists (select from completions_due)"
        return bool(await self.database.pool.fetchval(query))

    async def event(self, billing_event_id: str = "BE-1") -> dict[str, Any]:
        """The billing event as facts show it."""
        return billing_event_body(
            (await load_events(self.database.pool, [billing_event_id]))[billing_event_id]
        )

    async def facts(self, *types: str) -> list[Fact]:
        """What was published, in order; each is valid by its contract. Only of these types, if any are given."""
        return [
            fact
            for _, fact in await self.facts_since(0)
            if not types or fact.type.removeprefix("release.billing-event.").removesuffix(".v1") in types
        ]

    async def facts_since(self, seq: int) -> list[tuple[int, Fact]]:
        """What was published after the message of this number, each with its own, in order.

        Each holds no field but those that the published contract names.
        """
        facts = []
        for row in await self.database.pool.fetch("select * from outbox where seq > $1 order by seq", seq):
            if row["type"] not in CATALOGUE:
                continue
            body = json.loads(row["payload"])
            model = CATALOGUE[row["type"]].body_model
            model.model_validate(body)
            assert unknown_fields(model, body) == [], row["type"]
            fact = Fact(body)
            fact.type, fact.key = row["type"], row["aggregateid"].decode()
            fact.correlation_id, fact.causation_id = row["correlationid"], row["causationid"]
            facts.append((row["seq"], fact))
        return facts

    async def dead_letters(self) -> list[str]:
        """Why records were put aside, in order."""
        return [row["reason"] for row in await self.database.pool.fetch("select reason from dead_letters")]


def words(facts: Sequence[Fact]) -> list[str]:
    """What facts tell of, in order: `registered`, `changed`, …"""
    return [fact.type.split(".")[2] for fact in facts]


def chunks(records: Sequence[Record], size: int) -> list[list[Record]]:
    """The records in batches."""
    iterator = iter(records)
    return list(iter(lambda: list(itertools.islice(iterator, size)), []))
