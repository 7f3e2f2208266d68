"""The connector's HTTP calls (contract.md section 2)."""

import asyncio
from typing import Any

import httpx
import pytest

from integration.accounting_connector.driver import (
    ConnectorDriver,
    account,
    codes,
    company,
    event,
    item,
    registered,
    released,
    settings_of,
)
from integration.accounting_connector.http import application_for, client_for
from shared.http.routes import routes_without_scope, scopes_of
from unit.shared.http.sample import Issuer

SETTINGS: dict[str, Any] = {
    "mappings": [
        {"target": "engagement", "value": "E-1"},
        {"target": "lines.cost_centre", "source": "category"},
    ],
    "event_criteria": ["summary_amount > 0"],
    "item_criteria": ['category != "expense"'],
    "tax_rules": [
        {
            "services_product": None,
            "country": None,
            "buyer": None,
            "category": "S",
            "rate": "20",
            "reason": None,
            "reason_code": None,
            "valid_from": None,
            "valid_to": None,
        },
        {
            "services_product": None,
            "country": "FR",
            "buyer": "business",
            "category": "E",
            "rate": "0",
            "reason": "export",
            "reason_code": "VATEX-EU-146-1E",
            "valid_from": "2026-01-01",
            "valid_to": "2026-12-31",
        },
    ],
    "on_tax_rule_missing": "refuse",
    "date_order": "off",
    "days_ahead_max": 31,
    "closed_through": "2026-10-31",
    "schedule": {"every": "month", "at": "02:00", "weekday": None, "day": 31},
    "auto_pass_field": "invoice_now",
    "documents_elsewhere": False,
    "additional_recipients": "a@x.example;b@x.example",
    "payment_days": 14,
    "reason": None,
}


async def run_over(client: httpx.AsyncClient, **select: Any) -> str:
    answer = await client.post("/process-runs", json={"select": select})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["status"] == "in_progress"
    assert body["links"]["log"] == f"/process-runs/{body['process_run_id']}/log"
    return str(body["process_run_id"])


async def test_every_route_names_its_scope(connector: ConnectorDriver, issuer: Issuer) -> None:
    application = application_for(connector.database, issuer, connector.settings)
    assert routes_without_scope(application) == []
    scopes = {f"{method} {path}": sorted(needed) for (method, path), needed in scopes_of(application).items()}
    reads = ["documents:read"]
    assert scopes == {
        "GET /documents": reads,
        "GET /documents/{document_id}": reads,
        "GET /documents/{document_id}.xml": reads,
        "GET /documents/{document_id}.pdf": reads,
        "GET /billing-events/{billing_event_id}/eligibility": reads,
        "GET /process-runs": reads,
        "GET /process-runs/{process_run_id}": reads,
        "GET /process-runs/{process_run_id}/log": reads,
        "POST /process-runs": ["documents:write"],
        "POST /process-runs/validate": reads,
        "POST /process-runs/{process_run_id}/give-up": ["documents:write"],
        "POST /process-runs/{process_run_id}/retry": ["documents:write"],
        "GET /companies/{company_id}/settings": reads,
        "PUT /companies/{company_id}/settings": ["settings:write"],
        "POST /companies/{company_id}/settings/try": ["settings:write"],
        "GET /reconciliation": reads,
    }


