"""What the accounting connector tells: invoiced, closed, withdrawn; and reverts (domain.md sections 2 and 4)."""

from decimal import Decimal
from typing import Any

import pytest

from integration.release.driver import Fact, Record, business_record, generated, item, project, words
from integration.release.releasing import SETTINGS, ReleasingDriver, capped_project, release, worth
from release.consumers import accounting_line
from release.domain.settings import ReleaseSettings
from shared.database.database import Database
from shared.messaging.batches import BatchProcessor
from support.records import message_record

REVERT = "release.billing-event.revert.v1"
PARTY = {"id": "A-1", "name": "Port Authority"}


class AccountingDriver(ReleasingDriver):
    """A replica that also hears the accounting connector."""

    def __init__(self, database: Database, settings: ReleaseSettings = SETTINGS) -> None:
        super().__init__(database, settings)
        self._accounting = BatchProcessor(database, accounting_line(), service="release")

    async def accounting(self, *records: Record) -> None:
        """Take a batch of what the connector tells."""
        await self._accounting.take(records)

    async def released(self, *records: Record, on_cap: str = "refuse") -> None:
        """Register these events and release BE-1."""
        await self.know(*records)
        await self.command(release(on_cap=on_cap))

    async def since(self, count: int) -> list[Fact]:
        """The facts after the first so many."""
        return (await self.facts())[count:]


@pytest.fixture
def driver(store: Database) -> AccountingDriver:
    return AccountingDriver(store)


def validated(document_id: str, *billing_event_ids: str, **fields: Any) -> Record:
    """A validated document of these events."""
    body = {
        "document_id": document_id,
        "kind": "sales_invoice",
        "status": "validated",
        "number": f"SIN-2026-{document_id}",
        "date": "2026-11-20",
        "currency": "GBP",
        "account": PARTY,
        "company": PARTY,
        "billing_event_ids": list(billing_event_ids),
        "lines": [],
        "taxes": [],
        "total_net": "0.00",
        "total_tax": "0.00",
        "total_gross": "0.00",
    }
    return message_record("accounting.document.validated.v1", body | fields)


def unclaimed(billing_events: str, *billing_event_ids: str) -> Record:
    """A billing run lets events go."""
    body = {"billing_run_id": "R-1", "billing_events": billing_events, "unclaimed": list(billing_event_ids)}
    return message_record("accounting.billing-events.unclaimed.v1", body)


def withdrawn(billing_event_id: str = "BE-1", outcome: str = "none") -> Record:
    """The connector has withdrawn an event."""
    body = {"billing_event_id": billing_event_id, "outcome": outcome}
    return message_record("accounting.billing-event.withdrawn.v1", body)


def withdraw_refused(billing_event_id: str = "BE-1") -> Record:
    """The connector will not withdraw an event."""
    reasons = [{"code": "claimed_by_run", "message": "Billing run R-1 holds it."}]
    return message_record(
        "accounting.billing-event.withdraw-refused.v1",
        {"billing_event_id": billing_event_id, "reasons": reasons},
    )


def revert(billing_event_id: str = "BE-1", **fields: Any) -> Record:
    """A command to undo a release."""
    return message_record(REVERT, {"billing_event_id": billing_event_id} | fields)


