"""Dates that are asked for, in every way in (documents.md section 4). Today is 2026-11-26."""

from typing import Any

import httpx
import pytest

from integration.accounting_connector.driver import (
    ZERO_RATED,
    ConnectorDriver,
    claim,
    codes,
    event,
    item,
    released,
    start_ids,
    validate,
    withdraw,
)


async def put(client: httpx.AsyncClient, **settings: Any) -> httpx.Response:
    return await client.put("/companies/C-UK/settings", json={"tax_rules": [ZERO_RATED], **settings})


async def pass_on(connector: ConnectorDriver, day: str | None, *event_ids: str) -> None:
    run_id = f"PR-{event_ids[0]}-{day}"
    await connector.release(*(released(event(each)) for each in event_ids))
    await connector.command(start_ids(run_id, *event_ids, invoice_date=day))
    await connector.settle()


def numbered(documents: list[Any]) -> list[tuple[str, str, list[str]]]:
    return [(each["number"], each["date"], codes(each["warnings"])) for each in documents]


async def test_no_date_is_moved_and_what_is_out_of_order_is_said(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put(client)
    await pass_on(connector, "2026-12-03", "BE-1")
    await pass_on(connector, None, "BE-2")
    await pass_on(connector, "2025-12-31", "BE-3")
    assert numbered(await connector.facts("validated")) == [
        ("SIN-2026-000001", "2026-12-03", ["date_in_future"]),
        ("SIN-2026-000002", "2026-11-26", ["date_before_series"]),
        ("SIN-2025-000001", "2025-12-31", ["series_opened"]),
    ]
    log = (await client.get("/process-runs/PR-BE-2-None/log")).json()["items"]
    assert [(entry["result"], codes(entry["reasons"])) for entry in log] == [
        ("warning", ["date_before_series"])
    ]
    assert (await client.get("/reconciliation")).json()["balanced"] is True


async def test_a_refused_date_uses_no_number_and_leaves_the_event_free(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put(client, date_order="refuse", days_ahead_max=5, closed_through="2026-10-31")
    await pass_on(connector, "2026-11-27", "BE-1")
    for day in ("2026-10-31", "2026-12-02", None):
        await pass_on(connector, day, "BE-2")
    refusals = [codes(fact["reasons"]) for fact in await connector.facts("not-passed")]
    assert refusals == [
        ["period_closed", "date_before_series"],
        ["date_too_far_ahead"],
        ["date_before_series"],
    ]
    await pass_on(connector, "2026-11-27", "BE-2")
    assert [each["number"] for each in await connector.facts("validated")] == [
        "SIN-2026-000001",
        "SIN-2026-000002",
    ]
    # A credit note has a series of its own.
    await connector.release(released(event("BE-3", item("c", "-5.00"))))
    await connector.command(start_ids("PR-3", "BE-3"))
    await connector.settle()
    assert (await connector.facts("validated"))[-1]["date"] == "2026-11-26"


async def test_a_date_that_no_document_could_have_is_refused_where_it_is_asked_for(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put(client, closed_through="2026-10-31")
    await connector.release(released(event("BE-1")))
    select = {"select": {"billing_event_ids": ["BE-1"]}}
    for day, code in (("2027-11-26", "date_too_far_ahead"), ("2026-10-01", "period_closed")):
        answer = await client.post("/process-runs", json={**select, "invoice_date": day})
        problem = answer.json()
        assert (answer.status_code, problem["code"], codes(problem["reasons"])) == (422, code, [code])
        tried = await client.post("/process-runs/validate", json={**select, "invoice_date": day})
        (failing,) = tried.json()["would_fail"]
        assert codes(failing["reasons"]) == [code]
    assert (await client.get("/process-runs")).json()["items"] == []
    answer = await client.post("/process-runs", json={**select, "invoice_date": "2026-11-30"})
    assert (answer.status_code, codes(answer.json()["date_warnings"])) == (202, ["date_in_future"])


async def test_the_documents_of_one_act_are_numbered_by_date_kind_and_event(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put(client)
    bodies = [event("BE-3"), event("BE-2", item("c", "-5.00")), event("BE-1"), event("BE-4")]
    await connector.release(*(released(body) for body in bodies))
    await connector.command(
        claim("R-1", "BE-1", "BE-2", "BE-3", "BE-4"),
        start_ids("PR-1", "BE-4", billing_run_id="R-1", validate=False, invoice_date="2026-11-20"),
        start_ids("PR-2", "BE-3", "BE-2", "BE-1", billing_run_id="R-1", validate=False),
    )
    await connector.settle()
    drafts = {each["billing_event_ids"][0]: each["document_id"] for each in await connector.facts("drafted")}
    await connector.command(validate(*(drafts[each] for each in ("BE-3", "BE-2", "BE-1", "BE-4"))))
    numbers = {each["billing_event_ids"][0]: each["number"] for each in await connector.facts("validated")}
    assert numbers == {
        "BE-4": "SIN-2026-000001",
        "BE-1": "SIN-2026-000002",
        "BE-3": "SIN-2026-000003",
        "BE-2": "SCN-2026-000001",
    }


async def test_a_draft_whose_date_has_become_impossible_says_so_and_takes_another(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await put(client, closed_through="2026-10-31")
    await connector.release(released(event("BE-1")))
    await connector.command(
        claim("R-1", "BE-1"),
        start_ids("PR-1", "BE-1", billing_run_id="R-1", validate=False, invoice_date="2026-10-31"),
    )
    await connector.settle()
    (draft,) = await connector.facts("drafted")
    assert codes(draft["warnings"]) == ["period_closed"]
    await connector.command(validate(draft["document_id"]))
    (refused,) = await connector.facts("refused")
    assert (refused["action"], codes(refused["reasons"])) == ("validate", ["period_closed"])
    await connector.command(validate(draft["document_id"], date="2026-11-01"))
    (made,) = await connector.facts("validated")
    assert numbered([made]) == [("SIN-2026-000001", "2026-11-01", [])]


@pytest.mark.parametrize("order, outcome", [("refuse", "withdraw-refused"), ("warn", "withdrawn")])
async def test_a_mirror_is_dated_like_every_document(
    connector: ConnectorDriver, client: httpx.AsyncClient, order: str, outcome: str
) -> None:
    await put(client, days_ahead_max=31)
    for event_id, amount in (("BE-1", "100.00"), ("BE-2", "-5.00")):
        await connector.release(released(event(event_id, item(event_id, amount))))
    await connector.command(start_ids("PR-1", "BE-1"), start_ids("PR-2", "BE-2", invoice_date="2026-11-30"))
    await connector.settle()
    await put(client, date_order=order)
    await connector.command(withdraw("BE-1"))
    (told,) = await connector.facts(outcome)
    mirrors = [each for each in await connector.facts("validated") if each["mirrors_document_id"]]
    if outcome == "withdraw-refused":
        assert codes(told["reasons"]) == ["date_before_series"]
        assert mirrors == []
    else:
        assert numbered(mirrors) == [("SCN-2026-000002", "2026-11-26", ["date_before_series"])]


async def test_a_closed_period_is_opened_again_only_with_a_reason(client: httpx.AsyncClient) -> None:
    assert (await put(client, closed_through="2026-10-31")).status_code == 200
    for earlier in ({"closed_through": "2026-09-30"}, {}):
        refused = await put(client, **earlier)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reason")
    assert (await put(client, closed_through="2026-11-25")).status_code == 200
    opened = await put(client, closed_through="2026-09-30", reason="A late supplier")
    assert (opened.status_code, opened.json()["reason"]) == (200, "A late supplier")
