"""Settings tried out on a real event: the document that they would make, or the reasons; nothing is kept."""

from typing import Any

import httpx
import pytest

from integration.accounting_connector.driver import ConnectorDriver, codes, company, event, item, released

TAXED: dict[str, Any] = {
    "tax_rules": [{"services_product": None, "country": "GB", "category": "S", "rate": "20"}],
    "mappings": [{"target": "engagement", "value": "E-9"}],
    "payment_days": 10,
}


async def try_out(
    client: httpx.AsyncClient, settings: dict[str, Any], event_id: str = "BE-1", company_id: str = "C-UK"
) -> httpx.Response:
    body = {"settings": settings, "billing_event_id": event_id}
    return await client.post(f"/companies/{company_id}/settings/try", json=body)


async def test_settings_show_their_document_and_nothing_is_kept(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(released(event("BE-1")))
    before = await connector.facts()
    answer = await try_out(client, TAXED)
    assert answer.status_code == 200, answer.text
    document = answer.json()["document"]
    assert (document["total_net"], document["total_tax"], document["engagement"]) == (
        "100.00",
        "20.00",
        "E-9",
    )
    assert answer.json()["reasons"] == []
    in_force = (await client.get("/companies/C-UK/settings")).json()
    assert (in_force["version"], in_force["tax_rules"]) == (0, [])
    assert (await client.get("/documents")).json()["items"] == []
    assert await connector.facts() == before


async def test_the_document_tried_out_is_the_one_that_is_made(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(released(event("BE-1", item("i1", "-33.33"), item("i2", "0.10"))))
    tried = (await try_out(client, TAXED)).json()["document"]
    assert (await client.put("/companies/C-UK/settings", json=TAXED)).status_code == 200
    run = await client.post("/process-runs", json={"select": {"billing_event_ids": ["BE-1"]}})
    assert run.status_code == 202
    await connector.settle()
    (made,) = await connector.facts("validated")
    for name in ("kind", "date", "due_date", "taxes", "total_net", "total_tax", "total_gross", "engagement"):
        assert tried[name] == made[name], name
    for was, line in zip(tried["lines"], made["lines"], strict=True):
        assert {**was, "line_id": line["line_id"]} == line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"event_criteria": ["summary_amount > 1000"]}, ["criteria_not_met"]),
        ({"item_criteria": ['category == "expense"']}, ["no_eligible_item"]),
        ({"documents_elsewhere": True}, ["other_integration_active"]),
        ({"mappings": [{"target": "account", "value": "Nobody"}]}, ["mapping_failed"]),
    ],
)
async def test_reasons_against_a_document(
    connector: ConnectorDriver, client: httpx.AsyncClient, settings: dict[str, Any], expected: list[str]
) -> None:
    await connector.release(released(event("BE-1")))
    answer = (await try_out(client, settings)).json()
    assert (answer["document"], codes(answer["reasons"])) == (None, expected)


UNKNOWN: list[tuple[dict[str, Any], list[str]]] = [
    ({"event_criteria": ["colour == 1"]}, ["colour"]),
    ({"item_criteria": ["currency == 'GBP' or shade > 2"]}, ["currency", "shade"]),
    ({"event_criteria": ["any(i.colour == 1 for i in items)"]}, ["items.colour"]),
    ({"event_criteria": ["any(i['summary_amount'] > 1 for i in items)"]}, ["items.summary_amount"]),
]


@pytest.mark.parametrize(("settings", "names"), UNKNOWN)
async def test_criteria_on_fields_that_there_are_not_are_refused_and_listed(
    connector: ConnectorDriver, client: httpx.AsyncClient, settings: dict[str, Any], names: list[str]
) -> None:
    await connector.release(released(event("BE-1")))
    put = await client.put("/companies/C-UK/settings", json=settings)
    assert (put.status_code, put.json()["unknown_fields"]) == (422, names)
    assert "summary_amount" in put.json()["known_fields"]["event"]
    assert (
        "category" in put.json()["errors"][0]["message"] or "currency" in put.json()["errors"][0]["message"]
    )
    assert (await client.get("/companies/C-UK/settings")).json()["version"] == 0
    tried = (await try_out(client, settings)).json()
    assert (tried["unknown_fields"], tried["known_fields"]) == (names, put.json()["known_fields"])


async def test_custom_fields_are_known_by_their_full_name_and_once_events_have_them(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    settings = {"event_criteria": ["region == 'North'"], "item_criteria": ["grade != 'x'"]}
    assert (await client.put("/companies/C-UK/settings", json=settings)).status_code == 422
    full = {"event_criteria": ["fields.region == 'North'"], "item_criteria": ["fields.grade != 'x'"]}
    assert (await client.put("/companies/C-UK/settings", json=full)).status_code == 200
    fields = {"region": "North"}
    await connector.release(released(event("BE-1", item("i1", fields={"grade": "y"}), fields=fields)))
    tried = (await try_out(client, settings)).json()
    assert (tried["eligible"], tried["unknown_fields"], tried["reasons"]) == (True, [], [])
    assert (await client.put("/companies/C-UK/settings", json=settings)).status_code == 200


async def test_a_criterion_that_cannot_be_decided_is_one_events_matter(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    settings = {"event_criteria": ["fields.level > 1"], "tax_rules": [{"category": "Z", "rate": "0"}]}
    assert (await client.put("/companies/C-UK/settings", json=settings)).status_code == 200
    await connector.release(released(event("BE-1", fields={"level": 2})), released(event("BE-2")))
    ids = {"billing_event_ids": ["BE-1", "BE-2"]}
    run = await client.post("/process-runs", json={"select": ids})
    await connector.settle()
    ended = (await client.get(f"/process-runs/{run.json()['process_run_id']}")).json()
    assert (ended["status"], ended["invoices"], ended["not_passed"]) == ("completed_with_errors", 1, 1)
    assert codes(ended["first_reasons"][0]["reasons"]) == ["criteria_not_met"]


async def test_what_is_not_known_or_not_the_companys(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(company("C-FR"))
    await connector.release(released(event("BE-1")))
    assert codes((await try_out(client, {}, company_id="C-FR")).json()["reasons"]) == ["other_company"]
    for answer in (await try_out(client, {}, "BE-404"), await try_out(client, {}, company_id="C-404")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await try_out(client, {"event_criteria": ["1 +"]})).status_code == 422
