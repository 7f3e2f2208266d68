"""The billing-runs service without its broker, and somebody who plays the accounting connector and release."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord

from billing_runs.consumers import lines
from billing_runs.domain.books import ClaimedEvent, Fate, SettledEvent, balance
from billing_runs.handlers.commands import Commands
from billing_runs.handlers.engine import StepWorker, fail_step
from billing_runs.handlers.retries import Retries
from shared.contracts.catalogue import CATALOGUE
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from support.records import message_record

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"
Body: TypeAlias = dict[str, Any]

USER = {"user_id": "u1", "email": "u1@example.com"}
CHUNKS_MAX = 500

CREATE = "billing-runs.run.create.v1"
PROCESS = "billing-runs.run.process.v1"
REVIEW = "billing-runs.documents.review.v1"


def command(name: str, run_id: str = "R-1", /, **fields: Any) -> Record:
    """A command to a run: `process`, `cancel` and so on."""
    message_id = fields.pop("message_id", None)
    message_type = f"billing-runs.run.{name}.v1" if "." not in name else f"billing-runs.{name}.v1"
    body = {"run_id": run_id, "requested_by": USER} | fields
    return message_record(message_type, body, message_id=message_id)


def create(run_id: str = "R-1", **fields: Any) -> Record:
    """A manual exceptional run over project P-1."""
    settings = {
        "kind": "exceptional",
        "process_type": "manual",
        "scope": {"filter": {"project_id": "P-1"}},
        "invoice_date": "2026-11-30",
    }
    return command("create", run_id, **(settings | fields))


def review(action: str, run_id: str = "R-1", **fields: Any) -> Record:
    """A review of documents."""
    return command("documents.review", run_id, action=action, **fields)


def event(billing_event_id: str, amount: str = "100.00", **fields: Any) -> Body:
    """A released billing event of one item, as release tells of it."""
    return {
        "billing_event_id": billing_event_id,
        "version": 1,
        "project_id": "P-1",
        "date": "2026-11-20",
        "currency": "GBP",
        "account_id": "A-1",
        "company_id": "C-UK",
        "billing_event_currency": "GBP",
        "stage": "released",
        "released": True,
        "summary_amount": amount,
        "items": [
            {
                "item_id": f"{billing_event_id}-1",
                "created_at": "2026-11-20T09:00:00Z",
                "category": "timecard",
                "quantity": "1",
                "unit_price": amount,
                "amount": amount,
                "services_product": "Consulting",
            }
        ],
    } | fields


def released(*events: Body, job_id: str | None = None) -> list[Record]:
    """The facts that these events are released."""
    return [
        message_record(
            "release.billing-event.released.v1",
            {"billing_event": each, "released_at": "2026-11-20T10:00:00Z", "job_id": job_id},
        )
        for each in events
    ]


def registered(*events: Body) -> list[Record]:
    """The facts that these events are known."""
    return [message_record("release.billing-event.registered.v1", {"billing_event": each}) for each in events]


def reason(code: str, message: str = "") -> Body:
    """A reason of a fact."""
    return {"code": code, "message": message}


@dataclass
class Connector:
    """Answers commands with facts, as the accounting connector does; what it is to refuse is set before."""

    events: dict[str, Body] = field(default_factory=dict)
    refused_claims: dict[str, str] = field(default_factory=dict)
    not_passed: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """Events whose document fails by a fault of the connector's own."""
    tries: dict[str, tuple[str, Body]] = field(default_factory=dict)
    """What is tried again: the run of each event, and the command that asked for its document."""
    refused_validations: dict[str, str] = field(default_factory=dict)
    failed_files: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Amounts of items that item criteria leave out, by event."""
    claims: dict[str, str] = field(default_factory=dict)
    documents: dict[str, Body] = field(default_factory=dict)
    numbers: int = 0

    def answer(self, commands: Iterable["Published"]) -> list[Record]:
        """The facts that follow from these commands."""
        return [record for each in commands for record in self._answer(each)]

    def _answer(self, asked: "Published") -> list[Record]:
        handlers: dict[str, Callable[[Body], list[Record]]] = {
            "accounting.billing-events.claim.v1": self._claim,
            "accounting.billing-events.unclaim.v1": self._unclaim,
            "accounting.process-run.start.v1": self._draft,
            "accounting.documents.validate.v1": self._validate,
            "accounting.documents.cancel.v1": self._cancel,
            "accounting.documents.render.v1": self._render,
        }
        return handlers[asked.type](asked.body) if asked.type in handlers else []

    def _claim(self, body: Body) -> list[Record]:
        run_id, claimed, refused = body["billing_run_id"], [], []
        for event_id in body["billing_event_ids"]:
            code = self.refused_claims.get(event_id)
            if code is None and event_id not in self.events:
                code = "not_found"
            if code is None and self.claims.get(event_id, run_id) != run_id:
                code = "claimed_by_run"
            if code is None:
                self.claims[event_id] = run_id
                claimed.append(event_id)
            else:
                refused.append({"billing_event_id": event_id, "reasons": [reason(code)]})
        answer = {"billing_run_id": run_id, "claimed": claimed, "refused": refused}
        answer |= {"part": body["part"], "parts": body["parts"]}
        return [message_record("accounting.billing-events.claimed.v1", answer)]

    def _unclaim(self, body: Body) -> list[Record]:
        run_id, asked = body["billing_run_id"], body["billing_event_ids"]
        held = [each for each in asked if self.claims.get(each) == run_id]
        for each in held:
            del self.claims[each]
        given_up = [(each, self.tries.pop(each)[1]) for each in held if each in self.tries]
        refused = [
            {"billing_event_id": each, "reasons": [reason("not_claimed")]}
            for each in asked
            if each not in held
        ]
        answer = body | {"unclaimed": held, "refused": refused}
        told = [self._not_passed(each, command["process_run_id"], "given_up") for each, command in given_up]
        return [*told, message_record("accounting.billing-events.unclaimed.v1", answer)]

    def _draft(self, body: Body) -> list[Record]:
        run_id, process_run_id = body["billing_run_id"], body["process_run_id"]
        asked = body["select"].get("billing_event_ids")
        held = sorted(
            each
            for each, holder in self.claims.items()
            if holder == run_id and (asked is None or each in asked) and not self._has_document(each)
        )
        failing = [each for each in held if each in self.pending]
        self.tries |= dict.fromkeys(failing, (run_id, body))
        held = [each for each in held if each not in self.pending]
        records = []
        groups: dict[Any, list[str]] = {}
        for event_id in held:
            code = self.not_passed.get(event_id)
            if code is None:
                amount = Decimal(self.events[event_id]["summary_amount"])
                account = (self.events[event_id]["account_id"], amount > 0)
                groups.setdefault(account if body["grouping"] == "account" else event_id, []).append(event_id)
            else:
                if code == "below_threshold":
                    del self.claims[event_id]
                records.append(self._not_passed(event_id, process_run_id, code))
        documents = [self._document(members, run_id, process_run_id, body) for members in groups.values()]
        records += [message_record("accounting.document.drafted.v1", each) for each in documents]
        invoices = sum(each["kind"] == "sales_invoice" for each in documents)
        counted = {"invoices": invoices, "credit_notes": len(groups) - invoices}
        counted["not_passed"] = len(held) - sum(map(len, groups.values()))
        counted["pending"] = len(failing)
        completed = {"process_run_id": process_run_id, "kind": "billing_run", "status": "completed"} | counted
        return [*records, message_record("accounting.process-run.completed.v1", completed)]

    def try_again(self, **codes: str) -> list[Record]:
        """What is told once the fault is mended: drafts of what was pending, or why there is none, by event."""
        records = []
        for event_id, (run_id, body) in sorted(self.tries.items()):
            process_run_id = body["process_run_id"]
            if code := codes.get(event_id.replace("-", "_")):
                records.append(self._not_passed(event_id, process_run_id, code))
                continue
            document = self._document([event_id], run_id, process_run_id, body)
            records.append(message_record("accounting.document.drafted.v1", document))
        self.tries.clear()
        self.pending.clear()
        return records

    def _not_passed(self, event_id: str, process_run_id: str, code: str) -> Record:
        answer: Body = {"billing_event_id": event_id, "process_run_id": process_run_id}
        answer["reasons"] = [reason(code, "too small")]
        return message_record("accounting.billing-event.not-passed.v1", answer)

    def _has_document(self, event_id: str) -> bool:
        return any(
            event_id in each["billing_event_ids"] and each["status"] != "cancelled"
            for each in self.documents.values()
        )

    def _document(self, members: list[str], run_id: str, process_run_id: str, body: Body) -> Body:
        events = [self.events[each] for each in members]
        total = sum((Decimal(each["summary_amount"]) for each in events), Decimal(0))
        net = str(abs(total))
        document_id = f"D-{members[0]}"
        while document_id in self.documents:  # it was cancelled, and its events are billed anew
            document_id += "."
        self.documents[document_id] = {
            "document_id": document_id,
            "kind": "sales_invoice" if total > 0 else "sales_credit_note",
            "status": "draft",
            "number": f"DRAFT-{document_id}",
            "date": body["invoice_date"],
            "currency": events[0]["currency"],
            "account": {"id": events[0]["account_id"], "name": "Port Authority"},
            "company": {"id": events[0]["company_id"]},
            "billing_event_ids": members,
            "left_out_items": [
                {"billing_event_id": each, "item_id": f"{each}-{place}", "amount": amount, "criterion": "c"}
                for each in members
                for place, amount in enumerate(self.left_out.get(each, ()))
            ],
            "billing_run_id": run_id,
            "process_run_id": process_run_id,
            "lines": [
                {
                    "line_id": f"{document_id}.{place}",
                    "billing_event_id": each["billing_event_id"],
                    "billing_event_item_id": each["items"][0]["item_id"],
                    "quantity": "1",
                    "unit_price": str(abs(Decimal(each["summary_amount"]))),
                    "amount": str(abs(Decimal(each["summary_amount"]))),
                    "tax_category": "Z",
                    "tax_rate": "0",
                }
                for place, each in enumerate(events, start=1)
            ],
            "taxes": [],
            "total_net": net,
            "total_tax": "0.00",
            "total_gross": net,
        }
        return dict(self.documents[document_id])

    def _validate(self, body: Body) -> list[Record]:
        records = []
        for document_id in body["document_ids"]:
            document = self.documents[document_id]
            code = self.refused_validations.get(document_id)
            if code is not None or document["status"] != "draft":
                records.append(self._refused(document, "validate", body, code or "not_a_draft"))
                continue
            self.numbers += 1
            document |= {"status": "validated", "number": f"SIN-2026-{self.numbers:06}"}
            document["date"] = body["date"] or document["date"]
            document["due_date"] = "2026-12-30"
            for event_id in document["billing_event_ids"]:
                self.claims.pop(event_id, None)
            records.append(
                message_record("accounting.document.validated.v1", document | {"job_id": body["job_id"]})
            )
        return records

    def _cancel(self, body: Body) -> list[Record]:
        records = []
        for document_id in body["document_ids"]:
            document = self.documents[document_id]
            if document["status"] != "draft":
                records.append(self._refused(document, "cancel", body, "not_a_draft"))
                continue
            document["status"] = "cancelled"
            for event_id in document["billing_event_ids"]:
                self.claims.pop(event_id, None)
            records.append(
                message_record("accounting.document.cancelled.v1", document | {"job_id": body["job_id"]})
            )
        return records

    def _refused(self, document: Body, action: str, body: Body, code: str) -> Record:
        answer = {"document_id": document["document_id"], "action": action, "job_id": body["job_id"]}
        return message_record("accounting.document.refused.v1", answer | {"reasons": [reason(code)]})

    def _render(self, body: Body) -> list[Record]:
        records = []
        for document_id in body["document_ids"]:
            answer = {"document_id": document_id, "format": body["format"], "job_id": body["job_id"]}
            code = self.failed_files.get(document_id)
            if code is not None:
                answer["reasons"] = [reason(code)]
                records.append(message_record("accounting.document.render-failed.v1", answer))
            else:
                answer |= {"size_bytes": 1000, "sha256": "0" * 64}
                records.append(message_record("accounting.document.rendered.v1", answer))
        return records


@dataclass(frozen=True)
class Published:
    """A message of the outbox."""

    type: str
    key: str
    body: Body
    correlation_id: str | None


class Runs:
    """One replica of the billing-runs service on a database; made anew, it goes on where another one stopped."""

    def __init__(
        self,
        database: Database,
        connector: Connector,
        *,
        wait_seconds: float = 60.0,
        four_eyes: bool = False,
    ) -> None:
        self.database = database
        self.connector = connector
        self.commands = Commands(UTC, wait_seconds, four_eyes)
        self._lines = {
            line.name: BatchProcessor(database, line, service="billing-runs") for line in lines(self.commands)
        }
        self._worker = StepWorker(database, UTC, four_eyes=four_eyes)

    async def command(self, *records: Record) -> None:
        """Take a batch of commands."""
        await self._lines["commands"].take(records)

    async def release_facts(self, *records: Record) -> None:
        """Take a batch of `release.events`."""
        await self._lines["billing-events"].take(records)

    async def accounting_facts(self, *records: Record) -> None:
        """Take a batch of `accounting.events`."""
        await self._lines["accounting"].take(records)

    async def account_facts(self, *records: Record) -> None:
        """Take a batch of `psa.accounts`."""
        await self._lines["accounts"].take(records)

    async def know(self, *events: Body) -> None:
        """Let everybody know of released events."""
        self.connector.events |= {each["billing_event_id"]: each for each in events}
        await self.release_facts(*released(*events))

    def let_settle(self, seconds: float) -> None:
        """Let facts come in for so long before a step selects by more than ids."""
        self._worker.settle_seconds = seconds

    async def chunk(self) -> bool:
        """Do one chunk of background work; whether there was one."""
        return await self._worker.step()

    async def work(self) -> None:
        """Do background work until nothing is left of it."""
        for _ in range(CHUNKS_MAX):
            if not await self.chunk():
                return
        raise AssertionError("the background work does not end")

    async def look_again(self) -> None:
        """Look at the commands that wait."""
        await self.database.run(self.commands.look_again)

    async def retry(self, *, forward: bool = True) -> bool:
        """Look at what failed by a fault of ours, its time having come; whether there was any."""
        if forward:
            await self.database.pool.execute("update set_aside_work set try_at = now()")
        return await Retries(self.database, four_eyes=self.commands.four_eyes).step()

    async def fail_step(self, run_id: str) -> None:
        """Let the step of a run break."""
        await self.database.run(lambda work: fail_step(work, run_id, "broken"))

    async def settle(self, deliver: Callable[[list[Record]], list[list[Record]]] | None = None) -> None:
        """Work, and let the connector answer, until nothing more comes. `deliver` makes batches of the answers."""
        for _ in range(CHUNKS_MAX):
            await self.work()
            answers = self.connector.answer(await self.take_published("accounting."))
            if not answers:
                return
            for batch in deliver(answers) if deliver is not None else [answers]:
                await self.accounting_facts(*batch)
        raise AssertionError("commands do not end")

    async def take_published(self, prefix: str) -> list[Published]:
        """Take messages whose type begins so out of the outbox, as the relay does."""
        rows = await self.database.pool.fetch(
            "with gone as (delete from outbox where type like $1 || '%' returning *) select * from gone order by seq",
            prefix,
        )
        published = []
        for row in rows:
            body = json.loads(row["payload"])
            CATALOGUE[row["type"]].body_model.model_validate(body)
            published.append(Published(row["type"], row["aggregateid"].decode(), body, row["correlationid"]))
        return published

    async def facts(self, kind: str) -> list[Body]:
        """The bodies of the published facts of a kind: `run.status-changed`."""
        return [each.body for each in await self.take_published(f"billing-runs.{kind}.v1")]

    async def state(self, run_id: str = "R-1") -> tuple[str, str]:
        """The run's status and execution."""
        row = await self.database.pool.fetchrow(
            "select status, execution from runs where run_id = $1", run_id
        )
        assert row is not None, f"there is no run {run_id}"
        return (row["status"], row["execution"])

    async def reviews(self, run_id: str = "R-1") -> dict[str, str]:
        """The review of each document that is in the run."""
        rows = await self.database.pool.fetch(
            "select document_id, review from run_documents where run_id = $1", run_id
        )
        return {row["document_id"]: row["review"] for row in rows}

    async def fates(self, run_id: str = "R-1") -> dict[str, str]:
        """What became of each event of the run."""
        rows = await self.database.pool.fetch(
            "select billing_event_id, state from run_events where run_id = $1", run_id
        )
        return {row["billing_event_id"]: row["state"] for row in rows}

    async def log(self) -> list[tuple[str, str | None]]:
        """The log lines of all executions: message and subject."""
        rows = await self.database.pool.fetch(
            "select message, subject_id from execution_log order by entry_id"
        )
        return [(row["message"], row["subject_id"]) for row in rows]

    async def refusals(self) -> list[tuple[str, str]]:
        """The commands that were refused, in order: the action and the code."""
        return [(body["action"], body["reasons"][0]["code"]) for body in await self.facts("run.refused")]

    async def check_books(self, *run_ids: str) -> None:
        """Hold the claims against the fates that documents and reports give (domain.md section 6, point 4)."""
        for run_id in run_ids or ("R-1",):
            rows = await self.database.pool.fetch(
                "select run_events.*, run_documents.status as document_status, run_documents.run_id as document_run_id"
                " from run_events left join run_documents using (document_id)"
                " where run_events.run_id = $1 and claimed",
                run_id,
            )
            claimed = [ClaimedEvent(row["billing_event_id"], row["currency"], row["amount"]) for row in rows]
            settled = [
                SettledEvent(row["billing_event_id"], row["currency"], row["amount"], Fate(row["state"]))
                for row in rows
            ]
            assert balance(claimed, settled).balanced
            for row in rows:
                expected = {
                    "validated": {"validated"},
                    "draft": {"draft"},
                    "cancelled": {"reopened", "cancelled"},
                }
                if row["document_status"] is not None:
                    assert row["state"] in expected[row["document_status"]], dict(row)
                    assert row["document_run_id"] == run_id


def one_by_one(records: Sequence[Record]) -> list[list[Record]]:
    """Each record in a batch of its own."""
    return [[record] for record in records]


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs."""
    return dict(Counter(values))
