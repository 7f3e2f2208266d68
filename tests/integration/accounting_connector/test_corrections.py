"""Corrections against what they correct, in every way in (documents.md sections 3.1, 3.2 and 3.4)."""

import asyncio
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
    item,
    released,
    start,
    start_ids,
    validate,
    withdraw,
)

STANDARD = {"category": "S", "rate": "20"}


async def put_rate(client: httpx.AsyncClient, rate: str = "20", company_id: str = "C-UK") -> None:
    rules = {"tax_rules": [STANDARD | {"rate": rate}]}
    assert (await client.put(f"/companies/{company_id}/settings", json=rules)).status_code == 200


def credit(event_id: str, amount: str, corrects: str = "BE-1", **fields: Any) -> dict[str, Any]:
    items = [item(f"{event_id}-i", amount)]
    return event(event_id, *items, corrects_billing_event_id=corrects, **fields)


async def pass_each(connector: ConnectorDriver, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        event_id = body["billing_event_id"]
        await connector.release(released(body))
        await connector.command(start_ids(f"PR-{event_id}", event_id))
        await connector.settle()


async def refusals(connector: ConnectorDriver) -> dict[str, list[str]]:
    told = await connector.facts("not-passed")
    return {each["billing_event_id"]: codes(each["reasons"]) for each in told}


async def balanced(client: httpx.AsyncClient) -> bool:
    return bool((await client.get("/reconciliation")).json()["balanced"])


async def test_partial_credits_add_up_to_the_cent_at_the_rate_of_the_original(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1", item("i1", "279.16")))
    await put_rate(client, "25")
    amounts = ("-68.33", "-68.33", "-57.50", "-85.00")
    partial = [credit(f"BE-C{place}", amount) for place, amount in enumerate(amounts)]
    await pass_each(connector, *partial, credit("BE-C9", "-0.01"))
    original, *notes = await connector.facts("validated")
    assert {each["corrects_document_id"] for each in notes} == {original["document_id"]}
    assert [each["taxes"][0]["rate"] for each in notes] == ["20"] * 4
    assert [each["total_gross"] for each in notes] == ["82.00", "82.00", "69.00", "101.99"]
    assert original["total_gross"] == "334.99"
    assert await refusals(connector) == {"BE-C9": ["correction_exceeds"]}
    (told,) = await connector.facts("not-passed")
    assert told["reasons"][0]["detail"]["left"] == {"S 20": "0.00"}
    assert await balanced(client)


@pytest.mark.parametrize("currency, amount, over", [("JPY", "100", "-101"), ("KWD", "100.000", "-100.001")])
async def test_more_than_the_original_is_refused_in_every_currency(
    connector: ConnectorDriver, client: httpx.AsyncClient, currency: str, amount: str, over: str
) -> None:
    await put_rate(client)
    money = {"currency": currency, "billing_event_currency": currency}
    await pass_each(connector, event("BE-1", item("i1", amount), **money), credit("BE-2", over, **money))
    assert await refusals(connector) == {"BE-2": ["correction_exceeds"]}
    # The other side: an invoice that corrects a credit note.
    await pass_each(
        connector,
        event("BE-3", item("i3", f"-{amount}"), **money),
        credit("BE-4", over.removeprefix("-"), "BE-3", **money),
        credit("BE-5", amount, "BE-3", **money),
    )
    assert await refusals(connector) == {"BE-2": ["correction_exceeds"], "BE-4": ["correction_exceeds"]}
    assert (await connector.facts("validated"))[-1]["kind"] == "sales_invoice"


async def test_a_correction_is_of_the_originals_customer_company_and_currency(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(account("A-2"), company("C-DE"))
    await put_rate(client)
    euros = {"currency": "EUR", "billing_event_currency": "EUR"}
    await pass_each(
        connector,
        event("BE-1"),
        credit("BE-2", "-10.00", account_id="A-2"),
        credit("BE-3", "-10.00", company_id="C-DE"),
        credit("BE-4", "-10.00", **euros),
    )
    assert await refusals(connector) == {each: ["correction_mismatch"] for each in ("BE-2", "BE-3", "BE-4")}
    details = [each["reasons"][0]["detail"]["fields"] for each in await connector.facts("not-passed")]
    assert details == [["account_id"], ["company_id"], ["currency"]]
    for event_id in ("BE-2", "BE-3", "BE-4"):
        answer = (await client.get(f"/billing-events/{event_id}/eligibility")).json()
        assert codes(answer["reasons"]) == ["correction_mismatch"]


async def test_what_has_the_same_kind_only_names_the_original(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1"), credit("BE-2", "500.00"), credit("BE-3", "-100.00"))
    original, more, note = await connector.facts("validated")
    assert (more["supplements_document_id"], more["corrects_document_id"]) == (original["document_id"], None)
    assert note["corrects_document_id"] == original["document_id"]
    # A correction cannot be corrected by an event: it is reverted.
    await pass_each(connector, credit("BE-4", "10.00", "BE-3"))
    assert await refusals(connector) == {"BE-4": ["corrected_document_unknown"]}
    xml = await client.get(f"/documents/{more['document_id']}.xml")
    assert original["number"] in xml.text


@pytest.mark.parametrize("grouping", ["billing_event", "account"])
async def test_two_credits_of_one_act_cannot_take_the_same(
    connector: ConnectorDriver, client: httpx.AsyncClient, grouping: str
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1"))
    bodies = [credit("BE-2", "-60.00"), credit("BE-3", "-60.00"), credit("BE-4", "-40.00")]
    await connector.release(*(released(body) for body in bodies))
    await connector.command(start_ids("PR-1", "BE-2", "BE-3", "BE-4", grouping=grouping))
    await connector.settle()
    assert await refusals(connector) == {"BE-3": ["correction_exceeds"]}
    made = await connector.facts("validated")
    assert [each["billing_event_ids"] for each in made] == [["BE-1"], ["BE-2"], ["BE-4"]]


async def test_two_replicas_cannot_take_the_same(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1"))
    other = ConnectorDriver(connector.database)
    await connector.release(released(credit("BE-2", "-60.00")), released(credit("BE-3", "-60.00")))
    await asyncio.gather(
        connector.command(start_ids("PR-2", "BE-2")), other.command(start_ids("PR-3", "BE-3"))
    )
    await asyncio.gather(connector.settle(), other.settle())
    told = [fact for replica in (connector, other) for fact in await replica.facts("not-passed")]
    assert {code for each in told for code in codes(each["reasons"])} == {"correction_exceeds"}
    count = "select count(*) from documents where corrects_document_id is not null"
    assert await connector.database.pool.fetchval(count) == 1
    assert await balanced(client)


async def test_a_draft_counts_until_it_is_cancelled(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1"))
    await connector.release(released(credit("BE-2", "-80.00")))
    await connector.command(
        claim("R-1", "BE-2"), start_ids("PR-2", "BE-2", billing_run_id="R-1", validate=False)
    )
    await connector.settle()
    await pass_each(connector, credit("BE-3", "-30.00"))
    assert await refusals(connector) == {"BE-3": ["correction_exceeds"]}
    (draft,) = await connector.facts("drafted")
    await connector.command(validate(draft["document_id"]))
    await pass_each(connector, credit("BE-4", "-20.00"))
    assert [each["total_net"] for each in await connector.facts("validated")] == ["100.00", "80.00", "20.00"]


async def test_a_fully_credited_event_stays_invoiced_until_the_credit_is_taken_back(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put_rate(client)
    await pass_each(connector, event("BE-1", auto_pass_to_accounting=True), credit("BE-2", "-100.00"))
    # Every way in: by ids, over all that is eligible, by itself, for a billing run.
    await connector.release(changed(event("BE-1", auto_pass_to_accounting=True, engagement="new")))
    await connector.command(
        start_ids("PR-1", "BE-1"), start("PR-2", select={"eligible": True}), claim("R-1", "BE-1")
    )
    await connector.settle()
    (claimed,) = await connector.facts("claimed")
    assert codes(claimed["refused"][0]["reasons"]) == ["already_invoiced"]
    assert len(await connector.facts("validated")) == 2
    # Taken back, the credit counts no more.
    await connector.command(withdraw("BE-2"))
    await pass_each(connector, credit("BE-3", "-100.00"))
    made = await connector.facts("validated")
    assert [each["total_net"] for each in made] == ["100.00"] * 4
    assert await refusals(connector) == {}
    assert await balanced(client)


@pytest.mark.parametrize(
    "amounts, outcome, mirror",
    [(["-40.00"], "mirrored", "80.00"), (["-80.00", "-40.00"], "already_corrected", None)],
)
async def test_a_revert_mirrors_what_is_left(
    connector: ConnectorDriver,
    client: httpx.AsyncClient,
    amounts: list[str],
    outcome: str,
    mirror: str | None,
) -> None:
    await put_rate(client)
    notes = [credit(f"BE-C{place}", amount) for place, amount in enumerate(amounts)]
    await pass_each(connector, event("BE-1", item("i1", "120.00")), *notes)
    await connector.command(withdraw("BE-1", *(note["billing_event_id"] for note in notes)))
    told = {each["billing_event_id"]: each for each in await connector.facts("withdrawn")}
    assert told["BE-1"]["outcome"] == outcome
    assert {told[note["billing_event_id"]]["outcome"] for note in notes} == {"kept"}
    made = await connector.facts("validated")
    assert [each["total_net"] for each in made if each["mirrors_document_id"]] == ([mirror] if mirror else [])
    assert await balanced(client)
