"""The accounting connector without its broker: batches in, facts out, background work done until nothing is left."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord

from accounting_connector.consumers import lines
from accounting_connector.handlers import auto_pass, commands
from accounting_connector.settings import AccountingConnectorSettings
from accounting_connector.workers import try_process_runs_again, work_process_runs
from shared.contracts.catalogue import CATALOGUE
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from shared.money import format_amount
from support.records import message_record
from unit.shared.http.sample import ISSUER

REGISTERED = "release.billing-event.registered.v1"
CHANGED = "release.billing-event.changed.v1"
RELEASED = "release.billing-event.released.v1"
JOB_COMPLETED = "release.job.completed.v1"
START = "accounting.process-run.start.v1"
CLAIM = "accounting.billing-events.claim.v1"
UNCLAIM = "accounting.billing-events.unclaim.v1"
WITHDRAW = "accounting.billing-events.withdraw.v1"
VALIDATE = "accounting.documents.validate.v1"
CANCEL = "accounting.documents.cancel.v1"
RENDER = "accounting.documents.render.v1"

ZERO_RATED = {"category": "Z", "rate": "0"}
"""A tax rule under which nothing is warned of."""

STARTER = {"user_id": "u1", "email": "u1@example.com"}
STEPS_MAX = 1_000

# As if everything that waits had begun to an hour ago: longer than any of the connector's waits. What somebody works on
# just now does not wait.
_AN_HOUR_LATER = """
with commands as (
  update waiting_commands set since = since - interval '1 hour', due_at = due_at - interval '1 hour'
  where message_id in (select message_id from waiting_commands where failures = 0 for update skip locked)
), passes as (
  update auto_pass_due set since = since - interval '1 hour', due_at = due_at - interval '1 hour'
  where billing_event_id in (
    select billing_event_id from auto_pass_due where due_at < 'infinity' for update skip locked)
), runs as (
  update process_runs set created_at = created_at - interval '1 hour'
  where process_run_id in (
    select process_run_id from process_runs where status = 'in_progress' for update skip locked)
  returning process_run_id
)
update process_run_events as entry set due_at = due_at - interval '1 hour'
from runs where entry.process_run_id = runs.process_run_id and entry.result = 'pending' and entry.failures = 0
"""

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


def settings_of(**given: Any) -> AccountingConnectorSettings:
    """Settings of the service as its environment would give them."""
    defaults: dict[str, Any] = {
        "kafka_bootstrap_servers": "127.0.0.1:9",
        "database_url": "postgresql://nobody@127.0.0.1:9/none",
        "oidc_issuer": ISSUER,
    }
    return AccountingConnectorSettings(**(defaults | given))


def account(account_id: str = "A-1", *, country: str = "GB", **fields: Any) -> Record:
    """A customer account."""
    body = {
        "account_id": account_id,
        "version": 1,
        "name": "Port Authority",
        "tax_id": "GB123456789",
        "address": {"line1": "1 Quay", "city": "Hull", "postcode": "HU1 1AA", "country": country},
    }
    return message_record("psa.account.upserted.v1", body | fields)


def company(company_id: str = "C-UK", **fields: Any) -> Record:
    """A company with a tax id."""
    body = {
        "company_id": company_id,
        "version": 1,
        "name": "Survey Ltd",
        "country": "GB",
        "tax_id": "GB987654321",
        "accounting_currencies": ["GBP", "EUR"],
    }
    return message_record("psa.company.upserted.v1", body | fields)


def item(item_id: str = "i1", amount: str = "100.00", **fields: Any) -> dict[str, Any]:
    """An item of a billing event: a timecard."""
    return {
        "item_id": item_id,
        "created_at": "2026-11-20T09:00:00Z",
        "category": "timecard",
        "business_record_id": f"T-{item_id}",
        "description": "Survey day",
        "accounting_line_description": "Survey day",
        "quantity": "1",
        "unit_price": amount,
        "amount": amount,
        "services_product": "Consulting",
    } | fields


def event(billing_event_id: str = "BE-1", *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A released billing event as facts tell of it; one item of 100.00 where none is given."""
    listed = list(items) or [item(f"{billing_event_id}-i1")]
    body: dict[str, Any] = {
        "billing_event_id": billing_event_id,
        "version": 1,
        "project_id": "P-1",
        "batch_id": "BB-1",
        "date": "2026-11-20",
        "currency": "GBP",
        "account_id": "A-1",
        "company_id": "C-UK",
        "billing_event_currency": "GBP",
        "engagement": "ENG-7",
        "customer_reference": "PO 4711",
        "stage": "released",
        "items": listed,
    } | fields
    total = sum((Decimal(each["amount"]) for each in body["items"]), Decimal(0))
    return {"summary_amount": format_amount(total, body["currency"])} | body


