"""The calls of the billing-runs service (contract.md section 2)."""

from datetime import UTC, datetime
from typing import Any

import httpx
import time_machine

from integration.billing_runs.driver import Connector, Runs, command, create, event
from unit.shared.http.sample import Issuer

RUN: dict[str, Any] = {
    "run_id": "R-1",
    "kind": "exceptional",
    "process_type": "manual",
    "scope": {"filter": {"project_id": "P-1", "date_to": "2026-11-20"}},
    "invoice_date": "2026-11-30",
    "threshold": {"amount": "10", "currency": "GBP"},
}


async def test_a_run_is_created_looked_at_and_processed(runs: Runs, client: httpx.AsyncClient) -> None:
    await runs.know(event("BE-1"), event("BE-2", date="2026-11-21"))

    created = await client.post("/billing-runs", json=RUN)

    assert created.status_code == 201
    body = created.json()
    assert body["status"] == "new"
    assert body["execution"] == "idle"
    assert body["description"] == "Billing run R-1 (exceptional; invoice date 2026-11-30)"
    assert body["threshold"] == {"amount": "10.00", "currency": "GBP"}
    assert body["available_actions"][0] == {
        "action": "process",
        "leads_to": "creating_invoice_lines",
        "indicator": None,
    }
    assert (await client.post("/billing-runs", json=RUN)).json() == body
    assert (await client.post("/billing-runs", json=RUN | {"incremental": True})).status_code == 409

    processed = await client.post("/billing-runs/R-1/process")
    assert processed.status_code == 202
    assert (processed.json()["status"], processed.json()["execution"]) == ("creating_invoice_lines", "queued")
    again = await client.post("/billing-runs/R-1/process")
    assert (again.status_code, again.json()["code"]) == (409, "step_running")
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft"}
    report = (await client.get("/billing-runs/R-1/executions")).json()["items"]
    assert [(each["step"], each["status"], each["to_do"], each["done"]) for each in report] == [
        ("invoice_lines", "completed", 1, 1)
    ]
    events = (await client.get("/billing-runs/R-1/billing-events")).json()["items"]
    assert [(each["billing_event_id"], each["state"], each["amount"]) for each in events] == [
        ("BE-1", "draft", "100.00")
    ]


