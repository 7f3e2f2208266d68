"""What the release service answers (contract.md section 2, Shapes)."""

from typing import Any, Final

import pytest

from contract.http.shapes import (
    PROBLEM,
    REASON,
    REFUSAL,
    STARTER,
    Each,
    Filled,
    Optional,
    amount,
    anything,
    count,
    day,
    flag,
    has_shape,
    identifier,
    instant,
    number,
    one_of,
    text,
)
from support import seeding
from support.seeding import Seeded

ADJUSTMENT: Final = {"item_id": identifier, "amount": amount("GBP"), "budget_id": identifier} | {
    "billing_event_id": identifier
}
CAP: Final = {"level": one_of("project", "budget")} | {
    name: amount("GBP") for name in ("bookings", "remaining_before", "remaining_after")
}
RESULT: Final = {
    "billing_event_id": identifier,
    "outcome": one_of("released", "split"),
    "released_item_ids": [identifier],
    "moved_item_ids": [identifier],
    "adjustments": [ADJUSTMENT],
    "new_billing_event_id": Optional(identifier),
    "cap": Optional(CAP),
    "warnings": [],
}
JOB: Final = {
    "job_id": identifier,
    "status": one_of("queued", "running", "completed", "completed_with_errors", "stopped", "failed"),
    "and_invoice": flag,
    "process_run_id": Optional(identifier),
    "starter": STARTER,
    "released": count,
    "failed": count,
    "stopped": count,
    "pending": count,
    "failures": [{"billing_event_id": identifier, "reasons": Filled(REASON)}],
    "links": {"log": text, "page": text},
}
EVENT_WITHOUT_ITEMS: Final = {
    "version": count,
    "project_id": identifier,
    "batch_id": Optional(identifier),
    "date": day,
    "account_id": Optional(identifier),
    "company_id": Optional(identifier),
    "billing_event_currency": Optional(text),
    "customer_reference": Optional(text),
    "auto_pass_to_accounting": flag,
    "stage": text,
    "released": flag,
    "released_at": Optional(instant),
    "invoiced": flag,
    "invoice_number": Optional(text),
    "invoice_date": Optional(day),
    "document_id": Optional(identifier),
    "origin_id": Optional(identifier),
    "root_id": Optional(identifier),
    "made_by_cap": flag,
    "on_hold": flag,
    "conflict": anything,
    "missing": [text],
    "filled": anything,
}


def item(currency: str) -> dict[str, Any]:
    return {
        "item_id": identifier,
        "created_at": instant,
        "category": text,
        "business_record_id": Optional(identifier),
        "date": Optional(day),
        "description": Optional(text),
        "quantity": number,
        "unit_price": number,
        "amount": amount(currency),
        "services_product": Optional(text),
        "services_product_from": Optional(text),
        "budget_id": Optional(identifier),
        "released": flag,
        "invoiced": flag,
        "billed": flag,
        "left_out": flag,
        "adjusts_item_id": Optional(identifier),
    }


async def get(seeded: Seeded, path: str, status: int = 200) -> Any:
    async with seeded.system.client("release") as client:
        response = await client.get(path)
    assert response.status_code == status, response.text
    return response.json()


@pytest.mark.parametrize(
    ("billing_event_id", "currency", "summary_amount"),
    [
        (seeding.WAITING, "GBP", "150.10"),
        (seeding.PASSED, "GBP", "1234.50"),
        ("BE-JPY", "JPY", "1500"),
        ("BE-KWD", "KWD", "1.250"),
        (f"{seeding.SPLIT}.2", "GBP", "140.00"),
        (f"{seeding.OPTIMISED}.2", "GBP", "1.00"),
        (seeding.INCOMPLETE, "GBP", "1.00"),
    ],
)
async def test_a_billing_event(
    seeded: Seeded, billing_event_id: str, currency: str, summary_amount: str
) -> None:
    event = await get(seeded, f"/billing-events/{billing_event_id}")
    exact = {"billing_event_id": billing_event_id, "currency": currency, "summary_amount": summary_amount}
    has_shape(event, EVENT_WITHOUT_ITEMS | exact | {"items": Filled(item(currency))})


