"""Withdrawing events for a revert (domain.md section 4, "Withdraw")."""

import httpx

from integration.accounting_connector.driver import (
    WITHDRAW,
    ConnectorDriver,
    changed,
    claim,
    codes,
    event,
    item,
    released,
    start_ids,
    validate,
    withdraw,
    words,
)
from support.records import message_record


async def outcomes(connector: ConnectorDriver) -> list[tuple[str, str]]:
    return [(fact["billing_event_id"], fact["outcome"]) for fact in await connector.facts("withdrawn")]


async def test_an_event_without_a_document_is_barred(connector: ConnectorDriver) -> None:
    body = event(auto_pass_to_accounting=True, company_id=None)
    await connector.release(released(body))
    await connector.command(withdraw("BE-1"))
    assert await outcomes(connector) == [("BE-1", "none")]
    # A fact from before the revert, read late, must not bring it back.
    await connector.release(changed(event(auto_pass_to_accounting=True)))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert codes(not_passed["reasons"]) == ["not_released"]
    assert await connector.facts("validated") == []


async def test_a_draft_is_cancelled(connector: ConnectorDriver) -> None:
    await connector.release(released(event()))
    await connector.command(start_ids("PR-1", "BE-1", validate=False))
    await connector.settle()
    (draft,) = await connector.facts("drafted")
    await connector.command(withdraw("BE-1"))
    assert words(await connector.facts("cancelled", "withdrawn")) == ["cancelled", "withdrawn"]
    (fact,) = await connector.facts("withdrawn")
    assert (fact["outcome"], fact["document_id"]) == ("cancelled", draft["document_id"])
    await connector.command(validate(draft["document_id"]))
    assert words(await connector.facts("validated", "refused")) == ["refused"]


async def test_a_validated_document_is_mirrored(connector: ConnectorDriver) -> None:
    items = [item("a", "100.00"), item("b", "-30.00")]
    await connector.release(released(event("BE-1", *items, auto_pass_to_accounting=True)))
    await connector.command(withdraw("BE-1"))
    original, mirror = await connector.facts("validated")
    assert (mirror["kind"], mirror["number"]) == ("sales_credit_note", "SCN-2026-000001")
    assert mirror["mirrors_document_id"] == original["document_id"]
    assert mirror["corrects_document_id"] == original["document_id"]
    for name in ("total_net", "total_tax", "total_gross", "taxes", "billing_event_ids"):
        assert mirror[name] == original[name]
    lines = [{**line, "line_id": None} for line in original["lines"]]
    assert [{**line, "line_id": None} for line in mirror["lines"]] == lines
    (fact,) = await connector.facts("withdrawn")
    assert fact["document_id"] == original["document_id"]
    assert fact["mirror_document_id"] == mirror["document_id"]
    assert await connector.database.pool.fetchval("select count(*) from live_documents") == 0


async def test_withdrawn_again_it_tells_the_same(connector: ConnectorDriver) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True)))
    await connector.command(withdraw("BE-1"), withdraw("BE-1"))
    first, second = await connector.facts("withdrawn")
    assert first == second
    assert len(await connector.facts("validated")) == 2


async def test_a_claimed_event_stays_and_so_does_what_is_reverted_with_it(
    connector: ConnectorDriver,
) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.command(claim("R-1", "BE-1"), withdraw("BE-1", "BE-2"))
    refusals = await connector.facts("withdraw-refused")
    assert [(fact["billing_event_id"], codes(fact["reasons"])) for fact in refusals] == [
        ("BE-1", ["claimed_by_run"]),
        ("BE-2", ["batch_failed"]),
    ]
    await connector.command(start_ids("PR-1", "BE-2"))
    await connector.settle()
    assert len(await connector.facts("validated")) == 1


async def test_of_a_document_of_several_events_each_is_taken_back_by_itself(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await client.put("/companies/C-UK/settings", json={"tax_rules": [{"category": "S", "rate": "20"}]})
    bodies = [event(f"BE-{place}", item(f"i{place}", "33.33")) for place in (1, 2)]
    await connector.release(*(released(body) for body in bodies))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2", grouping="account"))
    await connector.settle()
    await connector.command(withdraw("BE-1"))
    await connector.command(start_ids("PR-2", "BE-2"))
    await connector.settle()
    await connector.command(withdraw("BE-2"))
    document, *mirrors = await connector.facts("validated")
    assert (document["billing_event_ids"], document["total_tax"]) == (["BE-1", "BE-2"], "13.33")
    shown = [(each["billing_event_ids"], each["total_net"], each["total_tax"]) for each in mirrors]
    assert shown == [(["BE-1"], "33.33", "6.67"), (["BE-2"], "33.33", "6.66")]
    assert {each["mirrors_document_id"] for each in mirrors} == {document["document_id"]}
    told = await connector.facts("withdrawn")
    assert [each["mirror_document_id"] for each in told] == [each["document_id"] for each in mirrors]
    assert (await client.get("/reconciliation")).json()["balanced"] is True


async def test_a_draft_of_several_events_stands_in_the_way(connector: ConnectorDriver) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2", grouping="account", validate=False))
    await connector.settle()
    await connector.command(withdraw("BE-1"))
    (refusal,) = await connector.facts("withdraw-refused")
    assert codes(refusal["reasons"]) == ["document_shared"]


async def test_an_unknown_event_is_waited_for_then_refused(connector: ConnectorDriver) -> None:
    await connector.command(withdraw("BE-404"))
    assert await connector.facts() == []
    await connector.settle()
    (refusal,) = await connector.facts("withdraw-refused")
    assert codes(refusal["reasons"]) == ["not_found"]


async def test_commands_of_two_sources_with_the_same_id_both_wait(connector: ConnectorDriver) -> None:
    await connector.command(
        *(
            message_record(WITHDRAW, {"billing_event_ids": [event_id]}, message_id="1", source=source)
            for event_id, source in (("BE-404", "one"), ("BE-405", "two"))
        )
    )
    await connector.settle()
    told = await connector.facts("withdraw-refused")
    assert sorted(fact["billing_event_id"] for fact in told) == ["BE-404", "BE-405"]