async def test_validated_document_is_written_back_once(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    await driver.accounting(validated("D-1", "BE-1", "BE-2", "BE-unknown"), validated("D-2", "BE-1"))
    await driver.accounting(validated("D-1", "BE-1"))

    event = await driver.event()
    assert (event["stage"], event["released"], event["invoiced"]) == ("invoiced", True, True)
    assert (event["document_id"], event["invoice_number"], event["invoice_date"]) == (
        "D-1",
        "SIN-2026-D-1",
        "2026-11-20",
    )
    (invoiced,) = await driver.facts("invoiced")
    assert (invoiced["billing_event_id"], invoiced["document_id"], invoiced.key) == ("BE-1", "D-1", "P-1")
    records = [fact for fact in await driver.facts() if fact.type == "release.business-records.billed.v1"]
    assert [fact.get("invoice_number") for fact in records] == [None, "SIN-2026-D-1"]
    assert await driver.stage("BE-2") == "awaiting_release", (
        "a document of what is not released changes nothing"
    )


async def test_cancelled_claim_closes_for_good_and_a_reopened_one_does_not(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    await driver.command(release("BE-2"))
    await driver.accounting(unclaimed("cancel", "BE-1"), unclaimed("reopen", "BE-2"))
    await driver.accounting(unclaimed("cancel", "BE-1"))
    assert [await driver.stage("BE-1"), await driver.stage("BE-2")] == ["closed", "released"]
    (closed,) = await driver.facts("closed")
    assert (closed["billing_event_id"], closed["billing_run_id"]) == ("BE-1", "R-1")
    assert (await driver.cap()).released["GBP"] == 2
    await driver.command(release("BE-1"))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["closed"]


async def test_reverted_release_gives_back_cap_and_records(driver: AccountingDriver) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00"}]
    await driver.released(
        capped_project("100.00", budgets=budgets),
        generated("BE-1", item("i1", "70.00", budget_id="B-1", services_product="X")),
    )
    await driver.accounting(validated("D-1", "BE-1"))
    await driver.know(capped_project("100.00", version=2, budgets=[]))
    count = len(await driver.facts())

    await driver.command(revert(requested_by={"user_id": "u1", "email": None}))
    assert await driver.stage("BE-1") == "reverting"
    (withdraw,) = await driver.since(count)
    assert (withdraw.type, withdraw.key) == ("accounting.billing-events.withdraw.v1", "BE-1")
    assert withdraw["billing_event_ids"] == ["BE-1"]
    assert (await driver.cap()).remaining == 30
    await driver.command(revert())
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["reverting"]

    await driver.accounting(withdrawn(outcome="mirrored"), withdrawn())
    await driver.accounting(withdrawn())
    facts = await driver.since(count + 2)
    assert words(facts) == ["reverted", "billed"]
    assert [record["billed"] for record in facts[1]["records"]] == [False]
    assert (await driver.event())["stage"] == "reverted"
    assert (await driver.cap()).remaining == 100
    rows = await driver.database.pool.fetch(
        "select act, budget_id, amount, released_after from cap_ledger order by entry_id"
    )
    assert [tuple(row) for row in rows] == [
        ("release", None, Decimal(70), Decimal(70)),
        ("release", "B-1", Decimal(70), Decimal(70)),
        ("revert", None, Decimal(-70), Decimal(0)),
        ("revert", "B-1", Decimal(-70), Decimal(0)),
    ]
    await driver.command(release())
    await driver.psa(worth("BE-1", "1.00", version=9))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")][1:] == ["reverted"] * 2


async def test_refused_withdrawal_puts_the_event_back_to_its_former_stage(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "1.00"))
    await driver.command(revert())
    await driver.accounting(withdraw_refused())
    assert await driver.stage("BE-1") == "released"
    (refused,) = await driver.facts("refused")
    assert [reason["code"] for reason in refused["reasons"]] == ["claimed_by_run"]
    await driver.accounting(withdrawn())
    assert await driver.stage("BE-1") == "released", "an answer that nobody waits for changes nothing"


async def test_document_that_overtakes_a_refused_withdrawal_is_not_lost(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "1.00"))
    await driver.command(revert())
    await driver.accounting(
        validated("M-1", "BE-1", mirrors_document_id="D-1"), validated("D-1", "BE-1"), withdraw_refused()
    )
    event = await driver.event()
    assert (event["stage"], event["document_id"]) == ("invoiced", "D-1")


@pytest.mark.parametrize("answer", [withdrawn, withdraw_refused])
async def test_cascade_takes_along_what_splits_made(driver: AccountingDriver, answer: Any) -> None:
    await driver.released(capped_project("100.00"), worth("BE-1", "60.00", "50.00", "45.00"), on_cap="split")
    await driver.know(capped_project("150.00", version=2))
    await driver.command(release("BE-1.2", on_cap="split"))
    assert [await driver.stage(each) for each in ("BE-1", "BE-1.2", "BE-1.3")] == [
        "released",
        "released",
        "awaiting_release",
    ]
    await driver.command(revert(cascade=True))
    (withdraw,) = [fact for fact in await driver.facts() if "withdraw" in fact.type]
    assert withdraw["billing_event_ids"] == ["BE-1", "BE-1.2"]
    await driver.command(release("BE-1.3", on_cap="split"))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["on_hold"]

    await driver.accounting(answer("BE-1"), answer("BE-1.2"))
    stages = [await driver.stage(each) for each in ("BE-1", "BE-1.2", "BE-1.3")]
    if answer is withdrawn:
        assert stages == ["reverted", "reverted", "deleted"]
        assert (await driver.cap()).remaining == 150
        assert [fact["billing_event_id"] for fact in await driver.facts("deleted")] == ["BE-1.3"]
    else:
        assert stages == ["released", "released", "awaiting_release"]
        assert not (await driver.event("BE-1.3"))["on_hold"]


async def test_credit_whose_room_was_billed_is_not_undone(driver: AccountingDriver) -> None:
    """Undoing it would bill more than was agreed."""
    await driver.know(capped_project("100.00"), worth("BE-1", "-50.00"), worth("BE-2", "150.00"))
    await driver.command(release("BE-1"), release("BE-2"))
    assert (await driver.cap()).remaining == 0
    await driver.command(revert("BE-1"))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["cap_exceeded"]
    assert await driver.stage("BE-1") == "released"


