"""The ledger rebuilt from the facts of the outbox is the stored one (domain.md section 3, Never over)."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest

from integration.release.driver import generated, item, project
from integration.release.releasing import ReleasingDriver, capped_project, release, start_job, worth
from integration.release.test_write_back import AccountingDriver, revert, withdrawn
from shared.database.database import Database
from support.cap_ledger import Line, RebuiltLedger, by_total


async def stored_lines(driver: ReleasingDriver) -> list[Line]:
    """The ledger as it is stored."""
    rows = await driver.database.pool.fetch(
        "select project_id, budget_id, billing_event_id, act, amount, currency, released_after"
        " from cap_ledger order by entry_id"
    )
    return [Line(*row) for row in rows]


async def rebuilt(driver: ReleasingDriver) -> RebuiltLedger:
    """The ledger as the outbox tells of it."""
    return RebuiltLedger().fold([(fact.type, fact) for fact in await driver.facts()])


async def test_ledger_rebuilt_from_facts_is_the_stored_one(store: Database) -> None:
    driver = AccountingDriver(store)
    budgets = [
        {"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True},
        {"budget_id": "B-2", "amount": "50.00"},
    ]
    await driver.know(
        capped_project("300.00"),
        worth("BE-1", "100.00", "150.00", "140.00"),
        worth("BE-2", "-30.00"),
        worth("BE-3", "40.00"),
        project("P-2", budgets=budgets, bill_to_budget_cap=True, apply_billing_cap=True),
        generated(
            "BU-1",
            item("u1", "80.00", budget_id="B-1", services_product="X"),
            item("u2", "70.00", budget_id="B-1", services_product="X"),
            item("u3", "60.00", budget_id="B-2", services_product="X"),
            project_id="P-2",
        ),
        worth("BU-2", "9.00", project_id="P-2", currency="EUR"),
        worth("BU-3", "9.00", project_id="P-3"),
        project("P-3", apply_billing_cap=True, bookings="1.00"),
        worth("BU-4", "9.00", project_id="P-3", currency="EUR"),
    )
    await driver.command(
        release("BE-1", on_cap="split"), release("BE-2"), release("BE-3"), release("BU-3"), release("BU-4")
    )
    await driver.command(start_job("J-1", {"billing_event_ids": ["BU-1"]}))
    await driver.command(start_job("J-2", {"billing_event_ids": ["BU-2"]}))
    await driver.finish_jobs()
    await driver.command(revert("BE-1"), revert("BU-1"))
    await driver.accounting(withdrawn("BE-1"), withdrawn("BU-1"))
    await driver.command(release("BE-1.2"))

    stored = await stored_lines(driver)
    told = await rebuilt(driver)
    assert by_total(told.lines) == by_total(stored)
    assert {line.act for line in stored} == {"release", "revert"}
    assert {line.currency for line in stored} == {"GBP", "EUR"}
    assert told.totals["P-2", "B-1", "GBP"] == 0
    for project_id in ("P-1", "P-2", "P-3"):
        cap = await driver.cap(project_id)
        totals = {key: total for key, total in told.totals.items() if key[0] == project_id and key[1] is None}
        assert {key[2]: total for key, total in totals.items()} == cap.released


async def test_releases_that_race_are_told_in_the_order_of_the_ledger(store: Database) -> None:
    driver = ReleasingDriver(store)
    await driver.know(capped_project("1000.00"), *(worth(f"BE-{n}", f"{n}.00") for n in range(1, 31)))
    order = random.Random(7).sample(range(1, 31), 30)
    await asyncio.gather(*(driver.replica().command(release(f"BE-{number}")) for number in order))
    told = await rebuilt(driver)
    assert told.lines == await stored_lines(driver)
    assert told.totals["P-1", None, "GBP"] == Decimal(465)


@pytest.mark.parametrize(
    "damage",
    [
        lambda facts: [*facts, facts[0]],
        lambda facts: [("release.billing-event.reverted.v1", {"billing_event_id": "BE-9"})],
        lambda facts: [
            (facts[0][0], {"billing_event": facts[0][1]["billing_event"] | {"summary_amount": "1.00"}})
        ],
    ],
)
async def test_facts_that_cannot_be_are_found(store: Database, damage: Any) -> None:
    driver = ReleasingDriver(store)
    await driver.know(project(), worth("BE-1", "5.00"))
    await driver.command(release())
    facts = [(fact.type, fact) for fact in await driver.facts("released")]
    with pytest.raises(AssertionError):
        RebuiltLedger().fold(damage(facts))
