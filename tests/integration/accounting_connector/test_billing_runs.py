"""What a billing run asks of the connector: claims, drafts, numbers, cancels (domain.md section 5)."""

from typing import Any

import pytest

from integration.accounting_connector.driver import (
    ConnectorDriver,
    Fact,
    account,
    cancel,
    claim,
    codes,
    event,
    event_fact,
    item,
    registered,
    released,
    start,
    start_ids,
    unclaim,
    validate,
    words,
)

DRAFTS: dict[str, Any] = {"validate": False, "billing_run_id": "R-1", "invoice_date": "2026-11-30"}


async def claimed(connector: ConnectorDriver, *bodies: dict[str, Any], run: str = "R-1") -> list[str]:
    """Release these events and claim them for the run."""
    ids = [body["billing_event_id"] for body in bodies]
    await connector.release(*(released(body) for body in bodies))
    await connector.command(claim(run, *ids))
    fact = (await connector.facts("claimed"))[-1]
    assert fact["claimed"] == ids
    return ids


async def drafted(connector: ConnectorDriver, *bodies: dict[str, Any], **settings: Any) -> list[Fact]:
    """Draft the documents of these events for the run R-1."""
    ids = await claimed(connector, *bodies)
    await connector.command(start_ids("PR-1", *ids, **(DRAFTS | settings)))
    await connector.settle()
    return await connector.facts("drafted")


def by_code(fact: Fact) -> dict[str, list[str]]:
    return {entry["billing_event_id"]: codes(entry["reasons"]) for entry in fact["refused"]}


async def test_claims_are_given_once_and_kept(connector: ConnectorDriver) -> None:
    await claimed(connector, event("BE-1"), event("BE-2"))
    await connector.release(
        released(event("BE-3", auto_pass_to_accounting=True)),
        released(event("BE-4")),
        event_fact("closed", "BE-4"),
    )
    await connector.command(claim("R-2", "BE-1", "BE-3", "BE-4"), claim("R-1", "BE-1", "BE-2"))
    await connector.settle()
    _, second, again = await connector.facts("claimed")
    assert second["claimed"] == []
    assert by_code(second) == {
        "BE-1": ["claimed_by_run"],
        "BE-3": ["already_invoiced"],
        "BE-4": ["closed"],
    }
    assert (again["claimed"], again["refused"]) == (["BE-1", "BE-2"], [])


async def test_a_claim_waits_for_what_is_not_known_yet(connector: ConnectorDriver) -> None:
    await connector.release(registered(event("BE-2", stage="awaiting_release")))
    await connector.command(claim("R-1", "BE-1", "BE-2", "BE-404"))
    await connector.step()
    assert await connector.facts("claimed") == []
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.settle()
    (fact,) = await connector.facts("claimed")
    assert fact["claimed"] == ["BE-1", "BE-2"]
    assert by_code(fact) == {"BE-404": ["not_found"]}


async def test_a_claim_of_what_stays_unreleased_is_refused(connector: ConnectorDriver) -> None:
    await connector.release(registered(event(stage="awaiting_release")))
    await connector.command(claim("R-1", "BE-1"))
    await connector.settle()
    (fact,) = await connector.facts("claimed")
    assert by_code(fact) == {"BE-1": ["not_released"]}


async def test_only_what_is_eligible_is_claimed(connector: ConnectorDriver) -> None:
    await connector.release(
        released(event("BE-1")),
        released(event("BE-2", billing_event_currency="EUR", company_id=None)),
        released(event("BE-3", items=[item("BE-3", services_product=None)])),
    )
    await connector.command(claim("R-1", "BE-1", "BE-2", "BE-3"))
    await connector.settle()
    (fact,) = await connector.facts("claimed")
    assert fact["claimed"] == ["BE-1"]
    assert by_code(fact) == {
        "BE-2": ["company_missing", "currency_mismatch"],
        "BE-3": ["services_product_missing"],
    }


async def test_a_claimed_event_is_passed_by_its_run_alone(connector: ConnectorDriver) -> None:
    await claimed(connector, event("BE-1"))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert codes(not_passed["reasons"]) == ["claimed_by_run"]
    await connector.command(start_ids("PR-2", "BE-1", **DRAFTS))
    await connector.settle()
    (document,) = await connector.facts("drafted")
    assert document["number"] == f"DRAFT-{document['document_id']}"
    assert (document["billing_run_id"], document["date"]) == ("R-1", "2026-11-30")
    assert document["process_run_id"] == "PR-2"