async def test_room_that_a_credit_under_revert_takes_is_kept_free(driver: AccountingDriver) -> None:
    await driver.know(
        capped_project("100.00"), worth("BE-1", "-50.00"), worth("BE-2", "100.00"), worth("BE-3", "50.00")
    )
    await driver.command(release("BE-1"), release("BE-2"), revert("BE-1"))
    assert [await driver.stage("BE-1"), (await driver.cap()).remaining] == ["reverting", 50]
    await driver.command(release("BE-3"))
    (refused,) = await driver.facts("refused")
    assert (refused["billing_event_id"], refused["reasons"][0]["code"]) == ("BE-3", "no_item_fits")
    assert refused["reasons"][0]["detail"]["reserved"] == "50.00"
    await driver.accounting(withdrawn())
    cap = await driver.cap()
    assert await driver.stage("BE-1") == "reverted"
    assert cap.remaining == cap.room == 0


async def test_room_is_free_again_where_the_credit_stays(driver: AccountingDriver) -> None:
    await driver.know(
        capped_project("100.00"), worth("BE-1", "-50.00"), worth("BE-2", "100.00"), worth("BE-3", "50.00")
    )
    await driver.command(release("BE-1"), release("BE-2"), revert("BE-1"))
    await driver.accounting(withdraw_refused())
    await driver.command(release("BE-3"))
    assert [await driver.stage("BE-1"), await driver.stage("BE-3")] == ["released", "released"]
    assert (await driver.cap()).room == 0


async def test_two_credits_under_revert_do_not_share_their_room(driver: AccountingDriver) -> None:
    await driver.know(
        capped_project("100.00"), worth("BE-1", "-50.00"), worth("BE-2", "-50.00"), worth("BE-3", "150.00")
    )
    await driver.command(release("BE-1"), release("BE-2"), release("BE-3"))
    await driver.command(revert("BE-1"), revert("BE-2"))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["cap_exceeded"]
    await driver.accounting(withdrawn("BE-1"))
    assert [await driver.stage("BE-1"), await driver.stage("BE-2")] == ["reverted", "released"]
    assert (await driver.cap()).remaining == 0


async def test_room_is_kept_free_on_a_budget_too(driver: AccountingDriver) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    await driver.know(
        project(budgets=budgets),
        business_record(),
        *(
            generated(
                f"BE-{number}",
                item(
                    f"i{number}",
                    amount,
                    budget_id="B-1",
                    business_record_id=f"T-{number}",
                    services_product="Consulting",
                ),
            )
            for number, amount in enumerate(("-50.00", "100.00", "50.00"), start=1)
        ),
    )
    await driver.command(release("BE-1"), release("BE-2"), revert("BE-1"), release("BE-3", on_cap="split"))
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["budget_fully_released"]
    await driver.accounting(withdrawn())
    assert (await driver.cap()).budgets["B-1"].taken_in("GBP") == 100


@pytest.mark.parametrize("first, second", [("BE-1", "BE-2"), ("BE-2", "BE-1")])
async def test_what_corrects_an_event_is_reverted_with_it(
    driver: AccountingDriver, first: str, second: str
) -> None:
    """In one act, whatever comes first; a correction that is not released stays as it is."""
    notes = [worth(f"BE-{number}", "-40.00", corrects_billing_event_id="BE-1") for number in (2, 3)]
    await driver.know(capped_project("120.00"), worth("BE-1", "120.00"), *notes, worth("BE-4", "40.00"))
    await driver.command(release("BE-1"), release("BE-2"), release("BE-4"))
    await driver.command(revert("BE-1"))
    asked = (await driver.facts())[-1]
    assert asked.type == "accounting.billing-events.withdraw.v1"
    assert asked["billing_event_ids"] == ["BE-1", "BE-2"]
    assert [await driver.stage(f"BE-{n}") for n in (1, 2, 3)] == [
        "reverting",
        "reverting",
        "awaiting_release",
    ]
    await driver.accounting(withdrawn(first, "kept"))
    await driver.accounting(withdrawn(second, "mirrored"))
    assert [await driver.stage("BE-1"), await driver.stage("BE-2")] == ["reverted", "reverted"]
    cap = await driver.cap()
    assert [cap.released["GBP"], cap.room] == [40, 80]


async def test_reverting_what_is_not_released_is_refused(driver: AccountingDriver) -> None:
    await driver.know(project(), worth("BE-1", "1.00"))
    await driver.command(revert())
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["not_released"]
