"""Cancel, disable, enable and describe at every stage of a run (domain.md section 5)."""

from typing import Any

import pytest

from integration.billing_runs.driver import Connector, Runs, command, create, event


async def _reach(runs: Runs, steps: int, **settings: Any) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(**settings))
    for _ in range(steps):
        await runs.command(command("process"))
        await runs.settle()


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("end, fate", [("reopen", "reopened"), ("cancel", "cancelled")])
async def test_cancelling_lets_every_event_go(
    runs: Runs, connector: Connector, steps: int, end: str, fate: str
) -> None:
    await _reach(runs, steps)

    await runs.command(command("cancel", billing_events=end))
    assert await runs.state() == ("cancelling", "queued")
    await runs.settle()

    assert await runs.state() == ("cancelled", "idle")
    assert connector.claims == {}
    assert await runs.fates() == (dict.fromkeys(("BE-1", "BE-2"), fate) if steps else {})
    await runs.check_books()


async def test_what_is_validated_survives_a_cancel(runs: Runs, connector: Connector) -> None:
    connector.refused_validations["D-BE-2"] = "no_open_series"
    await _reach(runs, 3)
    assert await runs.state() == ("draft_invoices", "idle")

    await runs.command(command("cancel", billing_events="reopen"))
    await runs.settle()

    assert await runs.state() == ("validated", "idle")
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "reopened"}


async def test_a_cancel_that_failed_is_taken_up_as_it_was_meant(runs: Runs, connector: Connector) -> None:
    await _reach(runs, 1)
    await runs.command(command("cancel", billing_events="cancel"))
    await runs.work()
    assert await runs.take_published("accounting.")  # never to be answered
    await runs.fail_step("R-1")
    assert await runs.state() == ("cancelling", "failed")

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.state() == ("cancelled", "idle")
    assert await runs.fates() == dict.fromkeys(("BE-1", "BE-2"), "cancelled")
    assert connector.claims == {}


async def test_a_claim_that_is_still_under_way_is_let_go_too(runs: Runs, connector: Connector) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(), command("process"))
    await runs.work()
    claims = await runs.take_published("accounting.")
    await runs.database.pool.execute("update runs set execution = 'failed'")
    connector.refused_claims["BE-2"] = "closed"

    await runs.command(command("cancel", billing_events="reopen"))
    await runs.work()
    await runs.accounting_facts(*connector.answer(claims))
    await runs.settle()

    assert await runs.state() == ("cancelled", "idle")
    assert await runs.fates() == {"BE-1": "reopened", "BE-2": "left_out"}
    assert connector.claims == {}


async def test_no_step_of_a_disabled_run_starts(runs: Runs) -> None:
    await _reach(runs, 1)
    await runs.command(command("process"), command("disable"))
    await runs.settle()
    assert await runs.state() == ("creating_invoices", "queued")

    await runs.command(command("enable"))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")


async def test_a_disabled_run_refuses_process_but_not_cancel(runs: Runs) -> None:
    await _reach(runs, 1)
    await runs.command(command("disable"), command("process"))
    assert await runs.refusals() == [("process", "run_disabled")]

    await runs.command(command("cancel", billing_events="reopen"))
    await runs.settle()

    assert await runs.state() == ("cancelled", "idle")


async def test_disabling_and_enabling_are_told(runs: Runs) -> None:
    await runs.command(create(), command("disable", message_id="m-1"), command("enable"))

    assert [each["disabled"] for each in await runs.facts("run.changed")] == [True, False]


async def test_enabling_lets_an_automatic_run_go_on(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(process_type="automatic"), command("process"))
    await runs.work()
    await runs.command(command("disable"))
    await runs.settle()
    assert await runs.state() == ("invoice_lines_created", "idle")

    await runs.command(command("enable"))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")


async def test_the_description_can_always_be_saved_and_changes_nothing_else(runs: Runs) -> None:
    await _reach(runs, 1)
    await runs.facts("run.status-changed")

    await runs.command(command("describe", description="November, Harbour"))

    assert await runs.facts("run.status-changed") == []
    [told] = await runs.facts("run.changed")
    assert (told["description"], told["status"]) == ("November, Harbour", "invoice_lines_created")
    description = await runs.database.pool.fetchval("select description from runs")
    assert description == "November, Harbour"


async def test_a_run_created_again_in_the_same_words_is_the_same_run(runs: Runs) -> None:
    await runs.command(create())
    await runs.command(create())
    await runs.command(create(grouping="account"))

    created, again = await runs.facts("run.created")
    assert again == created
    assert await runs.refusals() == [("create", "already_exists")]


@pytest.mark.parametrize("answered", ["before the cancel", "after it"])
async def test_claims_of_a_step_that_failed_are_let_go_by_a_cancel(
    runs: Runs, connector: Connector, answered: str
) -> None:
    """The connector may have given what the step did not live to hear of."""
    connector.claims["BE-2"] = "R-0"
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(), command("process"))
    await runs.work()
    answers = connector.answer(await runs.take_published("accounting."))
    await runs.fail_step("R-1")
    if answered == "before the cancel":
        await runs.accounting_facts(*answers)

    await runs.command(command("cancel", billing_events="reopen"))
    await runs.work()
    if answered == "after it":
        await runs.accounting_facts(*answers)
    await runs.settle()

    assert await runs.state() == ("cancelled", "idle")
    assert connector.claims == {"BE-2": "R-0"}
    assert await runs.fates() == {"BE-1": "reopened", "BE-2": "left_out"}
    await runs.check_books()