async def test_an_invoiced_event_says_by_what(seeded: Seeded) -> None:
    event = await get(seeded, f"/billing-events/{seeding.PASSED}")
    expected = {"stage": "invoiced", "released": True, "invoiced": True, "released_at": instant}
    written_back = {"invoice_number": text, "invoice_date": day, "document_id": seeded.document_id}
    has_shape(event, expected | written_back | {"filled": Each(text), "missing": []})
    assert event["filled"]["account_id"] == "project"
    has_shape(event["items"], Filled({"released": True, "invoiced": True, "billed": True}))


async def test_a_list_of_billing_events(seeded: Seeded) -> None:
    page = await get(seeded, f"/billing-events?limit=3&project_id={seeding.PROJECT}&currency=GBP")
    has_shape(page, {"items": Filled(EVENT_WITHOUT_ITEMS), "next_cursor": None})
    first = await get(seeded, "/billing-events?limit=1")
    has_shape(first, {"items": Filled(EVENT_WITHOUT_ITEMS), "next_cursor": text})


async def test_a_release_that_splits(seeded: Seeded) -> None:
    has_shape(seeded.answers["split"], RESULT)
    assert seeded.answers["split"] | {"adjustments": []} == {
        "billing_event_id": "BE-CAP",
        "outcome": "split",
        "released_item_ids": ["BE-CAP-1", "BE-CAP-2"],
        "moved_item_ids": ["BE-CAP-3"],
        "adjustments": [],
        "new_billing_event_id": "BE-CAP.2",
        "cap": seeded.answers["split"]["cap"],
        "warnings": [],
    }
    cap = {"level": "project", "bookings": "300.00", "remaining_before": "300.00", "remaining_after": "50.00"}
    has_shape(seeded.answers["split"]["cap"], cap)


async def test_a_release_that_optimises_a_budget(seeded: Seeded) -> None:
    has_shape(seeded.answers["optimised"], RESULT | {"adjustments": Filled(ADJUSTMENT), "cap": CAP})
    assert sorted(each["amount"] for each in seeded.answers["optimised"]["adjustments"]) == ["-1.00", "1.00"]


async def test_a_release_that_is_offered_or_refused(seeded: Seeded) -> None:
    has_shape(seeded.answers["split required"], REFUSAL | {"code": "split_required", "preview": RESULT})
    has_shape(seeded.answers["no item fits"], REFUSAL | {"code": "no_item_fits", "preview": None})
    preview = await get(seeded, f"/billing-events/{seeding.TOO_LARGE}/release-preview")
    has_shape(preview, {"billing_event_id": seeding.TOO_LARGE, "reasons": Filled(REASON)})


async def test_jobs(seeded: Seeded) -> None:
    has_shape(seeded.answers["job"], JOB | {"status": "queued"})
    done = await get(seeded, f"/release-jobs/{seeded.job_id}")
    has_shape(done, JOB | {"status": "completed", "released": 4, "failed": 0})
    failed = await get(seeded, f"/release-jobs/{seeded.answers['failing job']['job_id']}")
    failures = Filled({"billing_event_id": identifier, "reasons": Filled(REASON), "can_be_split": flag})
    has_shape(failed, JOB | {"status": "completed_with_errors", "failed": 2, "failures": failures})
    has_shape(await get(seeded, "/release-jobs?starter=u1"), {"items": Filled(JOB), "next_cursor": None})


async def test_a_jobs_log(seeded: Seeded) -> None:
    entry = {"billing_event_id": identifier, "document_id": Optional(identifier), "time": instant}
    log = await get(seeded, f"/release-jobs/{seeded.job_id}/log")
    has_shape(log, {"items": Filled(entry | {"result": "ok", "reasons": []}), "next_cursor": None})
    log = await get(seeded, f"/release-jobs/{seeded.answers['failing job']['job_id']}/log")
    has_shape(log["items"], Filled(entry | {"result": "error", "reasons": Filled(REASON)}))


async def test_validating_a_selection(seeded: Seeded) -> None:
    async with seeded.system.client("release") as client:
        body = {"select": {"billing_event_ids": [seeding.TOO_LARGE, seeding.WAITING]}}
        response = await client.post("/release-jobs/validate", json=body)
    assert response.status_code == 200
    failure = {"billing_event_id": identifier, "reasons": Filled(REASON)}
    shape = {"checked": 2, "would_fail": Filled(failure), "held_back": [seeding.WAITING], "validated": True}
    has_shape(response.json(), shape)
    codes = {each["billing_event_id"]: each["reasons"][0]["code"] for each in response.json()["would_fail"]}
    assert codes == {seeding.TOO_LARGE: "cap_exceeded"}


