"""A manual exceptional run from new to validated, step by step (domain.md section 5; contract.md flow 4)."""

import random

import httpx
import pytest

from billing_runs.handlers.steps import lines
from integration.billing_runs.driver import (
    Connector,
    Record,
    Runs,
    command,
    counted,
    create,
    event,
    one_by_one,
)
from shared.database.database import Database
from support.records import message_record

STEPS = [
    ("invoice_lines_created", "creating_invoice_lines"),
    ("draft_invoices", "creating_invoices"),
    ("validated", "validating"),
]


async def test_run_goes_step_by_step_from_new_to_validated(runs: Runs) -> None:
    await runs.know(event("BE-1", "100.00"), event("BE-2", "250.50"), event("BE-3", "-40.00"))
    await runs.command(create())
    assert await runs.state() == ("new", "idle")

    for reached, step in STEPS:
        await runs.command(command("process"))
        assert await runs.state() == (step, "queued")
        await runs.settle()
        assert await runs.state() == (reached, "idle")
        await runs.check_books()

    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "validated", "D-BE-3": "validated"}
    assert await runs.fates() == dict.fromkeys(("BE-1", "BE-2", "BE-3"), "validated")
    changes = await runs.facts("run.status-changed")
    assert [each["status"] for each in changes] == [
        status for reached, step in STEPS for status in (step, reached)
    ]
    assert changes[-1]["totals"] == {"GBP": "310.50"}
    assert all(each["starter"] == {"user_id": "u1", "email": "u1@example.com"} for each in changes)


async def test_commands_that_a_run_sends(runs: Runs, connector: Connector) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(collection_date="2026-12-15", threshold={"amount": "5.00", "currency": "GBP"}))
    await runs.command(command("process", message_id="m-1"))
    await runs.work()

    [claim] = await runs.take_published("accounting.")
    assert claim.type == "accounting.billing-events.claim.v1"
    assert claim.key == "R-1"
    assert claim.correlation_id == "m-1"
    assert claim.body == {
        "billing_run_id": "R-1",
        "billing_event_ids": ["BE-1", "BE-2"],
        "part": 1,
        "parts": 1,
        "requested_by": {"user_id": "u1", "email": "u1@example.com"},
    }

    await runs.accounting_facts(*connector.answer([claim]))
    await runs.work()
    await runs.command(command("process"))
    await runs.work()
    [start] = await runs.take_published("accounting.")
    assert start.body["validate"] is False
    assert start.body["billing_run_id"] == "R-1"
    assert start.body["select"] == {"billing_event_ids": ["BE-1", "BE-2"]}
    assert (start.body["invoice_date"], start.body["collection_date"]) == ("2026-11-30", "2026-12-15")
    assert start.body["threshold"] == {"amount": "5.00", "currency": "GBP"}


async def test_events_that_the_run_cannot_have_are_listed_with_their_reasons(
    runs: Runs, connector: Connector
) -> None:
    await runs.know(event("BE-1"), event("BE-2"), event("BE-3", stage="incomplete", missing=["account"]))
    connector.refused_claims["BE-2"] = "claimed_by_run"
    await runs.command(create(), command("process"))
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "left_out", "BE-3": "left_out"}
    assert set(await runs.log()) == {
        ("claimed_by_run", "BE-2"),
        ("not_released: The billing event is not released; account_missing", "BE-3"),
    }
    await runs.check_books()


async def test_every_id_of_a_list_is_asked_for_even_if_it_is_not_known_here(
    runs: Runs, connector: Connector
) -> None:
    connector.events["BE-1"] = event("BE-1")
    await runs.command(create(scope={"billing_event_ids": ["BE-1", "BE-9"]}), command("process"))
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft", "BE-9": "left_out"}

    await runs.know(event("BE-1", "70.00"))

    row = await runs.database.pool.fetchrow("select * from run_events where billing_event_id = 'BE-1'")
    assert row is not None
    assert (row["currency"], str(row["amount"])) == ("GBP", "70.00")
    await runs.check_books()


