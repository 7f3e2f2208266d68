"""What the billing-runs service answers (contract.md section 2, Shapes)."""

from typing import Any, Final

import pytest

from contract.http.shapes import (
    PROBLEM,
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
    one_of,
    text,
)
from support import seeding
from support.seeding import Seeded

ACTION: Final = {"action": text, "leads_to": text, "indicator": one_of(None, "running", "failed", "warning")}
SETTINGS: Final = {
    "run_id": identifier,
    "kind": one_of("exceptional", "cycle"),
    "process_type": one_of("manual", "automatic", "full_automatic"),
    "scope": anything,
    "invoice_date": Optional(day),
    "collection_date": Optional(day),
    "grouping": one_of("billing_event", "account"),
    "skip_validation_rules": flag,
    "recompute_dates_at_validation": flag,
    "incremental": flag,
    "on_rejected": text,
    "on_suspect": text,
    "release_first": flag,
    "threshold": Optional({"amount": text, "currency": text}),
    "description": text,
}
RUN: Final = SETTINGS | {
    "status": text,
    "execution": one_of("idle", "queued", "running", "failed"),
    "disabled": flag,
    "quarantine_run_id": Optional(identifier),
    "quarantine_of": Optional(identifier),
    "available_actions": [ACTION],
}
FINDING: Final = {"rule": text, "outcome": text, "message": text, "overridden": flag}


