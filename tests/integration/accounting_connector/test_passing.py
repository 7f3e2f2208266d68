"""From released events to documents: auto-pass, process runs on demand, release and invoice."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from integration.accounting_connector.driver import (
    ZERO_RATED,
    ConnectorDriver,
    account,
    changed,
    claim,
    codes,
    company,
    event,
    item,
    job_completed,
    registered,
    released,
    start,
    start_ids,
    words,
)
from shared.database.database import Database
from shared.ids import derived_id


async def test_a_single_auto_pass_event_is_passed_with_its_release(connector: ConnectorDriver) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True)))
    facts = await connector.facts()
    assert words(facts) == ["process-run.started", "validated", "process-run.completed"]
    document, run = facts[1], facts[2]
    assert document["number"] == "SIN-2026-000001"
    assert document.key == document["document_id"]
    assert document["account"]["address"]["city"] == "Hull"
    assert document["starter"] == {"user_id": "u1", "email": "u1@example.com"}
    assert (run["at_once"], run["kind"], run["status"]) == (True, "auto_pass", "completed")
    assert run["totals"] == {"GBP": {"invoices": "100.00", "credit_notes": "0.00"}}


async def test_a_document_says_what_it_leaves_out(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    settings = {"item_criteria": ['category != "expense"'], "tax_rules": [ZERO_RATED]}
    await client.put("/companies/C-UK/settings", json=settings)
    items = [item("a", "-100.00"), item("b", "-20.00", category="expense", business_record_id="E-1")]
    await connector.release(released(event("BE-1", *items)), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
    await connector.settle()
    document = (await connector.facts("validated"))[0]
    left_out = {
        "billing_event_id": "BE-1",
        "item_id": "b",
        "business_record_id": "E-1",
        "amount": "-20.00",
        "criterion": 'category != "expense"',
    }
    assert (document["kind"], document["total_net"]) == ("sales_credit_note", "100.00")
    assert (document["excluded_items"], document["left_out_items"]) == (["b"], [left_out])
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["status"], completed["warnings"], completed["not_passed"]) == ("completed", 1, 0)
    assert completed["left_out"] == {"GBP": {"items": 1, "amount": "-20.00"}}
    answer = await client.get("/process-runs/PR-1/log", params={"result": "warning"})
    (entry,) = answer.json()["items"]
    assert (entry["billing_event_id"], entry["document_id"]) == ("BE-1", document["document_id"])
    assert [reason["code"] for reason in entry["reasons"]] == ["items_left_out"]
    assert (await client.get("/process-runs/PR-1")).json()["warnings"] == 1
    assert (await client.get(f"/documents/{document['document_id']}")).json()["left_out_items"] == [left_out]


async def test_an_event_without_the_flag_waits_to_be_asked_for(connector: ConnectorDriver) -> None:
    await connector.release(released(event()))
    await connector.settle()
    assert await connector.facts() == []
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    assert words(await connector.facts()) == ["process-run.started", "validated", "process-run.completed"]


async def test_an_event_that_its_company_flags_by_a_field(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await client.put("/companies/C-UK/settings", json={"auto_pass_field": "invoice_now"})
    await connector.release(
        released(event("BE-1", fields={"invoice_now": "true"})),
        released(event("BE-2", fields={"invoice_now": False})),
    )
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-1"]]


async def test_a_large_auto_pass_event_goes_through_the_background(connector: ConnectorDriver) -> None:
    items = [item(f"i{place}", "1.00") for place in range(201)]
    await connector.release(released(event("BE-1", *items, auto_pass_to_accounting=True)))
    assert words(await connector.facts()) == ["process-run.started"]
    await connector.settle()
    facts = await connector.facts()
    assert words(facts) == ["process-run.started", "validated", "process-run.completed"]
    assert facts[-1]["at_once"] is False
    assert facts[1]["total_net"] == "201.00"


async def test_an_event_becomes_eligible_by_a_later_fill(connector: ConnectorDriver) -> None:
    bare = event(auto_pass_to_accounting=True, company_id=None)
    await connector.release(released(bare))
    await connector.settle()
    assert await connector.facts() == []
    await connector.release(changed(event(auto_pass_to_accounting=True), causation_id="fill-1"))
    await connector.settle()
    facts = await connector.facts()
    assert words(facts) == ["process-run.started", "validated", "process-run.completed"]
    assert facts[-1]["at_once"] is True


async def test_events_of_one_fill_are_one_process_run(connector: ConnectorDriver) -> None:
    ids = [f"BE-{place}" for place in range(5)]
    for event_id in ids:
        await connector.release(
            changed(event(event_id, auto_pass_to_accounting=True), causation_id="project-2")
        )
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["invoices"], completed["at_once"]) == (5, False)
    assert len(await connector.facts("validated")) == 5


async def test_auto_pass_waits_for_the_account_to_arrive(store: object, connector: ConnectorDriver) -> None:
    await connector.release(released(event(account_id="A-2", auto_pass_to_accounting=True)))
    assert await connector.facts() == []
    await connector.reference(account("A-2"))
    await connector.settle()
    assert words(await connector.facts("validated")) == ["validated"]


async def test_auto_pass_events_of_a_job_are_one_process_run(connector: ConnectorDriver) -> None:
    bodies = [event(f"BE-{place}", auto_pass_to_accounting=True) for place in range(4)]
    await connector.release(*(released(body, job_id="J-1") for body in bodies[:2]))
    await connector.step()
    assert len(await connector.facts("validated")) == 2
    assert await connector.facts("process-run.completed") == []
    await connector.release(job_completed("J-1", 4, and_invoice=False))
    await connector.step()
    assert await connector.facts("process-run.completed") == []
    await connector.release(*(released(body, job_id="J-1") for body in bodies[2:]))
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["invoices"], completed["at_once"], completed["job_id"]) == (4, False, "J-1")


async def test_a_job_with_one_auto_pass_event_is_told_at_once(connector: ConnectorDriver) -> None:
    await connector.release(
        released(event(auto_pass_to_accounting=True), job_id="J-1"),
        released(event("BE-2"), job_id="J-1"),
        job_completed("J-1", 2, and_invoice=False),
    )
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["at_once"], completed["invoices"]) == (True, 1)


@pytest.mark.parametrize("order", ["counted last", "counted first", "counted between"])
async def test_stage_two_waits_for_all_that_stage_one_released(
    connector: ConnectorDriver, order: str
) -> None:
    facts = [released(event(f"BE-{place}"), job_id="J-1", and_invoice=True) for place in range(3)]
    end = job_completed("J-1", 3)
    place = {"counted last": 3, "counted first": 0, "counted between": 1}[order]
    sequence = [*facts[:place], end, *facts[place:]]
    for record in sequence[:-1]:
        await connector.release(record)
        await connector.settle()
        assert await connector.facts() == []
    await connector.release(sequence[-1])
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert completed["process_run_id"] == derived_id("process-run", "J-1")
    assert (completed["kind"], completed["invoices"]) == ("release_and_invoice", 3)
    assert completed["starter"] == {"user_id": "u1", "email": "u1@example.com"}


async def test_a_job_that_released_nothing_has_an_empty_second_stage(connector: ConnectorDriver) -> None:
    await connector.release(job_completed("J-1", 0))
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["invoices"], completed["not_passed"], completed["status"]) == (0, 0, "completed")


async def test_auto_pass_leaves_what_release_and_invoice_takes(connector: ConnectorDriver) -> None:
    body = event(auto_pass_to_accounting=True)
    await connector.release(released(body, job_id="J-1", and_invoice=True), changed(body))
    await connector.settle()
    assert await connector.facts() == []
    await connector.release(job_completed("J-1", 1))
    await connector.settle()
    assert [run["kind"] for run in await connector.facts("process-run.completed")] == ["release_and_invoice"]


async def test_released_but_ineligible_is_an_error_of_the_second_stage(connector: ConnectorDriver) -> None:
    await connector.release(
        released(event("BE-1"), job_id="J-1", and_invoice=True),
        released(event("BE-2", company_id=None), job_id="J-1", and_invoice=True),
        job_completed("J-1", 2),
    )
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert (not_passed["billing_event_id"], codes(not_passed["reasons"])) == ("BE-2", ["company_missing"])
    assert not_passed.key == "BE-2"
    (completed,) = await connector.facts("process-run.completed")
    assert completed["status"] == "completed_with_errors"
    assert [first["billing_event_id"] for first in completed["first_reasons"]] == ["BE-2"]


async def test_a_second_run_over_the_same_event_is_already_done(connector: ConnectorDriver) -> None:
    await connector.release(released(event()))
    await connector.command(start_ids("PR-1", "BE-1"), start_ids("PR-2", "BE-1"))
    await connector.settle()
    (document,) = await connector.facts("validated")
    first, second = await connector.facts("process-run.completed")
    assert (first["invoices"], first["already_done"]) == (1, 0)
    assert (second["invoices"], second["already_done"], second["status"]) == (0, 1, "completed")
    log = await connector.database.pool.fetch(
        "select * from process_run_events where process_run_id = 'PR-2'"
    )
    assert [(row["result"], row["document_id"]) for row in log] == [("ok", document["document_id"])]
    assert codes(log[0]["reasons"]) == ["already_done"]


async def test_the_same_process_run_again_tells_the_same_result(connector: ConnectorDriver) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    before = await connector.facts()
    assert words(before) == ["process-run.started", "validated", "process-run.completed"], (
        "under way: nothing more"
    )
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    (again,) = (await connector.facts())[len(before) :]
    assert (again.type, again) == (before[-1].type, before[-1])
    assert await connector.dead_letters() == []


@pytest.mark.parametrize(
    "other", [{"grouping": "account"}, {"validate": False}, {"invoice_date": "2026-11-30"}]
)
async def test_the_id_of_a_process_run_with_another_request_is_bad_input(
    connector: ConnectorDriver, other: dict[str, object]
) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    before = await connector.facts()
    await connector.command(start_ids("PR-1", "BE-2"), start_ids("PR-1", "BE-1", **other))
    await connector.settle()
    assert await connector.facts() == before
    assert await connector.dead_letters() == ["this process_run_id was used before for another request"] * 2


async def test_messages_delivered_again_change_nothing(connector: ConnectorDriver) -> None:
    records = [
        released(event("BE-1", auto_pass_to_accounting=True)),
        released(event("BE-2"), job_id="J-1", and_invoice=True),
        job_completed("J-1", 1),
    ]
    command = start_ids("PR-1", "BE-1", "BE-2")
    await connector.release(*records)
    await connector.command(command)
    await connector.settle()
    before = await connector.facts()
    assert len([fact for fact in before if fact.type.endswith("document.validated.v1")]) == 2
    await connector.release(*records)
    await connector.release(*reversed(records))
    await connector.command(command, command)
    await connector.settle()
    assert await connector.facts() == before


async def test_an_unknown_event_is_waited_for_then_not_found(
    store: object, connector: ConnectorDriver
) -> None:
    await connector.command(start_ids("PR-1", "BE-1", "BE-404"))
    await connector.step()
    assert await connector.facts("process-run.completed", "not-passed", "validated") == []
    await connector.release(released(event("BE-1")))
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert (not_passed["billing_event_id"], codes(not_passed["reasons"])) == ("BE-404", ["not_found"])
    assert [document["billing_event_ids"] for document in await connector.facts("validated")] == [["BE-1"]]


async def test_a_run_does_not_overtake_the_release_that_it_follows(connector: ConnectorDriver) -> None:
    await connector.release(registered(event(stage="awaiting_release")))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.step()
    await connector.release(released(event()))
    await connector.settle()
    assert words(await connector.facts("validated", "not-passed")) == ["validated"]


async def test_all_eligible_events_leaving_the_others_out(connector: ConnectorDriver) -> None:
    await connector.release(
        released(event("BE-1")),
        released(event("BE-2", company_id=None)),
        released(event("BE-3", item("i3", services_product=None))),
        registered(event("BE-4", stage="awaiting_release")),
        released(event("BE-5", date="2026-11-01")),
    )
    await connector.command(start("PR-1", select={"eligible": True}))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-5"], ["BE-1"]]
    assert await connector.facts("not-passed") == []
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["status"], completed["not_passed"]) == ("completed", 0)


async def test_what_a_job_releases_after_its_end_is_invoiced_in_the_same_second_stage(
    connector: ConnectorDriver,
) -> None:
    await connector.release(
        released(event("BE-1"), job_id="J-1", and_invoice=True), job_completed("J-1", 1, pending=2)
    )
    await connector.settle()
    # Told before their job ends once more, and left to its second stage.
    late = [released(event(f"BE-{number}"), job_id="J-1", and_invoice=True) for number in (2, 3)]
    await connector.release(*late)
    await connector.settle()
    assert len(await connector.facts("validated")) == 1
    await connector.release(job_completed("J-1", 3))
    await connector.settle()
    await connector.release(job_completed("J-1", 3))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-1"], ["BE-2"], ["BE-3"]]
    ends = [fact for fact in await connector.facts() if fact.type == "accounting.process-run.completed.v1"]
    run_id = derived_id("process-run", "J-1")
    assert [(end["process_run_id"], end["invoices"], end["extended"]) for end in ends] == [
        (run_id, 1, 0),
        (run_id, 3, 1),
    ]


async def test_what_a_job_releases_after_its_end_is_passed_by_itself_in_the_same_run(
    connector: ConnectorDriver,
) -> None:
    flagged = [event(f"BE-{number}", auto_pass_to_accounting=True) for number in (1, 2)]
    await connector.release(
        released(flagged[0], job_id="J-1"), job_completed("J-1", 1, and_invoice=False, pending=1)
    )
    await connector.settle()
    await connector.release(released(flagged[1], job_id="J-1"))
    await connector.settle()
    await connector.release(job_completed("J-1", 2, and_invoice=False))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-1"], ["BE-2"]]
    ends = [fact for fact in await connector.facts() if fact.type == "accounting.process-run.completed.v1"]
    assert {end["process_run_id"] for end in ends} == {derived_id("process-run", "J-1")}
    assert (ends[-1]["invoices"], ends[-1]["status"]) == (2, "completed")


async def test_batches_and_filters_stand_for_what_is_released(connector: ConnectorDriver) -> None:
    await connector.release(
        released(event("BE-1")),
        released(event("BE-2", batch_id="BB-2")),
        released(event("BE-3", date="2026-12-24")),
        registered(event("BE-4", stage="awaiting_release")),
    )
    await connector.command(start("PR-1", select={"batch_ids": ["BB-2"]}))
    await connector.settle()
    in_december = {"project_id": "P-1", "date_from": "2026-12-01", "date_to": "2026-12-24"}
    await connector.command(start("PR-2", select={"filter": in_december}))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-2"], ["BE-3"]]


@pytest.mark.parametrize(("stage", "ids"), [("released", [["BE-1"]]), ("awaiting_release", [])])
async def test_a_filter_takes_the_stage_as_the_list_does(
    connector: ConnectorDriver, stage: str, ids: list[list[str]]
) -> None:
    await connector.release(released(event("BE-1")), registered(event("BE-2", stage="awaiting_release")))
    await connector.command(start("PR-1", select={"filter": {"stage": stage}}))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == ids


async def test_a_selection_as_of_a_moment_leaves_out_what_came_or_changed_in_amount_later(
    connector: ConnectorDriver,
) -> None:
    seven = item("i-7", "7.00")
    await connector.release(
        *(registered(event(f"BE-{number}", stage="awaiting_release")) for number in (1, 2, 4))
    )
    as_of = await connector.database.pool.fetchval("select clock_timestamp()::text")
    await connector.release(
        changed(event("BE-2", seven, stage="awaiting_release")), registered(event("BE-3"))
    )
    await connector.release(*(released(event(f"BE-{number}")) for number in (1, 3, 4)))
    await connector.release(released(event("BE-2", seven)))
    select = {
        "filter": {"project_id": "P-1"},
        "as_of": as_of.replace(" ", "T") + ":00",
        "exclude_ids": ["BE-4"],
    }
    await connector.command(start("PR-1", select=select))
    await connector.settle()
    assert [document["billing_event_ids"] for document in await connector.facts("validated")] == [["BE-1"]]


async def test_a_filter_stands_for_what_was_released_just_before_and_is_told_of_just_after(
    connector: ConnectorDriver,
) -> None:
    waiting, over = (replace(connector.deployment, settle_seconds=seconds) for seconds in (600.0, 1e-6))
    await connector.release(released(event("BE-1")))
    connector.deployment = waiting
    await connector.command(start("PR-1", select={"filter": {"project_id": "P-1"}}))
    assert not await connector.step()
    await connector.release(released(event("BE-2", date="2026-11-01")))
    assert not await connector.step()
    connector.deployment = over
    await connector.settle()
    documents = await connector.facts("validated")
    assert sorted(document["billing_event_ids"] for document in documents) == [["BE-1"], ["BE-2"]]


async def test_a_list_of_ids_is_worked_at_once(connector: ConnectorDriver) -> None:
    connector.deployment = replace(connector.deployment, settle_seconds=600.0)
    await connector.release(released(event("BE-1")))
    await connector.command(start_ids("PR-1", "BE-1"))
    assert await connector.step()
    assert len(await connector.facts("validated")) == 1


async def test_one_bad_event_does_not_stop_the_others(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in range(3)))
    # Broken behind the service's back, so that only the making of its document finds out.
    await administrator.execute(
        """update billing_events set body = jsonb_set(body, '{items,0,quantity}', '"many"')
        where billing_event_id = 'BE-1'"""
    )
    await connector.command(start_ids("PR-1", "BE-0", "BE-1", "BE-2"))
    await connector.settle()
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-0"], ["BE-2"]]
    assert await connector.facts("not-passed") == []
    (ended,) = await connector.facts("process-run.completed")
    assert (ended["status"], ended["pending"]) == ("completed_with_errors", 1)


async def test_an_event_that_the_database_refuses_is_pending_by_itself(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in range(3)))
    await administrator.execute(
        "alter table document_lines add constraint poison check (billing_event_id <> 'BE-1')"
    )
    try:
        with capture_logs():
            await connector.command(start_ids("PR-1", "BE-0", "BE-1", "BE-2"))
            await connector.settle()
    finally:
        await administrator.execute("alter table document_lines drop constraint poison")
    documents = await connector.facts("validated")
    assert [document["billing_event_ids"] for document in documents] == [["BE-0"], ["BE-2"]]
    assert [document["number"] for document in documents] == ["SIN-2026-000001", "SIN-2026-000002"]
    assert await connector.facts("not-passed") == []
    assert [ended["pending"] for ended in await connector.facts("process-run.completed")] == [1]


async def test_a_run_that_cannot_be_worked_at_all_is_tried_again_and_does_not_keep_the_others_waiting(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await administrator.execute(
        """alter table process_runs add constraint poison
        check (process_run_id <> 'PR-1' or status = 'in_progress')"""
    )
    try:
        with capture_logs():
            await connector.command(start_ids("PR-1", "BE-1"), start_ids("PR-2", "BE-2"))
            await connector.step()
            await connector.step()
    finally:
        await administrator.execute("alter table process_runs drop constraint poison")
    assert [fact["id"] for fact in await connector.facts("pending")] == ["PR-1"]
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["process_run_id"], completed["status"]) == ("PR-2", "completed")
    assert [document["billing_event_ids"] for document in await connector.facts("validated")] == [["BE-2"]]
    await connector.try_again()
    assert [fact["id"] for fact in await connector.facts("recovered")] == ["PR-1"]
    ended = (await connector.facts("process-run.completed"))[-1]
    assert (ended["process_run_id"], ended["status"], ended["invoices"]) == ("PR-1", "completed", 1)


async def test_a_run_that_cannot_be_worked_at_all_can_be_given_up(
    connector: ConnectorDriver,
    administrator: "asyncpg.Connection[asyncpg.Record]",
    client: httpx.AsyncClient,
) -> None:
    await connector.release(released(event("BE-1")))
    await administrator.execute(
        "alter table process_runs add constraint poison check (status = 'in_progress')"
    )
    try:
        with capture_logs():
            await connector.command(start_ids("PR-1", "BE-1"))
            await connector.step()
    finally:
        await administrator.execute("alter table process_runs drop constraint poison")
    answer = await client.post("/process-runs/PR-1/give-up", json={"billing_event_ids": None})
    assert (answer.json()["status"], answer.json()["pending"], answer.json()["not_passed"]) == (
        "failed",
        0,
        1,
    )
    await connector.try_again()
    assert await connector.facts("validated") == []


async def test_auto_pass_that_cannot_be_done_at_once_is_tried_event_by_event(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await administrator.execute(
        "alter table document_lines add constraint poison check (billing_event_id <> 'BE-1')"
    )
    records = [released(event(f"BE-{place}", auto_pass_to_accounting=True)) for place in range(3)]
    try:
        with capture_logs():
            await connector.release(*records)
            await connector.settle()
    finally:
        await administrator.execute("alter table document_lines drop constraint poison")
    documents = await connector.facts("validated")
    assert sorted(document["billing_event_ids"] for document in documents) == [["BE-0"], ["BE-2"]]
    assert await connector.facts("not-passed") == []
    assert await connector.dead_letters() == []
    assert [fact["pending"] for fact in await connector.facts("process-run.completed")].count(1) == 1


async def test_a_correction_names_the_document_made_in_the_same_batch(connector: ConnectorDriver) -> None:
    correction = event(
        "BE-2", item("i2", "-40.00"), corrects_billing_event_id="BE-1", auto_pass_to_accounting=True
    )
    await connector.release(released(correction), released(event("BE-1", auto_pass_to_accounting=True)))
    by_event = {document["billing_event_ids"][0]: document for document in await connector.facts("validated")}
    assert by_event["BE-2"]["corrects_document_id"] == by_event["BE-1"]["document_id"]
    assert (by_event["BE-2"]["kind"], by_event["BE-2"]["number"]) == ("sales_credit_note", "SCN-2026-000001")


async def test_a_run_of_several_chunks_tells_of_its_progress(connector: ConnectorDriver) -> None:
    ids = [f"BE-{place:03}" for place in range(450)]
    await connector.release(*(released(event(event_id)) for event_id in ids))
    await connector.command(start_ids("PR-1", *ids))
    await connector.settle()
    progressed = await connector.facts("process-run.progressed")
    assert [fact["invoices"] for fact in progressed] == [200, 400]
    (completed,) = await connector.facts("process-run.completed")
    assert completed["totals"] == {"GBP": {"invoices": "45000.00", "credit_notes": "0.00"}}
    numbers = [document["number"] for document in await connector.facts("validated")]
    assert numbers == [f"SIN-2026-{place:06}" for place in range(1, 451)]


async def test_recipients_of_the_companies_are_told(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await client.put("/companies/C-UK/settings", json={"additional_recipients": "a@x.example; b@x.example,"})
    await connector.release(released(event(auto_pass_to_accounting=True)), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-2"))
    await connector.settle()
    for completed in await connector.facts("process-run.completed"):
        assert completed["additional_recipients"] == ["a@x.example", "b@x.example"]


@pytest.mark.parametrize(
    "asked",
    [
        lambda connector: connector.command(start_ids("PR-1", "BE-1")),
        lambda connector: connector.release(job_completed("J-1", 1)),
        lambda connector: connector.command(claim("R-1", "BE-1")),
    ],
    ids=["command", "second stage", "claim"],
)
@pytest.mark.parametrize(
    ("known_seconds", "answers"), [(0, []), (61, ["not-passed", "claimed"])], ids=["new", "known for long"]
)
async def test_an_account_that_is_late_is_waited_for_as_long_as_an_unknown_event(
    store: Database,
    asked: Callable[[ConnectorDriver], Awaitable[None]],
    known_seconds: int,
    answers: list[str],
) -> None:
    connector = ConnectorDriver(store, lag_seconds=0.0)
    await connector.reference(company())
    await connector.release(released(event("BE-1", account_id="A-NEW"), job_id="J-1", and_invoice=True))
    await connector.database.pool.execute(
        "update billing_events set registered_at = now() - make_interval(secs => $1)", known_seconds
    )
    await asked(connector)
    await connector.step()
    told = words(await connector.facts("not-passed", "validated", "claimed"))
    assert len(told) == bool(answers)
    assert set(told) <= set(answers)
    if not answers:
        await connector.reference(account("A-NEW"))
        await connector.settle()
        assert len(await connector.facts("validated", "claimed")) == 1


async def test_an_unknown_company_is_named_once_it_has_been_waited_for(connector: ConnectorDriver) -> None:
    await connector.release(released(event(company_id="C-NEW")), released(event("BE-2", company_id="C-NIL")))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
    await connector.step()
    await connector.reference(company("C-NEW"))
    await connector.settle()
    assert [document["company"]["id"] for document in await connector.facts("validated")] == ["C-NEW"]
    (not_passed,) = await connector.facts("not-passed")
    assert codes(not_passed["reasons"]) == ["company_missing"]
