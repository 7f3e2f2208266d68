"""Tax rules through the running service (documents.md section 2.3)."""

from typing import Any

import httpx

from integration.accounting_connector.driver import (
    ConnectorDriver,
    account,
    codes,
    company,
    event,
    item,
    released,
    start_ids,
)

STANDARD = {"services_product": "Consulting", "category": "S", "rate": "20"}
REVERSE_CHARGE = {"country": "EU", "category": "AE", "rate": "0"}


async def put(client: httpx.AsyncClient, *rules: dict[str, Any], **settings: Any) -> httpx.Response:
    body = {"tax_rules": list(rules), **settings}
    return await client.put("/companies/C-UK/settings", json=body)


async def pass_one(connector: ConnectorDriver, body: dict[str, Any], run_id: str = "PR-1") -> None:
    await connector.release(released(body))
    await connector.command(start_ids(run_id, body["billing_event_id"]))
    await connector.settle()


async def test_tax_rules_alike_at_the_same_time_are_refused_by_name(
    client: httpx.AsyncClient, connector: ConnectorDriver
) -> None:
    alike = [STANDARD, STANDARD | {"services_product": " CONSULTING\u00a0", "rate": "5"}]
    await connector.release(released(event()))
    trial = {"settings": {"tax_rules": alike}, "billing_event_id": "BE-1"}
    for answer in (
        await put(client, *alike),
        await client.post("/companies/C-UK/settings/try", json=trial),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["rules"]) == (422, "tax_rules_overlap", [0, 1])
        assert [error["field"] for error in problem["errors"]] == ["tax_rules[0]", "tax_rules[1]"]
    apart = [alike[0] | {"valid_to": "2026-06-30"}, alike[1] | {"valid_from": "2026-07-01"}]
    assert (await put(client, *apart)).status_code == 200


async def test_a_company_without_rules_warns_of_zero_rating_in_every_place(
    client: httpx.AsyncClient, connector: ConnectorDriver
) -> None:
    await pass_one(connector, event("BE-1", item("a"), item("b", services_product="Books")))
    (fact,) = await connector.facts("validated")
    (warning,) = fact["warnings"]
    assert (warning["code"], warning["detail"]["services_products"]) == (
        "tax_rule_missing",
        ["Consulting", "Books"],
    )
    assert (await client.get(f"/documents/{fact['document_id']}")).json()["warnings"] == [warning]
    (entry,) = (await client.get("/process-runs/PR-1/log", params={"result": "warning"})).json()["items"]
    assert (entry["billing_event_id"], codes(entry["reasons"])) == ("BE-1", ["tax_rule_missing"])
    await put(client, on_tax_rule_missing="refuse")
    await pass_one(connector, event("BE-2"), "PR-2")
    (refused,) = await connector.facts("not-passed")
    assert codes(refused["reasons"]) == ["tax_rule_missing"]
    # Whoever says so outright gets no tax, and is still told.
    await put(client, STANDARD | {"services_product": "Other"}, on_tax_rule_missing="zero_rated")
    await pass_one(connector, event("BE-3"), "PR-3")
    made = (await connector.facts("validated"))[1]
    assert (made["total_tax"], codes(made["warnings"])) == ("0.00", ["tax_rule_missing"])


async def test_a_company_message_that_forgot_its_tax_id_stops_what_it_taxes(
    client: httpx.AsyncClient, connector: ConnectorDriver
) -> None:
    await put(client, STANDARD)
    await connector.reference(company(version=2, tax_id=None))
    await pass_one(connector, event())
    (refused,) = await connector.facts("not-passed")
    assert codes(refused["reasons"]) == ["seller_tax_id_missing"]
    await connector.reference(company(version=3, tax_id=None, tax_registration="123/456/78901"))
    await pass_one(connector, event(), "PR-2")
    (made,) = await connector.facts("validated")
    assert (made["total_tax"], made["company"]["tax_registration"]) == ("20.00", "123/456/78901")
    assert made["warnings"] == []


async def test_a_reverse_charge_is_for_businesses_of_credit_notes_too(
    client: httpx.AsyncClient, connector: ConnectorDriver
) -> None:
    await put(client, STANDARD, REVERSE_CHARGE)
    credit = event("BE-3", item("c", "-100.00"), account_id="A-3")
    customers: list[tuple[str, dict[str, Any]]] = [
        ("A-2", {"tax_id": "FR40303265045"}),
        ("A-3", {"tax_id": "FR40303265045"}),
        ("A-4", {"tax_id": "FR40303265045", "private": True}),
        ("A-5", {"tax_id": None}),
    ]
    for account_id, fields in customers:
        await connector.reference(account(account_id, country="FR", **fields))
    for body in (event("BE-2", account_id="A-2"), credit):
        await pass_one(connector, body, body["billing_event_id"])
    for number in (4, 5):
        await pass_one(connector, event(f"BE-{number}", account_id=f"A-{number}"), f"PR-{number}")
    made = await connector.facts("validated")
    assert [(each["account"]["id"], each["taxes"][0]["category"], each["total_tax"]) for each in made] == [
        ("A-2", "AE", "0.00"),
        ("A-3", "AE", "0.00"),
        ("A-4", "S", "20.00"),
        ("A-5", "S", "20.00"),
    ]
