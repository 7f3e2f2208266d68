"""What the accounting connector answers (contract.md section 2, Shapes)."""

from typing import Any, Final

import pytest

from contract.http.shapes import (
    PROBLEM,
    REASON,
    STARTER,
    Each,
    Filled,
    Optional,
    amount,
    anything,
    count,
    day,
    has_shape,
    identifier,
    instant,
    number,
    one_of,
    text,
)
from support import seeding
from support.seeding import Seeded

PARTY: Final = {"id": identifier, "name": text, "tax_id": text, "address": Each(Optional(text))}


def document(currency: str, **exact: Any) -> dict[str, Any]:
    money = amount(currency)
    line = {
        "line_id": identifier,
        "billing_event_id": identifier,
        "billing_event_item_id": identifier,
        "description": Optional(text),
        "product": text,
        "quantity": number,
        "unit_price": number,
        "amount": money,
        "tax_category": text,
        "tax_rate": number,
    }
    return head(currency) | {
        "lines": Filled(line),
        "taxes": Filled({"category": text, "rate": number, "taxable": money, "tax": money}),
        "excluded_items": [anything],
        "corrects_document_id": Optional(identifier),
        **exact,
    }


def head(currency: str) -> dict[str, Any]:
    money = amount(currency)
    return {
        "document_id": identifier,
        "kind": one_of("sales_invoice", "sales_credit_note"),
        "status": one_of("draft", "validated", "cancelled"),
        "number": text,
        "date": day,
        "due_date": Optional(day),
        "currency": currency,
        "account": PARTY,
        "company": PARTY,
        "billing_event_ids": Filled(identifier),
        "billing_run_id": Optional(identifier),
        "total_net": money,
        "total_tax": money,
        "total_gross": money,
    }


RUN: Final = {
    "process_run_id": identifier,
    "kind": text,
    "status": one_of("in_progress", "completed", "completed_with_errors", "failed"),
    "invoices": count,
    "credit_notes": count,
    "not_passed": count,
    "already_done": count,
    "first_reasons": [anything],
    "additional_recipients": [text],
    "starter": STARTER,
}


async def get(seeded: Seeded, path: str, status: int = 200) -> Any:
    async with seeded.system.client("accounting-connector") as client:
        response = await client.get(path)
    assert response.status_code == status, response.text
    return response.json()


@pytest.mark.parametrize(
    ("billing_event_id", "currency", "net", "tax", "gross"),
    [
        (seeding.PASSED, "GBP", "1234.50", "246.90", "1481.40"),
        ("BE-JPY", "JPY", "1500", "300", "1800"),
        ("BE-KWD", "KWD", "1.250", "0.250", "1.500"),
    ],
)
async def test_a_document(
    seeded: Seeded, billing_event_id: str, currency: str, net: str, tax: str, gross: str
) -> None:
    (document_id,) = [
        each["document_id"]
        for each in seeded.system.facts("accounting.document.validated.v1")
        if each["billing_event_ids"] == [billing_event_id]
    ]
    found = await get(seeded, f"/documents/{document_id}")
    totals = {"total_net": net, "total_tax": tax, "total_gross": gross, "status": "validated"}
    has_shape(found, document(currency, **totals, billing_event_currency=currency))
    assert found["number"].startswith("SIN-")


async def test_a_document_is_the_same_as_in_its_fact(seeded: Seeded) -> None:
    (fact,) = [
        each
        for each in seeded.system.facts("accounting.document.validated.v1")
        if each["document_id"] == seeded.document_id
    ]
    found = await get(seeded, f"/documents/{seeded.document_id}")
    assert {name: found[name] for name in fact} == fact


async def test_a_draft_has_no_number_yet(seeded: Seeded) -> None:
    draft = await get(seeded, f"/documents/{seeded.draft_id}")
    has_shape(draft, document("GBP", status="draft", number=f"DRAFT-{seeded.draft_id}", billing_run_id="R-1"))


async def test_lists_of_documents(seeded: Seeded) -> None:
    page = await get(seeded, f"/documents?status=draft&billing_run_id={seeding.RUN}")
    has_shape(page, {"items": Filled(head("GBP") | {"status": "draft"}), "next_cursor": None})
    first = await get(seeded, "/documents?kind=sales_invoice&account_id=A-1&limit=1")
    has_shape(first, {"items": Filled({"kind": "sales_invoice"}), "next_cursor": text})


async def test_eligibility(seeded: Seeded) -> None:
    expected = {"billing_event_id": seeding.PASSED, "eligible": False, "reasons": Filled(REASON)}
    has_shape(await get(seeded, f"/billing-events/{seeding.PASSED}/eligibility"), expected)
    eligible = {"billing_event_id": seeding.OPTIMISED, "eligible": True, "reasons": []}
    has_shape(await get(seeded, f"/billing-events/{seeding.OPTIMISED}/eligibility"), eligible)