async def test_all_that_a_run_holds_is_drafted_where_it_asks_for_what_is_eligible(
    connector: ConnectorDriver,
) -> None:
    """A run of more events than one message carries asks so (contract.md section 1, process-run.start)."""
    await drafted(connector, event("BE-1"))
    odd = item("BE-4", quantity="3", unit_price="10.00", amount="100.00")
    await claimed(connector, event("BE-2"), event("BE-3"), event("BE-4", items=[odd]))
    await claimed(connector, event("BE-5"), run="R-2")
    await connector.release(released(event("BE-6")))
    await connector.command(unclaim("R-1", "BE-3"))
    await connector.command(start("PR-2", select={"eligible": True}, **DRAFTS))
    await connector.settle()
    documents = [fact for fact in await connector.facts("drafted") if fact["process_run_id"] == "PR-2"]
    assert [fact["billing_event_ids"] for fact in documents] == [["BE-2"]]
    assert [fact["billing_event_id"] for fact in await connector.facts("not-passed")] == ["BE-4"]


@pytest.mark.parametrize(("end", "eligible"), [("reopen", True), ("cancel", False)])
async def test_an_unclaim_frees_or_closes(connector: ConnectorDriver, end: str, eligible: bool) -> None:
    await claimed(connector, event("BE-1"))
    await connector.command(
        unclaim("R-2", "BE-1", billing_events=end),
        unclaim("R-1", "BE-1", "BE-9", billing_events=end),
    )
    (other,) = await connector.facts("unclaimed")
    assert (other["unclaimed"], by_code(other)) == ([], {"BE-1": ["not_claimed"]})
    await connector.settle()  # what is not known is waited for
    _, own = await connector.facts("unclaimed")
    assert (own["unclaimed"], by_code(own)) == (["BE-1"], {"BE-9": ["not_found"]})
    assert own["billing_events"] == end
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    assert len(await connector.facts("validated")) == int(eligible)
    assert [codes(fact["reasons"]) for fact in await connector.facts("not-passed")] == (
        [] if eligible else [["closed"]]
    )


async def test_drafts_are_numbered_when_they_are_validated(connector: ConnectorDriver) -> None:
    first, second = await drafted(connector, event("BE-1"), event("BE-2"))
    await connector.command(validate(second["document_id"]))
    (document,) = await connector.facts("validated")
    assert (document["number"], document["date"]) == ("SIN-2026-000001", "2026-11-30")
    assert (document["due_date"], document["job_id"]) == ("2026-12-30", "step-1")
    assert document["lines"] == second["lines"]
    await connector.command(validate(first["document_id"], date="2026-12-02"))
    _, document = await connector.facts("validated")
    assert (document["number"], document["date"]) == ("SIN-2026-000002", "2026-12-02")


async def test_validating_ends_the_claim(connector: ConnectorDriver) -> None:
    (draft,) = await drafted(connector, event("BE-1"))
    assert await connector.database.pool.fetchval("select count(*) from claims") == 1
    await connector.command(validate(draft["document_id"]))
    assert await connector.database.pool.fetchval("select count(*) from claims") == 0
    await connector.command(claim("R-2", "BE-1"))
    assert by_code((await connector.facts("claimed"))[-1]) == {"BE-1": ["already_invoiced"]}


async def test_validating_again_tells_the_same(connector: ConnectorDriver) -> None:
    (draft,) = await drafted(connector, event("BE-1"))
    await connector.command(validate(draft["document_id"]), validate(draft["document_id"]))
    first, second = await connector.facts("validated")
    assert first == second


async def test_a_collection_date_is_the_due_date(connector: ConnectorDriver) -> None:
    (draft,) = await drafted(connector, event("BE-1"), collection_date="2026-12-15")
    assert draft["due_date"] == "2026-12-15"
    await connector.command(validate(draft["document_id"]))
    (document,) = await connector.facts("validated")
    assert document["due_date"] == "2026-12-15"


@pytest.mark.parametrize("end", ["reopen", "cancel"])
async def test_a_cancelled_draft_lets_its_events_go(connector: ConnectorDriver, end: str) -> None:
    (draft,) = await drafted(connector, event("BE-1"))
    command = cancel(draft["document_id"], billing_events=end)
    await connector.command(command, command)
    (document,) = await connector.facts("cancelled")
    assert (document["status"], document["number"]) == ("cancelled", draft["number"])
    (fact,) = await connector.facts("unclaimed")
    assert (fact["billing_run_id"], fact["unclaimed"], fact["billing_events"]) == ("R-1", ["BE-1"], end)
    await connector.command(start_ids("PR-2", "BE-1"))
    await connector.settle()
    assert len(await connector.facts("validated")) == int(end == "reopen")


async def test_what_a_document_does_not_allow_is_refused(connector: ConnectorDriver) -> None:
    first, second = await drafted(connector, event("BE-1"), event("BE-2"))
    await connector.command(
        validate(first["document_id"]),
        cancel(second["document_id"]),
        cancel(first["document_id"]),
        validate(second["document_id"]),
    )
    refusals = await connector.facts("refused")
    assert [
        (fact["document_id"], fact["action"], codes(fact["reasons"]), fact["job_id"]) for fact in refusals
    ] == [
        (first["document_id"], "cancel", ["action_not_available"], "step-1"),
        (second["document_id"], "validate", ["action_not_available"], "step-1"),
    ]