async def test_more_events_than_a_message_carries_are_claimed_in_parts(runs: Runs) -> None:
    ids = [f"BE-{number:04}" for number in range(2500)]
    await runs.know(*(event(each, "1.00") for each in ids))
    await runs.command(create(), command("process"))
    await runs.work()

    claims = await runs.take_published("accounting.")

    assert [(each.body["part"], each.body["parts"]) for each in claims] == [(1, 3), (2, 3), (3, 3)]
    assert [each for claim in claims for each in claim.body["billing_event_ids"]] == ids
    first, *others = runs.connector.answer(claims)
    await runs.accounting_facts(*others)
    await runs.work()
    assert await runs.state() == ("creating_invoice_lines", "running")
    await runs.accounting_facts(first)
    await runs.settle()
    assert await runs.state() == ("invoice_lines_created", "idle")
    await runs.command(command("process"))
    await runs.work()
    [start] = await runs.take_published("accounting.")
    assert start.body["select"] == {"eligible": True}


def _shuffled_and_doubled(records: list[Record]) -> list[list[Record]]:
    mixed = [*records, *records]
    random.Random(7).shuffle(mixed)
    return one_by_one(mixed)


@pytest.mark.parametrize("deliver", [one_by_one, _shuffled_and_doubled, lambda records: [records[::-1]]])
async def test_answers_may_come_doubled_in_any_order_and_in_parts(runs: Runs, deliver: object) -> None:
    await runs.know(*(event(f"BE-{number}") for number in range(5)))
    runs.connector.not_passed["BE-4"] = "below_threshold"
    await runs.command(create())
    for _, _ in STEPS:
        await runs.command(command("process"))
        await runs.settle(deliver)  # type: ignore[arg-type]
        await runs.check_books()

    assert await runs.state() == ("validated", "idle")
    assert counted((await runs.fates()).values()) == {"validated": 4, "below_threshold": 1}


async def test_the_report_warns_of_items_that_drafts_leave_out(runs: Runs, connector: Connector) -> None:
    await runs.know(event("BE-1"), event("BE-2"), event("BE-3"))
    connector.left_out = {"BE-1": ["20.00", "5.50"], "BE-2": ["-1.00"]}
    await runs.command(create(grouping="account"))
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle(_shuffled_and_doubled)
    assert await runs.log() == [
        ("items_left_out: 2 of its items, 25.50 GBP, do not meet the company's item criteria", "BE-1"),
        ("items_left_out: 1 of its items, -1.00 GBP, do not meet the company's item criteria", "BE-2"),
    ]
    assert await runs.state() == ("draft_invoices", "idle"), "a warning holds nothing back"
    told = (await runs.facts("run.status-changed"))[-1]
    assert told["left_out"] == {"GBP": {"items": 3, "amount": "24.50"}}


async def test_what_is_moved_from_an_invoiced_event_leaves_the_figures_of_its_run_alone(runs: Runs) -> None:
    await runs.know(event("BE-1", "100.00"))
    await runs.command(create())
    for _ in STEPS:
        await runs.command(command("process"))
        await runs.settle()
    before = await runs.database.pool.fetchrow("select summary_amount, figures from billing_events")
    moved = event("BE-1", "80.00") | {"stage": "invoiced"}
    await runs.release_facts(message_record("release.billing-event.changed.v1", {"billing_event": moved}))
    after = await runs.database.pool.fetchrow("select summary_amount, figures from billing_events")
    assert after == before
    await runs.check_books()


async def test_a_killed_run_goes_on_in_another_process_at_any_point(
    store: Database, connector: Connector
) -> None:
    await Runs(store, connector).know(*(event(f"BE-{number}") for number in range(3)))
    await Runs(store, connector).command(create())
    for reached, _ in STEPS:
        await Runs(store, connector).command(command("process"))
        for _ in range(50):
            await Runs(store, connector).chunk()
            answers = connector.answer(await Runs(store, connector).take_published("accounting."))
            for record in answers:
                await Runs(store, connector).accounting_facts(record)
            await Runs(store, connector).check_books()
        assert await Runs(store, connector).state() == (reached, "idle")

    assert connector.numbers == 3