async def test_process_runs(seeded: Seeded) -> None:
    totals = {
        "GBP": {"invoices": "1234.50", "credit_notes": "0.00"},
        "JPY": {"invoices": "1500", "credit_notes": "0"},
        "KWD": {"invoices": "1.250", "credit_notes": "0.000"},
    }
    run = await get(seeded, f"/process-runs/{seeded.process_run_id}")
    has_shape(run, RUN | {"process_run_id": seeded.process_run_id, "invoices": 3, "totals": totals})
    has_shape(await get(seeded, "/process-runs"), {"items": Filled(RUN), "next_cursor": None})


async def test_a_process_runs_log(seeded: Seeded) -> None:
    entry = {
        "billing_event_id": identifier,
        "result": one_of("ok", "warning", "error", "pending"),
        "document_id": Optional(identifier),
        "reasons": [REASON],
        "time": Optional(instant),
    }
    log = await get(seeded, f"/process-runs/{seeded.process_run_id}/log")
    has_shape(log, {"items": Filled(entry), "next_cursor": None})
    passed = next(each for each in log["items"] if each["billing_event_id"] == seeding.PASSED)
    has_shape(passed, entry | {"result": "ok", "document_id": seeded.document_id, "reasons": []})


async def test_validating_a_selection(seeded: Seeded) -> None:
    async with seeded.system.client("accounting-connector") as client:
        body = {"select": {"billing_event_ids": [seeding.PASSED, seeding.WAITING]}, "waive_released": True}
        response = await client.post("/process-runs/validate", json=body)
    assert response.status_code == 200
    failure = {"billing_event_id": seeding.PASSED, "reasons": Filled(REASON)}
    has_shape(response.json(), {"checked": 2, "would_fail": Filled(failure), "validated": True})


async def test_company_settings(seeded: Seeded) -> None:
    rule = {
        "services_product": None,
        "country": "GB",
        "buyer": None,
        "category": "S",
        "rate": "20",
        "reason": None,
        "reason_code": None,
        "valid_from": None,
        "valid_to": None,
    }
    expected = {
        "mappings": [],
        "event_criteria": [],
        "item_criteria": [],
        "tax_rules": [rule],
        "on_tax_rule_missing": None,
        "date_order": None,
        "days_ahead_max": None,
        "closed_through": None,
        "reason": None,
        "schedule": None,
        "auto_pass_field": None,
        "documents_elsewhere": False,
        "additional_recipients": "books@example.com",
        "payment_days": 30,
    }
    has_shape(seeded.answers["company settings"], expected)
    has_shape(await get(seeded, f"/companies/{seeding.COMPANY}/settings"), expected)


async def test_the_contracts_company_settings_are_taken(seeded: Seeded) -> None:
    body = {
        "mappings": [
            {"target": "engagement", "source": "fields.note"},
            {"target": "lines.note", "value": "n"},
        ],
        "event_criteria": ['currency == "GBP"'],
        "item_criteria": ['category != "expense"'],
        "tax_rules": [
            {
                "services_product": "Survey",
                "country": "EU",
                "buyer": "business",
                "category": "AE",
                "rate": "0",
                "reason": None,
                "reason_code": "VATEX-EU-AE",
                "valid_from": "2026-01-01",
                "valid_to": None,
            }
        ],
        "on_tax_rule_missing": "zero_rated",
        "date_order": "refuse",
        "days_ahead_max": 0,
        "closed_through": "2026-01-31",
        "reason": "The books of January are closed",
        "schedule": {"every": "day", "at": "02:00", "weekday": None, "day": None},
        "auto_pass_field": "pass_it",
        "documents_elsewhere": False,
        "additional_recipients": "a@x.example;b@x.example",
        "payment_days": 30,
    }
    async with seeded.system.client("accounting-connector") as client:
        before = (await client.get(f"/companies/{seeding.COMPANY}/settings")).json()
        put = await client.put(f"/companies/{seeding.COMPANY}/settings", json=body)
        assert put.status_code == 200, put.text
        has_shape((await client.get(f"/companies/{seeding.COMPANY}/settings")).json(), body)
        names = set(body)
        undone = {name: value for name, value in before.items() if name in names} | {"reason": "Undone"}
        assert (await client.put(f"/companies/{seeding.COMPANY}/settings", json=undone)).status_code == 200


async def test_the_reconciliation(seeded: Seeded) -> None:
    check = {"check": text, "balanced": True, "differences": []}
    has_shape(await get(seeded, "/reconciliation"), {"balanced": True, "checks": Filled(check)})


@pytest.mark.parametrize(
    "path",
    [
        "/documents/D-NONE",
        "/documents/D-NONE.xml",
        "/documents/D-NONE.pdf",
        "/billing-events/BE-NONE/eligibility",
        "/process-runs/PR-NONE",
        "/process-runs/PR-NONE/log",
        "/companies/C-NONE/settings",
    ],
)
async def test_an_unknown_id(seeded: Seeded, path: str) -> None:
    has_shape(await get(seeded, path, 404), PROBLEM | {"code": "not_found", "status": 404})