async def call(seeded: Seeded, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    async with seeded.system.client("billing-runs") as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    return response.json()


async def test_a_run(seeded: Seeded) -> None:
    created = {"status": "new", "execution": "idle", "scope": {"billing_event_ids": ["BE-CAP", "BE-RUN"]}}
    has_shape(seeded.answers["billing run"], RUN | created)
    run = await call(seeded, "GET", f"/billing-runs/{seeding.RUN}")
    reached = {"status": "draft_invoices", "threshold": {"amount": "10.00", "currency": "GBP"}}
    has_shape(run, RUN | reached | {"available_actions": Filled(ACTION)})
    assert {"process", "cancel", "disable"} <= {each["action"] for each in run["available_actions"]}
    has_shape(
        await call(seeded, "GET", "/billing-runs?limit=100"), {"items": Filled(RUN), "next_cursor": None}
    )


async def test_the_contracts_run_is_taken_and_its_actions_answer_with_it(seeded: Seeded) -> None:
    body = {
        "run_id": None,
        "kind": "cycle",
        "process_type": "manual",
        "scope": {
            "billing_cycle_id": seeding.CYCLE,
            "date_from": "2030-01-01",
            "last_transaction_date": "2030-02-01",
        },
        "invoice_date": "2030-02-01",
        "collection_date": "2030-03-01",
        "grouping": "account",
        "skip_validation_rules": False,
        "recompute_dates_at_validation": False,
        "incremental": False,
        "on_rejected": "move",
        "on_suspect": "manual_action",
        "release_first": False,
        "threshold": {"amount": "5", "currency": "JPY"},
        "description": None,
    }
    run = await call(seeded, "POST", "/billing-runs", body, status=201)
    has_shape(run, RUN | {name: value for name, value in body.items() if value is not None})
    path = f"/billing-runs/{run['run_id']}"
    assert run["description"].startswith(f"Billing run {run['run_id']} (cycle {seeding.CYCLE}; ")
    has_shape(await call(seeded, "PATCH", path, {"description": "Mine"}), RUN | {"description": "Mine"})
    has_shape(await call(seeded, "POST", f"{path}/disable"), RUN | {"disabled": True})
    refused = await call(seeded, "POST", f"{path}/process", status=409)
    has_shape(refused, PROBLEM | {"code": "run_disabled"})
    has_shape(await call(seeded, "POST", f"{path}/enable"), RUN | {"disabled": False})
    refused = await call(seeded, "POST", f"{path}/close", status=409)
    has_shape(refused, PROBLEM | {"code": "action_not_available"})
    refused = await call(seeded, "POST", f"{path}/render", {"format": "pdf"}, status=409)
    has_shape(refused, PROBLEM | {"code": "action_not_available"})
    queued = {"status": "creating_invoice_lines", "execution": "queued"}
    has_shape(await call(seeded, "POST", f"{path}/process", status=202), RUN | queued)
    running = await call(seeded, "POST", f"{path}/process", status=409)
    assert running["code"] in {"step_running", "action_not_available"}


async def test_executions_and_statistics(seeded: Seeded) -> None:
    execution = {
        "execution_id": identifier,
        "step": text,
        "status": text,
        "started_at": instant,
        "ended_at": Optional(instant),
        "to_do": count,
        "done": count,
        "warnings": count,
        "errors": count,
        "log": [anything],
    }
    report = await call(seeded, "GET", f"/billing-runs/{seeding.RUN}/executions")
    has_shape(report, {"items": Filled(execution), "next_cursor": None})
    figures = await call(seeded, "GET", f"/billing-runs/{seeding.RUN}/statistics")
    expected: dict[str, Any] = {"preview": False, "accounts": 1, "projects": 2, "events": 2, "items": 3}
    expected |= {"amounts": {"GBP": "30250.00"}, "by_category": {"milestone": anything}}
    has_shape(figures, expected | {"top_accounts": Filled(Each(text)), "documents": Each(anything)})


async def test_a_runs_documents(seeded: Seeded) -> None:
    document = {
        "document_id": identifier,
        "kind": "sales_invoice",
        "status": "draft",
        "number": text,
        "date": day,
        "currency": "GBP",
        "account": {"id": "A-1", "name": text},
        "total_net": amount("GBP"),
        "total_gross": amount("GBP"),
        "billing_run_id": seeding.RUN,
        "review": one_of("draft", "suspect"),
        "findings": [FINDING],
        "rejected_by": None,
        "reason": None,
        "available_actions": Filled({"action": text}),
    }
    path = f"/billing-runs/{seeding.RUN}/documents"
    has_shape(await call(seeded, "GET", path), {"items": Filled(document), "next_cursor": None})
    found = await call(
        seeded,
        "GET",
        f"{path}?review=suspect&kind=sales_invoice&account_id=A-1&company_id=C-UK&currency=GBP"
        f"&date_from=2026-11-01&date_to=2026-11-30&amount_min=30000.00&amount_max=30000&rule={seeding.RULE}",
    )
    finding = {
        "rule": seeding.RULE,
        "outcome": "suspect",
        "message": "rule",
        "overridden": False,
        "version": 1,
    }
    has_shape(
        found["items"], Filled(document | {"document_id": seeded.draft_id, "findings": Filled(finding)})
    )
    assert len(found["items"]) == 1
    by_number = await call(seeded, "GET", f"{path}?number=DRAFT-{seeded.draft_id}")
    assert [each["document_id"] for each in by_number["items"]] == [seeded.draft_id]


async def test_a_review(seeded: Seeded) -> None:
    body = {"action": "recheck", "select": {"document_ids": [seeded.draft_id, "D-NONE"]}, "reason": None}
    path = f"/billing-runs/{seeding.RUN}/documents/review"
    answer = await call(seeded, "POST", path, body | {"billing_events": None})
    result = {
        "document_id": identifier,
        "result": one_of("done", "queued", "refused"),
        "code": Optional(text),
    }
    has_shape(answer, {"results": Filled(result)})
    assert {each["document_id"]: each["result"] for each in answer["results"]} == {
        seeded.draft_id: "done",
        "D-NONE": "refused",
    }
    refused = await call(
        seeded, "POST", path, {"action": "cancel", "select": {"document_ids": ["D-1"]}}, status=422
    )
    has_shape(refused, PROBLEM | {"code": "validation_failed"})


async def test_rules_and_cycles(seeded: Seeded) -> None:
    rule: dict[str, Any] = {
        "kind": None,
        "priority": 10,
        "active_from": "2999-01-01",  # so that it says nothing of other tests' documents
        "active_to": None,
        "fail_status": "rejected",
        "mode": "validation",
        "expression": "total_net <= 10000",
        "combine": None,
        "children": [],
        "message": "too large",
    }
    has_shape(await call(seeded, "PUT", "/rules/CONTRACT", rule), rule)
    has_shape(await call(seeded, "GET", "/rules/CONTRACT"), rule)
    tried = await call(seeded, "POST", "/rules/CONTRACT/test", {"document_id": seeded.draft_id})
    has_shape(tried, {"passed": False, "findings": Filled(FINDING)})
    children = [
        {"mode": "condition", "expression": "total_net > 100"},
        {"mode": "rejection", "expression": "true"},
    ]
    rule_set = rule | {"expression": None, "combine": "and", "children": children}
    has_shape(await call(seeded, "PUT", "/rules/CONTRACT-SET", rule_set), rule_set)
    cycle = {"name": "Monthly", "accounts": ["A-1"], "frequency": "monthly", "cut_off_day": 25}
    has_shape(await call(seeded, "PUT", "/billing-cycles/CONTRACT", cycle), cycle)
    has_shape(await call(seeded, "GET", "/billing-cycles/CONTRACT"), cycle)


@pytest.mark.parametrize(
    "path",
    [
        "/billing-runs/R-NONE",
        "/billing-runs/R-NONE/executions",
        "/billing-runs/R-NONE/statistics",
        "/billing-runs/R-NONE/documents",
        "/rules/NONE",
        "/billing-cycles/NONE",
    ],
)
async def test_an_unknown_id(seeded: Seeded, path: str) -> None:
    has_shape(await call(seeded, "GET", path, status=404), PROBLEM | {"code": "not_found", "status": 404})