def registered(body: dict[str, Any]) -> Record:
    """The fact that an event is known, awaiting release unless it says otherwise."""
    return message_record(REGISTERED, {"billing_event": {"stage": "awaiting_release"} | body})


def changed(body: dict[str, Any], *, causation_id: str | None = None) -> Record:
    """The fact that an event has changed; `causation_id` is the act behind it."""
    extensions: dict[str, Any] = {} if causation_id is None else {"ce_causationid": causation_id}
    return message_record(CHANGED, {"billing_event": body, "starter": STARTER}, **extensions)


def released(
    body: dict[str, Any],
    *,
    job_id: str | None = None,
    and_invoice: bool = False,
    message_id: str | None = None,
) -> Record:
    """The fact that an event was released: by a quick action, or by a job."""
    fact = {
        "billing_event": body,
        "released_at": "2026-11-20T10:00:00Z",
        "job_id": job_id,
        "and_invoice": and_invoice,
        "starter": STARTER,
    }
    return message_record(RELEASED, fact, message_id=message_id)


def event_fact(what: str, billing_event_id: str) -> Record:
    """A fact that holds no more than an event's id: `reverted`, `closed`, `deleted`."""
    body = {"billing_event_id": billing_event_id, "project_id": "P-1"}
    return message_record(f"release.billing-event.{what}.v1", body)


def job_completed(job_id: str, released_count: int, *, and_invoice: bool = True, **fields: Any) -> Record:
    """The end of a release job."""
    body = {
        "job_id": job_id,
        "status": "completed",
        "and_invoice": and_invoice,
        "released": released_count,
        "failed": 0,
        "starter": STARTER,
    }
    return message_record(JOB_COMPLETED, body | fields)


def start(process_run_id: str, *, select: dict[str, Any], **fields: Any) -> Record:
    """The command to start a process run."""
    body = {"process_run_id": process_run_id, "select": select, "requested_by": STARTER}
    return message_record(START, body | fields)


def start_ids(process_run_id: str, *billing_event_ids: str, **fields: Any) -> Record:
    """The same for these events."""
    return start(process_run_id, select={"billing_event_ids": list(billing_event_ids)}, **fields)


def claim(billing_run_id: str, *billing_event_ids: str) -> Record:
    """The command to claim events for a billing run."""
    body = {"billing_run_id": billing_run_id, "billing_event_ids": list(billing_event_ids)}
    return message_record(CLAIM, body)


def unclaim(billing_run_id: str, *billing_event_ids: str, billing_events: str = "reopen") -> Record:
    """The command to let events go."""
    body = {
        "billing_run_id": billing_run_id,
        "billing_event_ids": list(billing_event_ids),
        "billing_events": billing_events,
    }
    return message_record(UNCLAIM, body)


def withdraw(*billing_event_ids: str) -> Record:
    """The command to withdraw events, for a revert."""
    return message_record(WITHDRAW, {"billing_event_ids": list(billing_event_ids)})


def validate(*document_ids: str, date: str | None = None) -> Record:
    """The command to validate drafts."""
    body = {"document_ids": list(document_ids), "date": date, "job_id": "step-1"}
    return message_record(VALIDATE, body)


def cancel(*document_ids: str, billing_events: str = "reopen") -> Record:
    """The command to cancel drafts."""
    body = {"document_ids": list(document_ids), "billing_events": billing_events, "job_id": "step-1"}
    return message_record(CANCEL, body)