async def test_refusals_have_their_codes_in_their_order(runs: Runs, client: httpx.AsyncClient) -> None:
    await client.post("/billing-runs", json=RUN)

    async def code_of(action: str, **body: Any) -> tuple[int, str]:
        answer = await client.post(f"/billing-runs/R-1/{action}", json=body or None)
        return answer.status_code, answer.json()["code"]

    assert await code_of("close") == (409, "action_not_available")
    assert await code_of("render", format="pdf") == (409, "action_not_available")
    assert (await client.post("/billing-runs/R-1/disable")).json()["disabled"] is True
    assert await code_of("process") == (409, "run_disabled")
    assert (await client.post("/billing-runs/R-1/enable")).status_code == 200
    assert await code_of("enable") == (409, "action_not_available")
    for path in ("", "/executions", "/statistics", "/documents", "/billing-events"):
        answer = await client.get(f"/billing-runs/R-9{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await client.post("/billing-runs/R-9/process")).status_code == 404


async def test_what_does_not_fit_is_refused_by_field(client: httpx.AsyncClient) -> None:
    wrong = await client.post("/billing-runs", json=RUN | {"collection_date": "2026-11-29"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "collection_date")
    empty = await client.post("/billing-runs", json=RUN | {"scope": {"billing_event_ids": []}})
    assert empty.status_code == 422
    filtered = await client.get("/billing-runs/R-1/documents", params={"colour": "red"})
    assert filtered.status_code == 422


async def test_the_description_is_saved(runs: Runs, client: httpx.AsyncClient) -> None:
    await client.post("/billing-runs", json=RUN)

    saved = await client.patch("/billing-runs/R-1", json={"description": "November"})

    assert (saved.status_code, saved.json()["description"]) == (200, "November")
    assert (await client.patch("/billing-runs/R-1", json={"status": "validated"})).status_code == 422


async def test_runs_are_listed_the_latest_first_by_status_and_kind(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    window = {"billing_cycle_id": "MONTHLY", "date_from": "2026-11-01", "last_transaction_date": "2026-12-01"}
    await runs.command(create("R-1"))
    await runs.command(create("R-2", kind="cycle", scope=window))
    await runs.command(create("R-3"), command("process", "R-3"))

    async def listed(**query: Any) -> list[str]:
        answer = await client.get("/billing-runs", params=query)
        return [each["run_id"] for each in answer.json()["items"]]

    assert await listed() == ["R-3", "R-2", "R-1"]
    assert await listed(kind="cycle") == ["R-2"]
    assert await listed(status="new") == ["R-2", "R-1"]
    assert await listed(status="new", kind="exceptional") == ["R-1"]
    page = (await client.get("/billing-runs", params={"limit": 2})).json()
    assert await listed(limit=2, cursor=page["next_cursor"]) == ["R-1"]


async def test_an_idempotency_key_has_one_effect(runs: Runs, client: httpx.AsyncClient) -> None:
    await client.post("/billing-runs", json=RUN)
    key = {"Idempotency-Key": "k-1"}
    first = await client.post("/billing-runs/R-1/process", headers=key)
    await runs.settle()

    second = await client.post("/billing-runs/R-1/process", headers=key)

    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert await runs.state() == ("invoice_lines_created", "idle")


async def test_statistics_preview_the_same_events_that_are_claimed(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await runs.know(
        event("BE-1", "100.00"), event("BE-2", "50.00", account_id="A-2"), event("BE-3", stage="closed")
    )
    await client.post("/billing-runs", json=RUN | {"scope": {"filter": {}}})

    preview = (await client.get("/billing-runs/R-1/statistics")).json()
    await runs.command(command("process"))
    await runs.settle()
    final = (await client.get("/billing-runs/R-1/statistics")).json()

    assert (preview["preview"], final["preview"]) == (True, False)
    for figures in (preview, final):
        assert (figures["accounts"], figures["projects"], figures["events"], figures["items"]) == (2, 1, 2, 2)
        assert figures["amounts"] == {"GBP": "150.00"}
        assert figures["by_category"] == {"timecard": {"GBP": "150.00"}}
        assert figures["top_accounts"][0] == {"account_id": "A-1", "currency": "GBP", "amount": "100.00"}


async def test_documents_are_listed_by_filter_and_page(runs: Runs, client: httpx.AsyncClient) -> None:
    eur = {"currency": "EUR", "billing_event_currency": "EUR", "company_id": "C-FR"}
    await runs.know(
        event("BE-1", "100.00"), event("BE-2", "200.00", account_id="A-2"), event("BE-3", "-5.00", **eur)
    )
    rule = {"fail_status": "rejected", "expression": "total_net <= 150"}
    assert (await client.put("/rules/LIMIT", json=rule)).status_code == 200
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()

    async def listed(**query: Any) -> list[str]:
        answer = await client.get("/billing-runs/R-1/documents", params=query)
        assert answer.status_code == 200, answer.text
        return [each["document_id"] for each in answer.json()["items"]]

    assert await listed() == ["D-BE-1", "D-BE-2", "D-BE-3"]
    assert await listed(kind="sales_credit_note") == ["D-BE-3"]
    assert await listed(account_id="A-2") == ["D-BE-2"]
    assert await listed(amount_min="100.00", amount_max="150") == ["D-BE-1"]
    assert await listed(date_from="2026-11-30", date_to="2026-11-30") == ["D-BE-1", "D-BE-2", "D-BE-3"]
    assert await listed(date_from="2026-12-01") == []
    assert await listed(date_to="2026-11-29") == []
    assert await listed(review="rejected") == ["D-BE-2"]
    assert await listed(rule="LIMIT") == ["D-BE-2"]
    assert await listed(rule="OTHER") == []
    assert await listed(company_id="C-FR") == ["D-BE-3"]
    assert await listed(currency="EUR") == ["D-BE-3"]
    assert await listed(number="DRAFT-D-BE-2") == ["D-BE-2"]
    page = (await client.get("/billing-runs/R-1/documents", params={"limit": 2})).json()
    assert await listed(limit=2, cursor=page["next_cursor"]) == ["D-BE-3"]
    head = page["items"][0]
    assert "lines" not in head
    assert (head["total_net"], head["review"], head["billing_run_id"]) == ("100.00", "draft", "R-1")
    assert [each["action"] for each in head["available_actions"]] == [
        "validate",
        "reject",
        "quarantine",
        "cancel",
        "recheck",
    ]


async def test_a_document_is_shown_and_tried_as_it_was_numbered(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(recompute_dates_at_validation=True))
    with time_machine.travel(datetime(2026, 12, 3, 12, tzinfo=UTC)):
        for _ in range(3):
            await runs.command(command("process"))
            await runs.settle()

    [shown] = (await client.get("/billing-runs/R-1/documents")).json()["items"]

    assert (shown["status"], shown["review"], shown["number"]) == (
        "validated",
        "validated",
        "SIN-2026-000001",
    )
    assert (shown["date"], shown["due_date"]) == ("2026-12-03", "2026-12-30")
    rule = {
        "fail_status": "suspect",
        "expression": 'number == "SIN-2026-000001" and due_date == "2026-12-30"',
    }
    await client.put("/rules/NUMBER", json=rule)
    tried = await client.post("/rules/NUMBER/test", json={"document_ids": ["D-BE-1"]})
    assert tried.json()["results"] == [
        {"document_id": "D-BE-1", "applies": True, "passed": True, "findings": []}
    ]


async def test_only_documents_without_a_current_file_are_rendered(
    runs: Runs, client: httpx.AsyncClient, connector: Connector
) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()
    connector.failed_files["D-BE-2"] = "currency_not_expressible"

    answer = await client.post("/billing-runs/R-1/render", json={"format": "xml"})
    assert (answer.status_code, answer.json()["status"]) == (202, "draft_invoices")
    assert answer.json()["execution"] == "queued"
    await runs.settle()
    run = (await client.get("/billing-runs/R-1")).json()
    assert (run["status"], run["execution"]) == ("draft_invoices", "idle")
    [render] = [each for each in run["available_actions"] if each["action"] == "render"]
    assert render["indicator"] == "warning"

    await client.post("/billing-runs/R-1/render", json={"format": "xml"})
    await runs.work()
    [asked] = await runs.take_published("accounting.")
    assert asked.body["document_ids"] == ["D-BE-2"]
    await runs.accounting_facts(*connector.answer([asked]))
    await runs.work()
    await runs.command(command("process"))
    await runs.settle()
    files = [each["files"] for each in (await client.get("/billing-runs/R-1/documents")).json()["items"]]
    assert files == [{"xml": "stale", "pdf": "none"}, {"xml": "stale", "pdf": "none"}]


async def test_a_cycle_is_described_and_runs_take_the_events_of_its_accounts(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    cycle = {"name": "Monthly", "accounts": ["A-1"], "frequency": "monthly", "cut_off_day": 25}
    saved = await client.put("/billing-cycles/MONTHLY", json=cycle)
    assert saved.json() == cycle | {"billing_cycle_id": "MONTHLY"}
    assert (await client.get("/billing-cycles/MONTHLY")).json() == saved.json()
    await runs.know(
        event("BE-1", date="2026-11-01"),
        event("BE-2", date="2026-12-01"),
        event("BE-3", date="2026-11-30"),
        event("BE-4", account_id="A-2"),
    )
    window = {"billing_cycle_id": "MONTHLY", "date_from": "2026-11-01", "last_transaction_date": "2026-12-01"}
    created = await client.post("/billing-runs", json=RUN | {"kind": "cycle", "scope": window})
    assert created.json()["description"] == "Billing run R-1 (cycle MONTHLY; invoice date 2026-11-30)"

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.fates() == {"BE-1": "draft", "BE-3": "draft"}


async def test_rules_and_cycles_are_listed(client: httpx.AsyncClient) -> None:
    for code in ("B", "A", "C"):
        await client.put(f"/rules/{code}", json={"fail_status": "suspect", "expression": "total_net > 0"})
    await client.put("/rules/B", json={"fail_status": "rejected", "expression": "total_net > 1"})
    await client.put("/billing-cycles/MONTHLY", json={"name": "Monthly", "frequency": "monthly"})

    page = (await client.get("/rules", params={"limit": 2})).json()
    rest = (await client.get("/rules", params={"limit": 2, "cursor": page["next_cursor"]})).json()

    listed = [(each["code"], each["version"]) for each in [*page["items"], *rest["items"]]]
    assert listed == [("A", 1), ("B", 2), ("C", 1)]
    assert rest["next_cursor"] is None
    cycles = (await client.get("/billing-cycles")).json()["items"]
    assert [each["billing_cycle_id"] for each in cycles] == ["MONTHLY"]


async def test_calls_need_their_scopes(runs: Runs, client: httpx.AsyncClient, issuer: Issuer) -> None:
    await client.post("/billing-runs", json=RUN)
    for scope, method, path in (
        ("billing-runs:read", "POST", "/billing-runs/R-1/process"),
        ("billing-runs:read billing-runs:write", "POST", "/billing-runs/R-1/documents/review"),
        ("billing-runs:write", "GET", "/billing-runs/R-1"),
        ("billing-runs:read", "PUT", "/rules/LIMIT"),
        ("billing-runs:read", "PUT", "/billing-cycles/MONTHLY"),
    ):
        headers = {"Authorization": f"Bearer {issuer.token(scope)}"}
        answer = await client.request(method, path, headers=headers, json={})
        assert answer.status_code == 403, (method, path)


async def test_a_token_of_some_projects_lets_no_run_release_events_of_others(
    runs: Runs, client: httpx.AsyncClient, issuer: Issuer
) -> None:
    releasing = RUN | {"release_first": True}
    assert (await client.post("/billing-runs", json=releasing)).status_code == 201
    limited = {
        "Authorization": f"Bearer {issuer.token('billing-runs:read billing-runs:write', projects=['P-1'])}"
    }

    answers = [
        await client.post("/billing-runs", json=releasing | {"run_id": "R-2"}, headers=limited),
        await client.post("/billing-runs/R-1/process", headers=limited),
        await client.post("/billing-runs/R-1/close", headers=limited),
        await client.post("/billing-runs/R-1/enable", headers=limited),
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(409, "not_permitted")] * 4
    assert (await client.get("/billing-runs/R-2")).status_code == 404
    assert await runs.state() == ("new", "idle")
    assert (await client.post("/billing-runs/R-1/disable", headers=limited)).status_code == 200
    others = await client.post("/billing-runs", json=RUN | {"run_id": "R-3"}, headers=limited)
    assert others.status_code == 201
    assert (await client.post("/billing-runs/R-3/process", headers=limited)).status_code == 202