@pytest.mark.parametrize("fails", [False, True])
async def test_a_run_that_dies_between_its_claims_asks_for_what_is_left(
    store: Database, connector: Connector, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Also where the step has failed by then: what is claimed is not asked for again, what has no answer is."""
    monkeypatch.setattr(lines, "MESSAGE_IDS_MAX", 2)
    monkeypatch.setattr(lines, "PARTS_PER_CHUNK", 1)
    ids = [f"BE-{number}" for number in range(5)]
    runs = Runs(store, connector)
    await runs.know(*(event(each) for each in ids))
    await runs.command(create(), command("process"))
    while not (asked := await runs.take_published("accounting.")):
        await runs.chunk()
    await runs.accounting_facts(*connector.answer(asked))
    runs = Runs(store, connector)
    if fails:
        await runs.chunk()
        unanswered = await runs.take_published("accounting.")
        assert [each.body["billing_event_ids"] for each in unanswered] == [["BE-2", "BE-3"]]
        await runs.fail_step("R-1")
        await runs.command(command("process"))
    asked = []
    while await runs.chunk():
        asked += await runs.take_published("accounting.")

    assert [each.body["billing_event_ids"] for each in asked] == [["BE-2", "BE-3"], ["BE-4"]]
    await runs.accounting_facts(*connector.answer(asked))
    await runs.settle()
    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == dict.fromkeys(ids, "draft")
    await runs.check_books()


@pytest.mark.parametrize("late", ["accounting.document.drafted.v1", "accounting.billing-event.not-passed.v1"])
async def test_drafts_are_complete_when_all_that_the_process_run_counts_has_come(
    runs: Runs, connector: Connector, late: str
) -> None:
    """Facts with different keys may overtake each other: the end of the process run may come first."""
    await runs.know(event("BE-1"), event("BE-2"))
    connector.not_passed["BE-2"] = "below_threshold"
    await runs.command(create(), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    answers = connector.answer(await runs.take_published("accounting."))
    types = {id(each): dict(each.headers)["ce_type"].decode() for each in answers}
    await runs.accounting_facts(*(each for each in answers if types[id(each)] != late))
    await runs.work()
    assert await runs.state() == ("creating_invoices", "running")

    await runs.accounting_facts(*(each for each in answers if types[id(each)] == late))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "below_threshold"}
    await runs.check_books()


async def test_what_is_not_passed_is_listed_and_let_go(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await runs.know(event("BE-1"), event("BE-2"), event("BE-3", account_id="A-2"))
    connector.not_passed |= {"BE-2": "below_threshold", "BE-3": "mapping_failed"}
    await runs.command(create(), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "below_threshold", "BE-3": "failed"}
    assert connector.claims == {"BE-1": "R-1"}
    assert ("account A-1: below_threshold: too small", "BE-2") in await runs.log()
    figures = (await client.get("/billing-runs/R-1/statistics")).json()
    assert figures["accounts_not_invoiced"] == [
        {"account_id": "A-1", "events": 1, "code": "below_threshold", "message": "too small"},
        {"account_id": "A-2", "events": 1, "code": "mapping_failed", "message": "too small"},
    ]
    await runs.check_books()


async def test_a_run_over_nothing_is_validated_without_documents(runs: Runs) -> None:
    await runs.command(create(scope={"filter": {"project_id": "P-9"}}))
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()

    assert await runs.state() == ("validated", "idle")


async def test_refused_validations_leave_drafts_with_their_reasons(runs: Runs, connector: Connector) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    connector.refused_validations["D-BE-2"] = "no_open_series"
    for _ in STEPS:
        await runs.command(command("process"))
        await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "draft"}
    assert ("not validated: no_open_series", "D-BE-2") in await runs.log()
    connector.refused_validations.clear()
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("validated", "idle")


async def test_a_failed_process_run_fails_the_step_and_process_takes_it_up(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    [start] = await runs.take_published("accounting.")
    failed = {"process_run_id": start.body["process_run_id"], "kind": "billing_run", "status": "failed"}

    await runs.accounting_facts(message_record("accounting.process-run.completed.v1", failed))
    assert await runs.state() == ("creating_invoices", "failed")
    [told] = await runs.facts("run.step-failed")
    assert told["step"] == "invoices"

    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", "idle")


async def test_a_validation_that_failed_is_asked_for_again(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    assert await runs.take_published("accounting.")  # never to be answered
    await runs.fail_step("R-1")
    assert await runs.state() == ("validating", "failed")

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.state() == ("validated", "idle")
    assert await runs.fates() == {"BE-1": "validated"}


async def test_a_step_that_breaks_is_failed_and_others_go_on(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(), command("process"))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("billing_runs.handlers.steps.lines.select_page", broken)
        await runs.work()
        assert await runs.state() == ("creating_invoice_lines", "failed")
        [pending] = await runs.facts("work.pending")
        assert (pending["kind"], pending["id"]) == ("billing_run", "R-1")
        # Taken up by itself when its time has come, and set aside anew while the fault lasts.
        assert not await runs.retry(forward=False)
        assert await runs.retry()
        await runs.work()
        assert await runs.state() == ("creating_invoice_lines", "failed")
        assert await runs.facts("work.pending") == []

    assert await runs.retry()
    await runs.settle()
    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.retry()
    [recovered] = await runs.facts("work.recovered")
    assert (recovered["kind"], recovered["id"]) == ("billing_run", "R-1")
    assert not await runs.retry()


async def test_a_person_ends_what_is_taken_up_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(), command("process"))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("billing_runs.handlers.steps.lines.select_page", broken)
        await runs.work()
    await runs.command(command("disable"))
    assert await runs.retry()
    await runs.work()
    assert await runs.state() == ("creating_invoice_lines", "failed")
    await runs.command(command("cancel", billing_events="reopen"))
    await runs.settle()
    while await runs.retry():
        await runs.settle()
    assert await runs.state() == ("cancelled", "idle")
    assert len(await runs.facts("work.recovered")) == 1


async def test_a_command_waits_for_its_run_and_is_refused_in_the_end(
    store: Database, connector: Connector
) -> None:
    patient = Runs(store, connector)
    await patient.know(event("BE-1"))
    await patient.command(command("process"))
    assert await patient.refusals() == []
    await patient.command(create())
    assert await patient.state() == ("creating_invoice_lines", "queued")

    hasty = Runs(store, connector, wait_seconds=0.0)
    await hasty.command(command("process", "R-9"))
    await hasty.database.run(hasty.commands.look_again)
    assert await hasty.refusals() == [("process", "not_found")]


async def test_commands_of_two_sources_with_the_same_id_both_wait(runs: Runs) -> None:
    process, describe = (
        message_record(f"billing-runs.run.{name}.v1", {"run_id": "R-1"} | body, message_id="1", source=source)
        for name, body, source in (("process", {}, "one"), ("describe", {"description": "November"}, "two"))
    )
    await runs.know(event("BE-1"))
    await runs.command(process, describe)
    await runs.command(create())
    assert await runs.state() == ("creating_invoice_lines", "queued")
    assert await runs.database.pool.fetchval("select description from runs") == "November"
    assert await runs.database.pool.fetchval("select count(*) from waiting_commands") == 0


async def test_a_refused_command_is_told_and_not_tried_again(runs: Runs) -> None:
    await runs.command(create(), command("close", message_id="c-1"))
    await runs.command(command("close", message_id="c-1"))

    assert [code for _, code in await runs.refusals()] == ["action_not_available"]
    assert await runs.state() == ("new", "idle")