def render(*document_ids: str, file_format: str = "xml", job_id: str | None = "step-1") -> Record:
    """The command to make files of documents."""
    body = {"document_ids": list(document_ids), "format": file_format, "job_id": job_id}
    return message_record(RENDER, body | {"requested_by": STARTER})


class Fact(dict[str, Any]):
    """A published message: its body, with its `type` and `key` beside it."""

    type: str
    key: str


class ConnectorDriver:
    """One replica of the connector on a database; time passes for what waits only when it is let.

    `lag_seconds`: how long it waits for facts that another line may not have read yet; more than a test takes.
    """

    def __init__(self, database: Database, *, lag_seconds: float = 600.0, **settings: Any) -> None:
        self.database = database
        self.settings = settings_of(**settings)
        self.deployment = replace(self.settings.deployment(), lag_seconds=lag_seconds)
        self._processors = {
            line.name: BatchProcessor(database, line, service="accounting-connector")
            for line in lines(self.deployment)
        }

    async def reference(self, *records: Record) -> None:
        """Take a batch of accounts and companies."""
        await self._processors["reference"].take(records)

    async def release(self, *records: Record) -> None:
        """Take a batch of facts of the release service."""
        await self._processors["release"].take(records)

    async def command(self, *records: Record) -> None:
        """Take a batch of commands."""
        await self._processors["commands"].take(records)

    async def step(self) -> bool:
        """One step of each worker; whether any of them did something."""
        done = await work_process_runs(self.database, self.deployment)
        done |= await self.database.run(lambda work: auto_pass.work_due(work, self.deployment))
        return done | await self.database.run(lambda work: commands.work_waiting(work, self.deployment))

    async def settle(self) -> None:
        """Do the background work until nothing is left of it: what can only wait is let wait to its end."""
        for _ in range(STEPS_MAX):
            if not await self.step():
                if not await self._waits():
                    return
                await self.let_time_pass()
                await asyncio.sleep(0.01)  # another replica may be at it
        raise AssertionError("the background work does not end")

    async def try_again(self) -> None:
        """Let the back-off be over of all that fails by our own fault, and do it: tries and what they lead to."""
        for table in ("waiting_commands", "process_run_events"):
            await self.database.pool.execute(f"update {table} set due_at = now() where failures > 0")
        await self.database.pool.execute("update process_runs set due_at = null")
        for _ in range(STEPS_MAX):
            if not await try_process_runs_again(self.database, self.deployment):
                break
        await self.settle()

    async def let_time_pass(self) -> None:
        """Let the waits be over of all that waits."""
        await self.database.run(lambda work: work.connection.execute(_AN_HOUR_LATER))

    async def _waits(self) -> bool:
        query = """
            select exists (select from waiting_commands where failures = 0)
              or exists (select from auto_pass_due where due_at < 'infinity')
              or exists (select from process_run_events where result = 'pending' and failures = 0)
        """
        return bool(await self.database.pool.fetchval(query))

    async def facts(self, *words: str) -> list[Fact]:
        """What was published, in order; each is valid by its contract. Only of these words, if any are given."""
        facts = []
        for row in await self.database.pool.fetch("select * from outbox order by seq"):
            if row["type"] not in CATALOGUE:
                continue
            body = json.loads(row["payload"])
            CATALOGUE[row["type"]].body_model.model_validate(body)
            fact = Fact(body)
            fact.type, fact.key = row["type"], row["aggregateid"].decode()
            if not words or word_of(fact) in words:
                facts.append(fact)
        return facts

    async def dead_letters(self) -> list[str]:
        """Why records were put aside, in order."""
        return [row["reason"] for row in await self.database.pool.fetch("select reason from dead_letters")]


def word_of(fact: Fact) -> str:
    """What the fact tells of: `validated`, `not-passed`, `process-run.completed`, …"""
    word = fact.type.removeprefix("accounting.").removesuffix(".v1")
    return word if word.startswith("process-run.") else word.partition(".")[2]


def words(facts: Sequence[Fact]) -> list[str]:
    """What the facts tell of, in order."""
    return [word_of(fact) for fact in facts]


def codes(reasons: Sequence[dict[str, Any]]) -> list[str]:
    """The codes of reasons."""
    return [reason["code"] for reason in reasons]
