"""A little of everything in all four services, made by the ways that PSA and people have: records and calls."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
from aiokafka import ConsumerRecord

from support.composed import ComposedSystem, compose_system
from support.databases import Databases, FreshDatabase
from support.records import message_record, raw_record
from unit.shared.http.sample import Issuer

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"
Text: TypeAlias = Callable[[str], str]

COMPANY = "C-UK"
ACCOUNT = "A-1"
BATCH = "BB-1"
CYCLE = "MONTHLY"
RULE = "LARGE"
RUN = "R-1"

PROJECT = "P-1"
CAPPED = "P-CAP"
BUDGETED = "P-BUD"
YEN = "P-JPY"
DINAR = "P-KWD"
CURRENCIES = {PROJECT: "GBP", CAPPED: "GBP", BUDGETED: "GBP", YEN: "JPY", DINAR: "KWD"}

WAITING = "BE-WAIT"
PASSED = "BE-PASS"
SPLIT = "BE-CAP"
TOO_LARGE = "BE-OVER"
OPTIMISED = "BE-BUD"
INCOMPLETE = "BE-INC"
IN_RUN = "BE-RUN"


def plain(what: str) -> str:
    """A text that says what it is."""
    return what


def mail_address(text: Text, what: str) -> str:
    """A mail address with the text in it."""
    return f"{text(what).replace(' ', '.').lower()}@example.com"


@dataclass
class Seeded:
    """A system and what was made in it: ids that the services gave, and their answers on the way."""

    system: ComposedSystem
    databases: dict[str, FreshDatabase]
    job_id: str = ""
    process_run_id: str = ""
    document_id: str = ""
    draft_id: str = ""
    alert_id: str = ""
    delivery_id: str = ""
    answers: dict[str, Any] = field(default_factory=dict)


def master_data(text: Text = plain) -> list[Record]:
    """A company, an account, five projects, and the rates between their currencies."""
    address = {"line1": text("street"), "city": text("city"), "postcode": "HU1 1AA", "country": "GB"}
    company = {
        "company_id": COMPANY,
        "version": 1,
        "name": text("company"),
        "country": "GB",
        "tax_id": "GB987654321",
        "address": address,
        "accounting_currencies": ["GBP", "EUR", "JPY", "KWD"],
    }
    account = {
        "account_id": ACCOUNT,
        "version": 1,
        "name": text("account"),
        "billing_email": mail_address(text, "ap"),
        "billing_cycle_id": CYCLE,
        "address": address,
        "tax_id": "GB123456789",
        "cap_tolerance": {"amount": "0.99", "currency": "GBP"},
    }
    capped: dict[str, Any] = {"bookings": "300.00", "apply_billing_cap": True, "auto_cap_billing": True}
    capped |= {"alert_threshold": "50", "alert_recipient": mail_address(text, "pm")}
    budget: dict[str, Any] = {"budget_id": "B-1", "name": text("budget"), "kind": "customer_purchase_order"}
    budget |= {"amount": "12000.00", "apply_billing_cap": True}
    return [
        message_record("psa.company.upserted.v1", company),
        message_record("psa.account.upserted.v1", account),
        _project(PROJECT, text),
        _project(CAPPED, text, **capped),
        _project(BUDGETED, text, budgets=[budget]),
        _project(YEN, text),
        _project(DINAR, text),
    ]


def _project(project_id: str, text: Text, **fields: Any) -> Record:
    body = {
        "project_id": project_id,
        "version": 1,
        "name": text("project"),
        "account_id": ACCOUNT,
        "company_id": COMPANY,
        "currency": CURRENCIES[project_id],
        "engagement": text("engagement"),
        "services_product": text("product"),
    }
    return message_record("psa.project.upserted.v1", body | fields)


def event(billing_event_id: str, project_id: str, *amounts: str, text: Text = plain, **fields: Any) -> Record:
    """A generated billing event with an adjustment of each amount; items name no business record to wait for."""
    body = {
        "billing_event_id": billing_event_id,
        "version": 1,
        "project_id": project_id,
        "batch_id": BATCH,
        "date": "2026-11-20",
        "currency": CURRENCIES.get(project_id, "GBP"),
        "customer_reference": text("reference"),
        "fields": {"note": text("custom field")},
        "items": [
            {
                "item_id": f"{billing_event_id}-{place}",
                "created_at": f"2026-11-20T09:00:{place:02}Z",
                "category": "milestone",
                "business_record_id": f"M-{billing_event_id}-{place}",
                "business_record_version": 1,
                "date": "2026-11-13",
                "description": text("description"),
                "quantity": "1",
                "unit_price": amount,
                "amount": amount,
                "budget_id": "B-1" if project_id == BUDGETED else None,
            }
            for place, amount in enumerate(amounts, start=1)
        ],
    }
    return message_record("psa.billing-event.generated.v1", body | fields)


def milestones(*records: Record, text: Text = plain) -> list[Record]:
    """The business records that these events' items name, before the events themselves."""
    made = []
    for record in records:
        assert record.value is not None
        body = json.loads(record.value)
        for item in body["items"]:
            record_body = {
                "record_id": item["business_record_id"],
                "version": 1,
                "kind": "milestone",
                "project_id": body["project_id"],
                "name": text("milestone"),
                "description": text("record"),
                **{name: item[name] for name in ("quantity", "unit_price", "amount")},
            }
            made.append(message_record("psa.business-record.upserted.v1", record_body))
    return [*made, *records]


