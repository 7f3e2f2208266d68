"""An outside user of the running system, who has read the wire contract and nothing else."""

import json
from dataclasses import dataclass
from typing import Any, Final

from sluice.demo.kafka import Fact, Facts, KafkaClient, Outgoing

REQUESTED_BY: Final = {"user_id": "outsider", "email": "outsider@example.com"}


@dataclass(frozen=True, slots=True)
class Outsider:
    """Sends messages as the contract's examples have them, and reads facts. All its ids begin with `code`."""

    kafka: KafkaClient
    code: str
    traceparent: str | None = None
    """The trace that what is sent belongs to."""

    def id(self, name: str) -> str:
        """An id of this user's own."""
        return f"{self.code}-{name}"

    async def tell(self, topic: str, type_: str, key: str, body: dict[str, Any], *, times: int = 1) -> None:
        """Send a `psa.*` message; sent several times, it has the same id."""
        await self.kafka.send([self._told(topic, type_, key, body)] * times)

    def _told(self, topic: str, type_: str, key: str, body: dict[str, Any]) -> Outgoing:
        message_id = f"{type_}:{key}:{json.dumps(body)}"[:200]
        return Outgoing(topic, key, type_, message_id, body, self.traceparent)

    async def command(self, topic: str, type_: str, key: str, body: dict[str, Any]) -> str:
        """Send a command; gives its id."""
        message_id = f"{type_}:{key}:{len(self.kafka.facts.in_order)}"
        named = {**body, "requested_by": REQUESTED_BY}
        await self.kafka.send([Outgoing(topic, key, type_, message_id, named, self.traceparent)])
        return message_id

    async def fact(self, type_: str, **fields: Any) -> Fact:
        """The last fact of the type with these fields, when it has come."""

        def look(facts: Facts) -> Fact | None:
            return facts.find(type_, **fields)

        return await self.kafka.until(look, what=f"{type_} {fields}")

    def types_of(self, topic: str, key: str, *, after: int = 0) -> list[str]:
        """The types of a key's facts, in their order, among those read after that many."""
        facts = self.kafka.facts.in_order[after:]
        return [fact.type for fact in facts if (fact.topic, fact.key) == (topic, key)]

    async def world(self) -> None:
        """A company, an account and a project without a cap."""
        company = {
            "company_id": self.id("C"),
            "version": 1,
            "name": "Survey Ltd",
            "country": "GB",
            "tax_id": "GB987654321",
            "accounting_currencies": ["GBP"],
        }
        await self.tell("psa.companies", "psa.company.upserted.v1", self.id("C"), company)
        account = {
            "account_id": self.id("A"),
            "version": 1,
            "name": "Port Authority",
            "address": {"country": "GB"},
        }
        await self.tell("psa.accounts", "psa.account.upserted.v1", self.id("A"), account)
        await self.project("P")

    async def project(self, name: str, **fields: Any) -> None:
        """A project of the company and the account."""
        body = {
            "project_id": self.id(name),
            "version": 1,
            "name": "Harbour bridge survey",
            "account_id": self.id("A"),
            "company_id": self.id("C"),
            "currency": "GBP",
            "services_product": "Consulting",
            **fields,
        }
        await self.tell("psa.projects", "psa.project.upserted.v1", self.id(name), body)

    async def event(self, name: str, amounts: list[str], *, project: str = "P", **fields: Any) -> str:
        """A billing event with items of these amounts; gives its id when the release service has completed it."""
        event_id = self.id(name)
        *records, generated = self.generated(name, amounts, project=project, **fields)
        await self.kafka.send([*records, generated, generated])

        def complete(facts: Facts) -> bool:
            return facts.billing_events.get(event_id, {}).get("stage") == "awaiting_release"

        await self.kafka.until(complete, what=f"the completion of {event_id}")
        return event_id

    def generated(
        self, name: str, amounts: list[str], *, project: str = "P", **fields: Any
    ) -> list[Outgoing]:
        """The records of a billing event with items of these amounts, then the event."""
        event_id = self.id(name)
        messages, items = [], []
        for number, amount in enumerate(amounts, start=1):
            record_id = f"{event_id}-T{number}"
            record = {
                "record_id": record_id,
                "version": 1,
                "kind": "timecard",
                "project_id": self.id(project),
            }
            messages.append(
                self._told("psa.business-records", "psa.business-record.upserted.v1", record_id, record)
            )
            items.append(
                {
                    "item_id": f"{event_id}-I{number}",
                    "created_at": f"2026-11-20T09:0{number}:00Z",
                    "category": "timecard",
                    "business_record_id": record_id,
                    "business_record_version": 1,
                    "description": "Survey day",
                    "quantity": "1",
                    "unit_price": amount,
                    "amount": amount,
                }
            )
        body = {
            "billing_event_id": event_id,
            "version": 1,
            "project_id": self.id(project),
            "date": "2026-11-20",
            "currency": "GBP",
            "items": items,
            **fields,
        }
        event = self._told("psa.billing-events", "psa.billing-event.generated.v1", self.id(project), body)
        return [*messages, event]
