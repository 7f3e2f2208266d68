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


async def test_what_is_not_known_or_not_the_companys(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(company("C-FR"))
    await connector.release(released(event("BE-1")))
    assert codes((await try_out(client, {}, company_id="C-FR")).json()["reasons"]) == ["other_company"]
    for answer in (await try_out(client, {}, "BE-404"), await try_out(client, {}, company_id="C-404")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await try_out(client, {"event_criteria": ["1 +"]})).status_code == 422