def events(text: Text = plain) -> list[Record]:
    """An event for each thing that can become of one."""
    return [
        event(WAITING, PROJECT, "100.00", "50.10", text=text),
        event(PASSED, PROJECT, "1234.50", text=text),
        event(SPLIT, CAPPED, "100.00", "150.00", "140.00", text=text),
        event(TOO_LARGE, CAPPED, "400.00", "500.00", text=text),
        event(OPTIMISED, BUDGETED, "12001.00", text=text),
        event(INCOMPLETE, "P-UNKNOWN", "1.00", text=text),
        event(IN_RUN, PROJECT, "30000.00", text=text),
        event("BE-JPY", YEN, "1500", text=text),
        event("BE-KWD", DINAR, "1.250", text=text),
    ]


@asynccontextmanager
async def seeded_system(
    databases: Databases, text: Text = plain, *, claims: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Seeded]:
    """The four services on a database of their own, with a little of everything in them.

    `text` makes all names and descriptions, `claims` are the ones of the user whose calls made it.
    """
    issuer = Issuer()
    issuer.add_key("one")
    made = databases.shared_by_all()
    system = await compose_system(made, issuer, **settings)
    system.claims |= claims or {}
    try:
        seeded = Seeded(system, made)
        await seed(seeded, text)
        yield seeded
    finally:
        await system.close()
        databases.drop(made["release"])


async def seed(seeded: Seeded, text: Text = plain) -> None:
    """Bring a little of everything about, to the end of each flow; every call is asserted to have succeeded."""
    system = seeded.system
    await system.send(*master_data(text))
    await system.send(*milestones(*events(text), text=text))
    await _settings(system, seeded, text)
    await _releases(system, seeded)
    await _documents(system, seeded)
    await _billing_run(system, seeded, text)
    await _telling(system, seeded)