async def test_a_process_run_from_start_to_log(connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2", company_id=None)))
    run_id = await run_over(client, billing_event_ids=["BE-1", "BE-2", "BE-1"])
    pending = (await client.get(f"/process-runs/{run_id}/log")).json()["items"]
    assert [(entry["billing_event_id"], entry["result"], entry["time"]) for entry in pending] == [
        ("BE-1", "pending", None),
        ("BE-2", "pending", None),
    ]
    await connector.settle()
    run = (await client.get(f"/process-runs/{run_id}")).json()
    assert (run["status"], run["total"], run["pending"]) == ("completed_with_errors", 2, 0)
    assert (run["invoices"], run["not_passed"], run["starter"]["user_id"]) == (1, 1, "u1")
    log = (await client.get(f"/process-runs/{run_id}/log", params={"result": "error"})).json()["items"]
    assert [codes(entry["reasons"]) for entry in log] == [["company_missing"]]
    first = (await client.get(f"/process-runs/{run_id}/log", params={"limit": 1})).json()
    rest = (await client.get(f"/process-runs/{run_id}/log", params={"cursor": first["next_cursor"]})).json()
    assert [entry["billing_event_id"] for entry in rest["items"]] == ["BE-2"]
    listed = (await client.get("/process-runs", params={"kind": "on_demand", "starter": "u1"})).json()
    assert [entry["process_run_id"] for entry in listed["items"]] == [run_id]
    assert (await client.get("/process-runs", params={"status": "failed"})).json()["items"] == []


async def test_a_key_starts_one_run(connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    await connector.release(released(event()))
    call: dict[str, Any] = {
        "json": {"select": {"billing_event_ids": ["BE-1"]}},
        "headers": {"Idempotency-Key": "k"},
    }
    first, second = await client.post("/process-runs", **call), await client.post("/process-runs", **call)
    assert first.json() == second.json()
    await connector.settle()
    assert len(await connector.facts("process-run.started")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"select": {}},
        {"select": {"billing_event_ids": []}},
        {"select": {"batch_ids": []}},
        {"select": {"billing_event_ids": ["BE-1"], "eligible": True}},
        {"select": {"eligible": False}},
        {"select": {"filter": {"colour": "red"}}},
        {"select": {"billing_event_ids": ["no spaces"]}},
        {"select": {"eligible": True}, "threshold": {"amount": "1.005", "currency": "GBP"}},
        {"select": {"eligible": True}, "grouping": "project"},
    ],
)
async def test_a_bad_request_starts_nothing(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/process-runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert (await client.get("/process-runs")).json()["items"] == []


async def test_documents_are_listed_by_what_is_asked(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(account("A-2"))
    bodies = [
        event("BE-1", auto_pass_to_accounting=True),
        event("BE-2", item("c", "-5.00"), auto_pass_to_accounting=True),
        event("BE-3", account_id="A-2", auto_pass_to_accounting=True),
        event("BE-4"),
    ]
    await connector.release(*(released(body) for body in bodies))
    run = {"select": {"billing_event_ids": ["BE-4"]}, "validate": False, "billing_run_id": "R-1"}
    await client.post("/process-runs", json=run)
    await connector.settle()

    async def events(**asked: str) -> list[str]:
        answer = await client.get("/documents", params=asked)
        return [each["billing_event_ids"][0] for each in answer.json()["items"]]

    assert sorted(await events()) == ["BE-1", "BE-2", "BE-3", "BE-4"]
    assert await events(kind="sales_credit_note") == ["BE-2"]
    assert await events(status="draft") == await events(billing_run_id="R-1") == ["BE-4"]
    assert await events(account_id="A-2") == await events(billing_event_id="BE-3") == ["BE-3"]
    assert await events(account_id="A-404") == []
    page = (await client.get("/documents", params={"limit": 3})).json()
    rest = (await client.get("/documents", params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert len(page["items"]) == 3
    assert len(rest["items"]) == 1
    assert rest["next_cursor"] is None
    assert (await client.get("/documents", params={"kind": "receipt"})).status_code == 422


async def test_a_document_is_shown_whole(connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True)))
    (fact,) = await connector.facts("validated")
    document = (await client.get(f"/documents/{fact['document_id']}")).json()
    assert {name: document[name] for name in fact} == fact
    assert (document["rendering"], document["payment_days"]) == ({"xml": "none", "pdf": "none"}, 30)


@pytest.mark.parametrize(
    "path",
    [
        "/documents/D-404",
        "/process-runs/PR-404",
        "/process-runs/PR-404/log",
        "/billing-events/BE-404/eligibility",
        "/companies/C-404/settings",
    ],
)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_eligibility_names_all_reasons(connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    await connector.release(registered(event("BE-1", stage="awaiting_release", account_id=None)))
    answer = (await client.get("/billing-events/BE-1/eligibility")).json()
    assert (answer["eligible"], codes(answer["reasons"])) == (False, ["not_released", "account_missing"])
    await connector.release(released(event("BE-1")))
    answer = (await client.get("/billing-events/BE-1/eligibility")).json()
    assert answer == {"billing_event_id": "BE-1", "eligible": True, "reasons": []}


async def test_an_invoiced_event_is_not_eligible_again(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(released(event("BE-1", auto_pass_to_accounting=True)))
    answer = (await client.get("/billing-events/BE-1/eligibility")).json()
    (reason,) = answer["reasons"]
    (document,) = await connector.facts("validated")
    assert (reason["code"], reason["detail"]) == (
        "already_invoiced",
        {"document_id": document["document_id"]},
    )


async def test_validating_a_selection_does_nothing(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(
        registered(event("BE-1", stage="awaiting_release")),
        registered(event("BE-2", stage="awaiting_release", company_id=None)),
        released(event("BE-3")),
    )

    async def fails(select: dict[str, Any], *, waived: bool) -> dict[str, list[str]]:
        body = {"select": select, "waive_released": waived}
        answer = (await client.post("/process-runs/validate", json=body)).json()
        assert answer["validated"] is True
        return {entry["billing_event_id"]: codes(entry["reasons"]) for entry in answer["would_fail"]}

    batch, ids = {"batch_ids": ["BB-1"]}, {"billing_event_ids": ["BE-1", "BE-3", "BE-404"]}
    assert await fails(batch, waived=True) == {"BE-2": ["company_missing"]}
    assert await fails(batch, waived=False) == {}
    assert await fails(ids, waived=False) == {"BE-1": ["not_released"], "BE-404": ["not_found"]}
    assert await connector.facts() == []


async def test_a_preview_of_all_that_is_eligible_leaves_out_what_its_run_leaves_out(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(
        released(event("BE-1")),
        released(event("BE-2", item("i2", services_product=None))),
        released(event("BE-3", item("i3", quantity="2"))),
    )
    preview = await client.post("/process-runs/validate", json={"select": {"eligible": True}})
    shown = preview.json()
    failing = {each["billing_event_id"]: codes(each["reasons"]) for each in shown["would_fail"]}
    assert (shown["checked"], failing) == (2, {"BE-3": ["rounding_mismatch"]})
    run_id = await run_over(client, eligible=True)
    await connector.settle()
    log = (await client.get(f"/process-runs/{run_id}/log")).json()["items"]
    assert len(log) == shown["checked"]
    assert {e["billing_event_id"]: codes(e["reasons"]) for e in log if e["result"] == "error"} == failing


async def test_a_selection_too_large_is_not_validated(client: httpx.AsyncClient) -> None:
    select = {"billing_event_ids": [f"BE-{place}" for place in range(201)]}
    answer = (await client.post("/process-runs/validate", json={"select": select})).json()
    assert answer == {"checked": 0, "would_fail": [], "validated": False}


async def test_settings_are_kept_in_versions(connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    default = (await client.get("/companies/C-UK/settings")).json()
    assert (default["version"], default["mappings"], default["payment_days"]) == (0, [], None)
    first = await client.put("/companies/C-UK/settings", json=SETTINGS)
    assert first.json() == {**SETTINGS, "company_id": "C-UK", "version": 1}
    assert (await client.get("/companies/C-UK/settings")).json() == first.json()
    second = await client.put("/companies/C-UK/settings", json={"payment_days": 7, "reason": "As before"})
    assert (second.json()["version"], second.json()["mappings"]) == (2, [])
    rows = await connector.database.pool.fetch("select * from company_settings order by version")
    assert [row["settings"]["payment_days"] for row in rows] == [14, 7]
    assert rows[0]["changed_by"]["user_id"] == "u1"
    before = await client.get("/companies/C-UK/settings", params={"version": 1})
    assert before.json() == first.json()
    newest = await client.get("/companies/C-UK/settings", params={"version": 2})
    assert newest.json() == second.json() == (await client.get("/companies/C-UK/settings")).json()
    for version, status in ((3, 404), (0, 422)):
        unknown = await client.get("/companies/C-UK/settings", params={"version": version})
        assert unknown.status_code == status


async def test_settings_wait_for_a_company_that_is_about_to_be_read(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    async with asyncio.TaskGroup() as group:
        put = group.create_task(client.put("/companies/C-NEW/settings", json=SETTINGS))
        await asyncio.sleep(0)
        group.create_task(connector.reference(company("C-NEW")))
    assert (put.result().status_code, put.result().json()["company_id"]) == (200, "C-NEW")


async def test_settings_of_a_company_that_does_not_come_are_not_found(
    connector: ConnectorDriver, issuer: Issuer
) -> None:
    settings = settings_of(command_wait_seconds=0.1)
    async with client_for(connector.database, issuer, settings) as client:
        answer = await client.put("/companies/C-404/settings", json=SETTINGS)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_documents_follow_the_settings_in_force(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await client.put("/companies/C-UK/settings", json=SETTINGS)
    await connector.release(released(event(fields={"invoice_now": True})))
    (document,) = await connector.facts("validated")
    assert (document["engagement"], document["total_tax"]) == ("E-1", "20.00")
    assert (document["customer_reference"], document["billing_event_currency"]) == ("PO 4711", "GBP")
    assert document["lines"][0]["additional_fields"] == {"cost_centre": "timecard"}


async def test_a_mapping_finds_an_account_by_name(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(
        account("A-2", name="Lloyds"), account("A-3", name="Twin"), account("A-4", name="Twin")
    )
    mappings = {"mappings": [{"target": "account", "source": "fields.payer"}]}
    await client.put("/companies/C-UK/settings", json=mappings)
    payers = {"BE-1": "Lloyds", "BE-2": "A-3", "BE-3": "Twin", "BE-4": "Nobody"}
    await connector.release(
        *(released(event(each, fields={"payer": payer})) for each, payer in payers.items())
    )
    await run_over(client, billing_event_ids=list(payers))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [(each["billing_event_ids"], each["account"]["id"]) for each in documents] == [
        (["BE-1"], "A-2"),
        (["BE-2"], "A-3"),
    ]
    refusals = {
        fact["billing_event_id"]: codes(fact["reasons"]) for fact in await connector.facts("not-passed")
    }
    assert refusals == {"BE-3": ["mapping_failed"], "BE-4": ["mapping_failed"]}


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("tax_rules[0].rate", {"tax_rules": [{"category": "S", "rate": "0"}]}),
        ("tax_rules[0].category", {"tax_rules": [{"category": "K", "rate": "0"}]}),
        ("tax_rules[0].reason_code", {"tax_rules": [{"category": "E", "rate": "0", "reason_code": "X"}]}),
        (
            "tax_rules[0].valid_to",
            {
                "tax_rules": [
                    {"category": "Z", "rate": "0", "valid_from": "2026-02-01", "valid_to": "2026-01-31"}
                ]
            },
        ),
        ("tax_rules[0].rate", {"tax_rules": [{"category": "Z", "rate": "20"}]}),
        ("mappings[0].target", {"mappings": [{"target": "total_net", "value": "1"}]}),
        ("mappings[0].source", {"mappings": [{"target": "engagement", "value": "1", "source": "x"}]}),
        ("mappings[1]", {"mappings": [{"target": "a", "value": "1"}, {"target": "a", "value": "2"}]}),
        ("event_criteria[0]", {"event_criteria": ["__import__('os')"]}),
        ("schedule.every", {"schedule": {"every": "week", "at": "02:00"}}),
        ("schedule.at", {"schedule": {"every": "day", "at": "25:00"}}),
        ("additional_recipients", {"additional_recipients": "a@x.example\r\nBcc: b@x.example"}),
        ("payment_days", {"payment_days": -1}),
        ("date_order", {"date_order": "move"}),
        ("days_ahead_max", {"days_ahead_max": -1}),
        ("closed_through", {"closed_through": "2026-11-26"}),
        ("colour", {"colour": "red"}),
    ],
)
async def test_settings_that_cannot_be_kept_are_refused(
    client: httpx.AsyncClient, field: str, settings: dict[str, Any]
) -> None:
    answer = await client.put("/companies/C-UK/settings", json=settings)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get("/companies/C-UK/settings")).json()["version"] == 0


async def test_a_reader_changes_nothing(connector: ConnectorDriver, issuer: Issuer) -> None:
    async with client_for(connector.database, issuer, connector.settings, "documents:read") as reader:
        started = await reader.post("/process-runs", json={"select": {"eligible": True}})
        put = await reader.put("/companies/C-UK/settings", json={})
        assert (started.status_code, put.status_code) == (403, 403)
        assert (await reader.get("/documents")).status_code == 200


async def test_a_long_selection_is_in_the_log_and_not_in_the_run(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    ids = [f"BE-{place:03}" for place in range(300)]
    await connector.release(*(released(event(each)) for each in ids))
    run_id = await run_over(client, billing_event_ids=ids)
    await connector.settle()
    run = (await client.get(f"/process-runs/{run_id}")).json()
    assert run["selection"] == {"billing_event_ids": ids[:100], "billing_event_ids_count": 300}
    assert (run["total"], run["invoices"]) == (300, 300)
