"""Every case of tests/vectors/documents.json, through the running handlers and the API."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.accounting_connector.driver import (
    ConnectorDriver,
    account,
    changed,
    claim,
    codes,
    company,
    event,
    released,
    start_ids,
)
from integration.accounting_connector.http import client_for
from shared.database.database import Database
from unit.shared.http.sample import Issuer

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "documents.json").read_text("utf-8")
)["cases"]
AMOUNTS = ("total_net", "total_tax", "total_gross")
NUMBERS = {"quantity", "unit_price", "tax_rate", "rate"}


def body_of(case: dict[str, Any]) -> dict[str, Any]:
    given = case["event"]
    items = [
        {"created_at": "2026-11-20T09:00:00Z", "description": each["accounting_line_description"], **each}
        for each in given["items"]
    ]
    fields = {name: value for name, value in given.items() if name != "billing_event_id"}
    return event(given["billing_event_id"], **(fields | {"items": items}))


async def prepare(case: dict[str, Any], connector: ConnectorDriver, client: httpx.AsyncClient) -> None:
    """Make the connector know what the case says is known."""
    given, context = case["company"], case.get("context", {})
    await connector.reference(
        account(case["customer"]["account_id"], country=case["customer"]["country"]),
        company(given["company_id"], tax_id=given["tax_id"]),
    )
    names = ("event_criteria", "item_criteria", "tax_rules", "documents_elsewhere")
    settings = {name: given[name] for name in names} | {"days_ahead_max": 3650}
    answer = await client.put(f"/companies/{given['company_id']}/settings", json=settings)
    assert answer.status_code == 200, answer.text
    body = body_of(case)
    if context.get("claimed_by_run"):
        claimable = body | {"stage": "released"}
        await connector.release(released(claimable))
        await connector.command(claim(context["claimed_by_run"], body["billing_event_id"]))
        (claimed,) = await connector.facts("claimed")
        assert claimed["claimed"] == [body["billing_event_id"]]
    await connector.release(released(body) if body["stage"] == "released" else changed(body))


def compared(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: Decimal(values[name]) if name in NUMBERS else values[name] for name in names}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
async def test_every_case(case: dict[str, Any], store: Database, issuer: Issuer) -> None:
    connector = ConnectorDriver(store, lag_seconds=0.0, **case["settings"])
    async with client_for(store, issuer, connector.settings) as client:
        await prepare(case, connector, client)
        event_id, context = case["event"]["billing_event_id"], case.get("context", {})
        if "codes" in case["expect"]:
            await refuses(case, client, connector)
            return
        dates = case.get("dates", {"invoice_date": "2026-11-20", "collection_date": None})
        run = start_ids("PR-1", event_id, billing_run_id=context.get("asked_by_run"), **dates)
        await connector.command(run)
        await connector.settle()
        assert await connector.facts("not-passed") == []
        (fact,) = await connector.facts("validated")
        answer = await client.get(f"/documents/{fact['document_id']}")
        assert answer.status_code == 200
        for document in (fact, answer.json()):
            makes(case["expect"]["document"], document)


def makes(expected: dict[str, Any], document: dict[str, Any]) -> None:
    for name in ("kind", "currency", "excluded_items", *AMOUNTS):
        assert document[name] == expected[name], name
    for kind in ("lines", "taxes"):
        assert len(document[kind]) == len(expected[kind])
        for shown, wanted in zip(document[kind], expected[kind], strict=True):
            assert compared(shown, list(wanted)) == compared(wanted, list(wanted))
    if "due_date" in expected:
        assert document["due_date"] == expected["due_date"]


async def refuses(case: dict[str, Any], client: httpx.AsyncClient, connector: ConnectorDriver) -> None:
    """Eligibility, the dry run and the process run name the same reasons, as far as each is asked."""
    event_id, context = case["event"]["billing_event_id"], case.get("context", {})
    waived = context.get("waive_released", False)
    select = {"billing_event_ids": [event_id]}
    answer = await client.post("/process-runs/validate", json={"select": select, "waive_released": waived})
    body = answer.json()
    assert (body["checked"], body["validated"]) == (1, True)
    found = [codes(entry["reasons"]) for entry in body["would_fail"]]
    assert found == ([case["expect"]["codes"]] if case["expect"]["codes"] else [])
    if waived:
        return
    eligibility = (await client.get(f"/billing-events/{event_id}/eligibility")).json()
    assert (eligibility["eligible"], codes(eligibility["reasons"])) == (False, case["expect"]["codes"])
    await connector.command(start_ids("PR-1", event_id, billing_run_id=context.get("asked_by_run")))
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert codes(not_passed["reasons"]) == case["expect"]["codes"]
    if "items" in case["expect"]:
        named = [reason["detail"]["items"] for reason in not_passed["reasons"] if "items" in reason["detail"]]
        assert named == [case["expect"]["items"]]
    assert await connector.facts("validated", "drafted") == []