async def _settings(system: ComposedSystem, seeded: Seeded, text: Text) -> None:
    tax_rule = {"services_product": None, "country": "GB", "category": "S", "rate": "20", "reason": None}
    settings: dict[str, Any] = {"tax_rules": [tax_rule], "payment_days": 30}
    settings["additional_recipients"] = mail_address(text, "books")
    seeded.answers["company settings"] = await _call(
        system, "accounting-connector", "PUT", f"/companies/{COMPANY}/settings", settings
    )
    rule = {"fail_status": "suspect", "mode": "validation", "expression": "total_net <= 10000"}
    seeded.answers["rule"] = await _call(
        system, "billing-runs", "PUT", f"/rules/{RULE}", rule | {"message": text("rule")}
    )
    cycle = {"name": text("cycle"), "accounts": None, "frequency": "monthly", "cut_off_day": 31}
    seeded.answers["cycle"] = await _call(system, "billing-runs", "PUT", f"/billing-cycles/{CYCLE}", cycle)
    channels = {"channels": {"process_run_ended": ["in_app", "mail"]}}
    seeded.answers["preferences"] = await _call(system, "notifier", "PUT", "/preferences", channels)


async def _releases(system: ComposedSystem, seeded: Seeded) -> None:
    release = f"/billing-events/{SPLIT}/release"
    seeded.answers["split required"] = await _call(system, "release", "POST", release, {}, status=409)
    seeded.answers["split"] = await _call(system, "release", "POST", release, {"on_cap": "split"})
    seeded.answers["no item fits"] = await _call(
        system, "release", "POST", f"/billing-events/{TOO_LARGE}/release", {"on_cap": "split"}, status=409
    )
    seeded.answers["optimised"] = await _call(
        system, "release", "POST", f"/billing-events/{OPTIMISED}/release", {"on_cap": "split"}
    )
    job = {"select": {"billing_event_ids": [PASSED, IN_RUN, "BE-JPY", "BE-KWD"]}}
    seeded.answers["job"] = await _call(system, "release", "POST", "/release-jobs", job, status=202)
    seeded.job_id = seeded.answers["job"]["job_id"]
    failing = {"select": {"billing_event_ids": [TOO_LARGE, WAITING]}}
    seeded.answers["failing job"] = await _call(
        system, "release", "POST", "/release-jobs", failing, status=202
    )
    await system.settle()


async def _documents(system: ComposedSystem, seeded: Seeded) -> None:
    selected = {"select": {"billing_event_ids": [PASSED, "BE-JPY", "BE-KWD", TOO_LARGE]}}
    started = await _call(system, "accounting-connector", "POST", "/process-runs", selected, status=202)
    seeded.process_run_id = started["process_run_id"]
    await system.settle()
    documents = system.facts("accounting.document.validated.v1")
    (seeded.document_id,) = [
        document["document_id"] for document in documents if document["billing_event_ids"] == [PASSED]
    ]


async def _billing_run(system: ComposedSystem, seeded: Seeded, text: Text) -> None:
    run = {
        "run_id": RUN,
        "kind": "exceptional",
        "process_type": "automatic",
        "scope": {"billing_event_ids": [IN_RUN, SPLIT]},
        "invoice_date": "2026-11-30",
        "threshold": {"amount": "10.00", "currency": "GBP"},
        "description": text("billing run"),
    }
    seeded.answers["billing run"] = await _call(
        system, "billing-runs", "POST", "/billing-runs", run, status=201
    )
    await _call(system, "billing-runs", "POST", f"/billing-runs/{RUN}/process", None, status=202)
    await system.settle()
    drafts = system.facts("accounting.document.drafted.v1")
    (seeded.draft_id,) = [each["document_id"] for each in drafts if each["billing_event_ids"] == [IN_RUN]]


async def _telling(system: ComposedSystem, seeded: Seeded) -> None:
    await system.send(raw_record("psa.projects", b"{", [("ce_id", b"bad")]))
    alerts = await _call(system, "notifier", "GET", "/alerts", None)
    seeded.alert_id = alerts["items"][0]["alert_id"]
    deliveries = await _call(system, "notifier", "GET", "/deliveries", None)
    seeded.delivery_id = deliveries["items"][0]["delivery_id"]


async def _call(
    system: ComposedSystem, service: str, method: str, path: str, body: Any, *, status: int = 200
) -> Any:
    async with system.client(service) as client:
        response: httpx.Response = await client.request(method, path, json=body)
    assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
    return response.json()