async def test_stopping_a_job_that_is_over(seeded: Seeded) -> None:
    async with seeded.system.client("release") as client:
        response = await client.post(f"/release-jobs/{seeded.job_id}/stop")
    assert response.status_code == 202
    has_shape(response.json(), JOB | {"status": "completed", "stopped": 0, "pending": 0})


async def test_a_project_cap(seeded: Seeded) -> None:
    cap = await get(seeded, f"/projects/{seeding.CAPPED}/cap")
    figures = {"bookings": "300.00", "released": "250.00", "remaining": "50.00"}
    has_shape(
        cap,
        figures
        | {"project_id": seeding.CAPPED, "tracked": True, "enforced": True, "budgets": []}
        | {"alert_threshold": number},
    )
    budgets = (await get(seeded, f"/projects/{seeding.BUDGETED}/cap"))["budgets"]
    assert [
        {
            name: budget[name]
            for name in ("budget_id", "amount", "enforced", "tolerance", "released", "remaining")
        }
        for budget in budgets
    ] == [
        {
            "budget_id": "B-1",
            "amount": "12000.00",
            "enforced": True,
            "tolerance": "0.99",
            "released": "12000.00",
            "remaining": "0.00",
        }
    ]


@pytest.mark.parametrize(("project_id", "currency"), seeding.CURRENCIES.items())
async def test_a_cap_ledger(seeded: Seeded, project_id: str, currency: str) -> None:
    entry = {
        "entry_id": anything,
        "time": instant,
        "billing_event_id": identifier,
        "budget_id": Optional(identifier),
        "amount": amount(currency),
        "currency": currency,
        "released_after": amount(currency),
        "decision": anything,
    }
    ledger = await get(seeded, f"/projects/{project_id}/cap/ledger")
    has_shape(ledger, {"items": Filled(entry), "next_cursor": None})


async def test_batches_and_history(seeded: Seeded) -> None:
    batch = {"batch_id": seeding.BATCH, "released": False}
    has_shape(await get(seeded, f"/billing-event-batches/{seeding.BATCH}"), batch)
    has_shape(await get(seeded, "/billing-event-batches"), {"items": Filled(batch), "next_cursor": None})
    entry = {"time": instant, "what": text, "detail": anything}
    history = await get(seeded, f"/billing-events/{seeding.SPLIT}/history")
    has_shape(history, {"items": Filled(entry), "next_cursor": None})


async def test_the_reconciliation(seeded: Seeded) -> None:
    check = {"check": text, "balanced": True, "differences": []}
    has_shape(await get(seeded, "/reconciliation"), {"balanced": True, "checks": Filled(check)})


@pytest.mark.parametrize(
    "path",
    [
        "/billing-events/BE-NONE",
        "/billing-events/BE-NONE/history",
        "/billing-events/BE-NONE/release-preview",
        "/billing-event-batches/BB-NONE",
        "/release-jobs/J-NONE",
        "/release-jobs/J-NONE/log",
        "/projects/P-NONE/cap",
        "/projects/P-NONE/cap/ledger",
    ],
)
async def test_an_unknown_id(seeded: Seeded, path: str) -> None:
    has_shape(await get(seeded, path, 404), PROBLEM | {"code": "not_found", "status": 404})


@pytest.mark.parametrize(
    "select",
    [
        {"billing_event_ids": []},
        {"batch_ids": []},
        {},
        {"billing_event_ids": ["BE-1"], "batch_ids": ["BB-1"]},
        {"filter": {"colour": "red"}},
    ],
)
async def test_a_selection_that_is_none(seeded: Seeded, select: dict[str, Any]) -> None:
    async with seeded.system.client("release") as client:
        for path in ("/release-jobs", "/release-jobs/validate"):
            response = await client.post(path, json={"select": select})
            assert response.status_code == 422, path
            has_shape(response.json(), PROBLEM | {"code": "validation_failed"})
    async with seeded.system.client("accounting-connector") as client:
        for path in ("/process-runs", "/process-runs/validate"):
            response = await client.post(path, json={"select": select})
            assert response.status_code == 422, path
    async with seeded.system.client("billing-runs") as client:
        response = await client.post("/billing-runs", json={"scope": select, "invoice_date": "2026-11-30"})
        assert response.status_code == 422
