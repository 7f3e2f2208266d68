"""What a billing run does with events that failed by a fault of the connector's own, or with nothing but failures
(domain.md section 5).
"""

from typing import Any

import httpx
import pytest

from integration.billing_runs.driver import Connector, Runs, command, create, event, review
from support.records import message_record

IDLE = "idle"


async def drafts(runs: Runs, connector: Connector, *pending: str, **settings: Any) -> None:
    """A run over two events whose drafts are made, but for the pending ones."""
    connector.pending |= set(pending)
    await runs.know(event("BE-1"), event("BE-2", "50.00"))
    await runs.command(create(**settings), command("process"))
    await runs.settle()
    if (await runs.state())[0] == "invoice_lines_created":
        await runs.command(command("process"))
        await runs.settle()


async def test_a_run_with_pending_events_is_not_validated_until_they_are(
    runs: Runs, connector: Connector
) -> None:
    await drafts(runs, connector, "BE-2")
    assert await runs.state() == ("draft_invoices", IDLE)
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "pending"}
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", IDLE)
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "pending"}
    await runs.check_books("R-1")

    await runs.accounting_facts(*connector.try_again())
    await runs.settle()
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "draft"}
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("validated", IDLE)
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "validated"}
    await runs.check_books("R-1")


async def test_a_full_automatic_run_ends_once_nothing_is_pending(runs: Runs, connector: Connector) -> None:
    await drafts(runs, connector, "BE-2", process_type="full_automatic")
    assert await runs.state() == ("draft_invoices", IDLE)
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "pending"}

    await runs.accounting_facts(*connector.try_again())
    await runs.settle()
    assert await runs.state() == ("validated", IDLE)
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "validated"}


async def test_a_run_whose_events_are_all_pending_waits_for_them(runs: Runs, connector: Connector) -> None:
    await drafts(runs, connector, "BE-1", "BE-2", process_type="full_automatic")
    assert await runs.state() == ("draft_invoices", IDLE)

    await runs.accounting_facts(*connector.try_again())
    await runs.settle()
    assert await runs.state() == ("validated", IDLE)
    await runs.check_books("R-1")


async def test_the_end_told_once_more_changes_nothing(runs: Runs, connector: Connector) -> None:
    await drafts(runs, connector, "BE-2")
    [(_, asked)] = connector.tries.values()
    again = {"process_run_id": asked["process_run_id"], "kind": "billing_run", "status": "completed"}
    again |= {"invoices": 2, "credit_notes": 0, "not_passed": 0, "pending": 0}
    facts = connector.try_again()

    await runs.accounting_facts(message_record("accounting.process-run.completed.v1", again))
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "pending"}
    await runs.accounting_facts(*facts)
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "draft"}


@pytest.mark.parametrize(("end", "fate"), [("reopen", "reopened"), ("cancel", "cancelled")])
async def test_a_cancel_gives_up_what_is_pending(
    runs: Runs, connector: Connector, end: str, fate: str
) -> None:
    await drafts(runs, connector, "BE-2")
    await runs.command(command("cancel", billing_events=end))
    await runs.settle()
    assert await runs.state() == ("cancelled", IDLE)
    assert await runs.fates() == {"BE-1": fate, "BE-2": fate}
    assert connector.claims == {}
    await runs.check_books("R-1")


async def test_what_turns_out_to_have_no_invoice_is_let_go(runs: Runs, connector: Connector) -> None:
    await drafts(runs, connector, "BE-2")
    await runs.accounting_facts(*connector.try_again(BE_2="mapping_failed"))
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "failed"}
    assert connector.claims == {"BE-1": "R-1"}
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("validated", IDLE)
    await runs.check_books("R-1")


async def test_a_run_that_makes_nothing_fails_and_process_tries_again(
    runs: Runs, connector: Connector
) -> None:
    connector.not_passed |= {"BE-1": "mapping_failed", "BE-2": "mapping_failed"}
    await drafts(runs, connector)
    assert await runs.state() == ("creating_invoices", "failed")
    assert connector.claims == {"BE-1": "R-1", "BE-2": "R-1"}
    [told] = await runs.facts("run.step-failed")
    assert "no invoice could be made of 2 billing events: mapping_failed: too small" in str(told)

    connector.not_passed.clear()
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", IDLE)
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "draft"}
    await runs.check_books("R-1")


async def test_a_cancel_frees_what_a_failed_run_holds(runs: Runs, connector: Connector) -> None:
    connector.not_passed |= {"BE-1": "mapping_failed", "BE-2": "mapping_failed"}
    await drafts(runs, connector)
    await runs.command(command("cancel", billing_events="reopen"))
    await runs.settle()
    assert await runs.state() == ("cancelled", IDLE)
    assert await runs.fates() == {"BE-1": "reopened", "BE-2": "reopened"}
    assert connector.claims == {}


async def test_a_pending_run_of_which_nothing_is_made_fails(runs: Runs, connector: Connector) -> None:
    await drafts(runs, connector, "BE-1", "BE-2")
    await runs.accounting_facts(*connector.try_again(BE_1="mapping_failed", BE_2="mapping_failed"))
    await runs.settle()
    assert await runs.state() == ("creating_invoices", "failed")
    assert connector.claims == {"BE-1": "R-1", "BE-2": "R-1"}
    await runs.check_books("R-1")


async def test_drafts_can_be_reviewed_while_others_are_pending(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await drafts(runs, connector, "BE-2")
    await runs.command(review("cancel", select={"document_ids": ["D-BE-1"]}))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", IDLE)
    listed = (await client.get("/billing-runs/R-1/billing-events", params={"state": "pending"})).json()
    assert [each["billing_event_id"] for each in listed["items"]] == ["BE-2"]
    left = (await client.get("/billing-runs/R-1/statistics")).json()["accounts_not_invoiced"]
    assert [each["code"] for each in left] == ["internal_error"]