async def test_a_draft_outside_a_run_does_not_close_its_event(connector: ConnectorDriver) -> None:
    await connector.release(released(event("BE-1")))
    await connector.command(start_ids("PR-1", "BE-1", validate=False))
    await connector.settle()
    (draft,) = await connector.facts("drafted")
    await connector.command(cancel(draft["document_id"], billing_events="cancel"))
    (refusal,) = await connector.facts("refused")
    assert codes(refusal["reasons"]) == ["action_not_available"]
    await connector.command(cancel(draft["document_id"]))
    assert words(await connector.facts("cancelled", "unclaimed")) == ["cancelled"]


async def test_an_unknown_document_is_waited_for_then_refused(connector: ConnectorDriver) -> None:
    (draft,) = await drafted(connector, event("BE-1"))
    await connector.command(validate("D-404", draft["document_id"]))
    assert await connector.facts("validated", "refused") == []
    await connector.settle()
    assert words(await connector.facts("validated", "refused")) == ["refused", "validated"]
    (refusal,) = await connector.facts("refused")
    assert (refusal["document_id"], codes(refusal["reasons"])) == ("D-404", ["not_found"])


async def test_an_invoice_below_the_threshold_is_not_made(connector: ConnectorDriver) -> None:
    threshold = {"amount": "100.00", "currency": "GBP"}
    bodies = [
        event("BE-1", item("a", "99.99")),
        event("BE-2", item("b", "100.00")),
        event("BE-3", item("c", "-10.00")),
    ]
    drafts = await drafted(connector, *bodies, threshold=threshold)
    assert [draft["billing_event_ids"] for draft in drafts] == [["BE-2"], ["BE-3"]]
    (not_passed,) = await connector.facts("not-passed")
    assert (not_passed["billing_event_id"], not_passed["billing_run_id"]) == ("BE-1", "R-1")
    assert codes(not_passed["reasons"]) == ["below_threshold"]
    claims = await connector.database.pool.fetch("select billing_event_id from claims order by 1")
    assert [row["billing_event_id"] for row in claims] == ["BE-2", "BE-3"]


async def test_by_account_events_share_documents_and_are_never_netted(connector: ConnectorDriver) -> None:
    await connector.reference(account("A-2"))
    bodies = [
        event("BE-1"),
        event("BE-2", account_id="A-2"),
        event("BE-3", item("c", "-10.00")),
        event("BE-4", engagement="ENG-8"),
        event("BE-5", currency="EUR", billing_event_currency="EUR"),
    ]
    drafts = await drafted(connector, *bodies, grouping="account")
    shown = sorted(
        (draft["kind"], draft["currency"], draft["billing_event_ids"], draft["engagement"])
        for draft in drafts
    )
    assert shown == sorted(
        [
            ("sales_invoice", "GBP", ["BE-1", "BE-4"], None),
            ("sales_invoice", "GBP", ["BE-2"], "ENG-7"),
            ("sales_credit_note", "GBP", ["BE-3"], "ENG-7"),
            ("sales_invoice", "EUR", ["BE-5"], "ENG-7"),
        ]
    )


async def test_by_account_whole_events_fill_documents_across_chunks(
    connector: ConnectorDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounting_connector.handlers.process_run_work.CHUNK_EVENTS_MAX_BY_ACCOUNT", 8)
    small = ConnectorDriver(connector.database, max_lines=5)
    await small.reference(account("A-2"))
    # Interleaved, so that what stands together was put there by the connector.
    bodies = [
        event(
            f"BE-{place:02}",
            item(f"{place}-a", "1.00"),
            item(f"{place}-b", "2.00"),
            account_id=f"A-{place % 2 + 1}",
        )
        for place in range(20)
    ]
    drafts = await drafted(small, *bodies, grouping="account")
    sizes = sorted((draft["account"]["id"], len(draft["billing_event_ids"])) for draft in drafts)
    assert sizes == [("A-1", 2)] * 5 + [("A-2", 2)] * 5
    (completed,) = await small.facts("process-run.completed")
    assert completed["invoices"] == 10


async def test_one_draft_stands_in_the_way_of_every_other_way_in(connector: ConnectorDriver) -> None:
    (draft,) = await drafted(connector, event("BE-1"))
    await connector.command(start_ids("PR-2", "BE-1"), start_ids("PR-3", "BE-1", **DRAFTS))
    await connector.settle()
    log = await connector.database.pool.fetch(
        "select * from process_run_events where process_run_id in ('PR-2', 'PR-3')"
    )
    assert [(row["result"], row["document_id"]) for row in log] == [("ok", draft["document_id"])] * 2
