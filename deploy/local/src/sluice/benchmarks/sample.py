"""What PSA sends in a benchmark: projects with their records, and billing events that pass to accounting."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

Headers = list[tuple[str, bytes]]

RECORDS_PER_PROJECT: Final = 30
GENERATED: Final = "psa.billing-event.generated.v1"
RELEASE: Final = "release.billing-event.release.v1"

_DATE: Final = "2026-11-20"
_TIME: Final = "2026-11-20T09:00:00Z"
_WORTH: Final = "1000000000.00"
_AMOUNTS: Final = ("100.00", "262.50", "87.25")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record, ready to send; `subject` is the id of what it is about."""

    subject: str
    topic: str
    key: bytes
    value: bytes
    headers: Headers


def prepare(
    topic: str, key: str, body: Mapping[str, Any], *, subject: str, message_type: str, message_id: str
) -> Prepared:
    """A CloudEvent in binary mode (contract.md section 1)."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", b"/sluice/bench"),
        ("ce_type", message_type.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", _TIME.encode()),
        ("content-type", b"application/json"),
    ]
    return Prepared(subject, topic, key.encode(), json.dumps(body).encode(), headers)


@dataclass(frozen=True, slots=True)
class Sample:
    """A world of its own: all its ids begin with `code`.

    Items take their services product from the end of a chain: timecard, assignment, project. The projects' caps are
    tracked and enforced; `bookings` is what each may bill. `passes_to_accounting`: the events are passed as soon as
    they are released. `names_products`: the items bring their product instead, as events of many items must, of which
    each without one needs room for the longest.
    """

    code: str
    projects: int = 100
    items_per_event: int = 3
    passes_to_accounting: bool = True
    bookings: Decimal = Decimal("900000000.00")
    names_products: bool = False

    def sources(self) -> Iterator[Prepared]:
        """Company, accounts, projects and business records."""
        company = {
            "company_id": f"{self.code}-C",
            "version": 1,
            "name": "Survey Ltd",
            "country": "GB",
            "tax_id": "GB987654321",
            "address": {"line1": "2 Mill Lane", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"},
            "accounting_currencies": ["GBP"],
        }
        yield self._source("psa.companies", "company", f"{self.code}-C", company)
        for number in range(self.projects):
            yield from self._project(number)

    def events(self, count: int) -> Iterator[Prepared]:
        """This many billing events, spread over the projects."""
        for number in range(count):
            project_id = self.project_id(number % self.projects)
            event_id = self.event_id(number)
            body = {
                "billing_event_id": event_id,
                "version": 1,
                "project_id": project_id,
                "batch_id": self.batch_id,
                "date": _DATE,
                "currency": "GBP",
                "customer_reference": "PO 4711",
                "auto_pass_to_accounting": self.passes_to_accounting,
                "items": [self._item(number, place) for place in range(self.items_per_event)],
            }
            yield prepare(
                "psa.billing-events",
                project_id,
                body,
                subject=event_id,
                message_type=GENERATED,
                message_id=f"{event_id}:1",
            )

    def release(self, event_id: str) -> Prepared:
        """The command that releases the event."""
        return prepare(
            "release.commands",
            event_id,
            {"billing_event_id": event_id},
            subject=event_id,
            message_type=RELEASE,
            message_id=f"{event_id}:release",
        )

    def project_id(self, number: int) -> str:
        """The id of a project."""
        return f"{self.code}-P-{number:03}"

    @property
    def batch_id(self) -> str:
        """The batch of all its events."""
        return f"{self.code}-BB"

    def event_id(self, number: int) -> str:
        """The id of a billing event."""
        return f"{self.code}-BE-{number:06}"

    def has(self, event_id: str) -> bool:
        """Whether this is one of its events, or what a split made of one."""
        return event_id.startswith(f"{self.code}-BE-")

    @property
    def event_amount(self) -> Decimal:
        """The sum of an event's items."""
        return sum((Decimal(_amount(place)) for place in range(self.items_per_event)), Decimal(0))

    @property
    def business_records(self) -> int:
        """How many business records `sources` holds."""
        return self.projects * (RECORDS_PER_PROJECT + 1)

    def _project(self, number: int) -> Iterator[Prepared]:
        project_id, account_id = self.project_id(number), f"{self.code}-A-{number:03}"
        account = {
            "account_id": account_id,
            "version": 1,
            "name": f"Port Authority {number}",
            "billing_email": "ap@example.com",
            "address": {"line1": "1 Quay", "city": "Hull", "postcode": "HU1 1AA", "country": "GB"},
            "tax_id": "GB123456789",
        }
        project = {
            "project_id": project_id,
            "version": 1,
            "name": f"Harbour bridge survey {number}",
            "account_id": account_id,
            "company_id": f"{self.code}-C",
            "currency": "GBP",
            "engagement": f"ENG-{number}",
            "services_product": "Consulting",
            "bookings": f"{self.bookings:.2f}",
            "apply_billing_cap": True,
            "auto_cap_billing": True,
        }
        yield self._source("psa.accounts", "account", account_id, account)
        yield self._source("psa.projects", "project", project_id, project)
        assignment_id = f"{project_id}-AS"
        yield self._record("assignment", assignment_id, project_id, None)
        for place in range(RECORDS_PER_PROJECT):
            parent = {"kind": "assignment", "record_id": assignment_id}
            yield self._record("timecard", f"{project_id}-T-{place}", project_id, parent)

    def _record(
        self, kind: str, record_id: str, project_id: str, parent: Mapping[str, str] | None
    ) -> Prepared:
        body = {
            "record_id": record_id,
            "version": 1,
            "kind": kind,
            "parent": parent,
            "project_id": project_id,
            "name": "Week 46",
            "description": "Survey day",
            "amount": _WORTH,  # several events bill a record, each a part of it
        }
        return self._source("psa.business-records", "business-record", record_id, body)

    def _source(self, topic: str, kind: str, key: str, body: Mapping[str, Any]) -> Prepared:
        message_type = f"psa.{kind}.upserted.v1"
        return prepare(topic, key, body, subject=key, message_type=message_type, message_id=f"{kind}:{key}:1")

    def _item(self, number: int, place: int) -> dict[str, Any]:
        project_id = self.project_id(number % self.projects)
        record = (number // self.projects * self.items_per_event + place) % RECORDS_PER_PROJECT
        amount = _amount(place)
        return {
            "item_id": f"{self.event_id(number)}-I-{place}",
            "created_at": _TIME,
            "category": "timecard",
            "business_record_id": f"{project_id}-T-{record}",
            "business_record_version": 1,
            "date": "2026-11-13",
            "description": "Survey day on the north pier, with two surveyors",
            "quantity": "1",
            "unit_price": amount,
            "amount": amount,
            "services_product": "Consulting" if self.names_products else None,
        }


def _amount(place: int) -> str:
    return _AMOUNTS[place % len(_AMOUNTS)]
