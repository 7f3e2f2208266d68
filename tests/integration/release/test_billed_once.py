"""Billed once, over PostgreSQL: every row of tests/vectors/billed_once.json, and what only the service shows."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from integration.release.driver import Record, business_record, generated, item, project
from integration.release.releasing import SETTINGS, ReleasingDriver, capped_project, release, start_job, worth
from integration.release.test_cap_vectors import cases
from integration.release.test_dry_run import log, start
from integration.release.test_write_back import AccountingDriver, revert, withdrawn
from release.domain.settings import OnChunkFailure, RecordGuard, ReleaseSettings
from release.store.billed_checks import BILLED_CHECKS
from release.store.reconciliation import run_check
from shared.database.database import Database
from support.databases import FreshDatabase
from support.records import message_record

MIGRATIONS = Path(__file__).parents[3] / "services" / "release" / "migrations"
FOUR_CURRENCIES = ["EUR", "GBP", "JPY", "KWD"]


def bills(billing_event_id: str, record_id: str = "T-1", amount: str = "100.00", **fields: Any) -> Record:
    """An event of one item on this timecard."""
    item_id = fields.pop("item_id", f"{billing_event_id}-1")
    one = item(item_id, amount, business_record_id=record_id, services_product="Consulting")
    return generated(billing_event_id, one, **fields)


def sent(case: dict[str, Any]) -> list[Record]:
    """What PSA sends of a case."""
    given = case.get("project", {})
    flags: dict[str, Any] = (
        {"apply_billing_cap": True, "auto_cap_billing": True} if "bookings" in given else {}
    )
    budgets = [{**each, "apply_billing_cap": True} for each in given.get("budgets", ())]
    records = [
        business_record(name.split(" ")[1], name.split(" ")[0], amount=amount)
        for name, amount in case.get("records", {}).items()
    ]
    events = [
        generated(
            event["billing_event_id"],
            *(
                item(
                    each["item_id"],
                    each["amount"],
                    created_at=f"2026-11-20T09:00:{place:02}Z",
                    category=each.get("category", "timecard"),
                    business_record_id=each["record"],
                    budget_id=each.get("budget_id"),
                    services_product="Consulting",
                )
                for place, each in enumerate(event["items"])
            ),
            project_id=event.get("project_id", "P-1"),
            currency=event.get("currency", "GBP"),
        )
        for event in case["events"]
    ]
    return [
        message_record(
            "psa.company.upserted.v1",
            {"company_id": "C-UK", "version": 1, "accounting_currencies": FOUR_CURRENCIES},
        ),
        project(bookings=given.get("bookings"), budgets=budgets, **flags),
        project("P-2"),
        *(business_record(each["record"], "milestone", name="Stage") for each in _milestones(case)),
        *records,
        *events,
    ]


def _milestones(case: dict[str, Any]) -> list[dict[str, Any]]:
    known = case.get("records", {})
    every = [each for event in case["events"] for each in event["items"]]
    return [
        each
        for each in every
        if each.get("category") == "milestone" and f"milestone {each['record']}" not in known
    ]


async def balanced(store: Database) -> bool:
    """Whether what is billed is what released events hold."""
    async with store.pool.acquire() as connection:
        checks = [await run_check(connection, name) for name in BILLED_CHECKS]
    return not [check for check in checks if check.differences]


@pytest.mark.parametrize("case", cases("billed_once"))
async def test_records_are_billed_as_the_vector_says(store: Database, case: dict[str, Any]) -> None:
    settings = ReleaseSettings(
        SETTINGS.support_contact,
        record_guard=RecordGuard(case.get("guard", "refuse")),
        on_chunk_failure=OnChunkFailure.ISOLATE,
    )
    driver = ReleasingDriver(store, settings)
    await driver.psa(*sent(case))
    await driver.settle()
    ids = [step["billing_event_id"] for step in case["release"]]
    if case.get("channel") == "job":
        await driver.command(start_job("J-1", {"billing_event_ids": ids}))
        await driver.finish_jobs()
    else:
        on_cap = "split" if case.get("channel") == "split" else "refuse"
        for each in ids:
            await driver.command(release(each, on_cap=on_cap))
    told: dict[str, dict[str, Any]] = {}
    for fact in await driver.facts("released", "refused"):
        if "reasons" in fact:
            told[fact["billing_event_id"]] = {"codes": [each["code"] for each in fact["reasons"]]}
        else:
            told[fact["billing_event"]["billing_event_id"]] = {
                "warnings": [each["code"] for each in fact["warnings"]]
            }
    assert told == {step["billing_event_id"]: step["expect"] for step in case["release"]}
    again = {fact["billing_event_id"] for fact in await driver.facts("billed-again")}
    guards = {"item_already_billed", "record_already_billed"}
    assert again == {key for key, expected in told.items() if guards & set(expected.get("warnings", ()))}
    rows = await store.pool.fetch("select * from record_totals order by kind, record_id, place")
    sums = {f"{row['kind']} {row['record_id']} {row['currency']}": row["billed"] for row in rows}
    assert sums == {key: Decimal(amount) for key, amount in case["billed"].items()}
    assert await balanced(store)


async def test_two_projects_that_bill_one_record_at_once_bill_it_once(store: Database) -> None:
    """Whatever races: 24 events of 24 projects over three records, in batches and in a currency of their own."""
    driver = ReleasingDriver(store)
    records = [business_record(f"T-{number}", amount="100.00") for number in range(2)]
    events = [
        bills(
            f"BE-{number}", f"T-{number % 3}", project_id=f"P-{number}", currency=("GBP", "EUR")[number % 2]
        )
        for number in range(24)
    ]
    await driver.know(*records, *(project(f"P-{number}") for number in range(24)), *events)
    batches = [[release(f"BE-{number}") for number in range(start, 24, 8)] for start in range(8)]
    await asyncio.gather(*(driver.replica().command(*batch) for batch in batches))
    assert len(await driver.facts("released")) == 3
    refused = await driver.facts("refused")
    assert {reason["code"] for fact in refused for reason in fact["reasons"]} == {"record_already_billed"}
    assert len(refused) == 21
    assert await store.pool.fetchval("select max(billed) from record_totals") == 100
    assert await balanced(store)


async def test_two_events_with_one_item_at_once_bill_it_once(store: Database) -> None:
    driver = ReleasingDriver(store)
    ids = [f"BE-{number}" for number in range(12)]
    await driver.know(
        *(project(f"P-{each}") for each in ids),
        *(bills(each, f"T-{each}", project_id=f"P-{each}", item_id="i1") for each in ids),
    )
    await asyncio.gather(*(driver.replica().command(release(each)) for each in ids))
    (released,) = await driver.facts("released")
    refused = await driver.facts("refused")
    assert [fact["reasons"][0]["code"] for fact in refused] == ["item_already_billed"] * 11
    holder = released["billing_event"]["billing_event_id"]
    assert {fact["reasons"][0]["detail"]["items"][0]["billing_event_id"] for fact in refused} == {holder}
    assert await balanced(store)


async def test_the_refusal_names_record_amount_what_is_billed_and_by_which_events(store: Database) -> None:
    driver = ReleasingDriver(store)
    await driver.know(
        project(), business_record(amount="100.00"), bills("BE-1"), bills("BE-2", amount="1.00")
    )
    await driver.command(release("BE-1"), release("BE-2"))
    await driver.command(release("BE-2"))
    for refused in await driver.facts("refused"):
        (reason,) = refused["reasons"]
        assert reason["message"] == (
            "Timecard T-1 is worth 100.00 GBP; 100.00 GBP of it is billed by BE-1: 1.00 GBP more would pass that."
        )
        (told,) = reason["detail"]["records"]
        assert (told["amount"], told["billed"], told["asked"]) == ("100.00", {"GBP": "100.00"}, "1.00")
        assert told["billing_event_ids"] == ["BE-1"]


async def test_a_revert_gives_back_and_frees_only_what_nothing_else_bills(store: Database) -> None:
    driver = AccountingDriver(store)
    await driver.know(
        project(),
        business_record(amount="100.00"),
        bills("BE-1", amount="60.00"),
        bills("BE-2", amount="40.00"),
        bills("BE-3", amount="100.00"),
        bills("BE-4", amount="100.00", item_id="BE-1-1"),
    )
    await driver.command(release("BE-1"), release("BE-2"), release("BE-3"), revert("BE-1"))
    await driver.accounting(withdrawn("BE-1"))
    assert await freed(driver) == []
    await driver.command(revert("BE-2"))
    await driver.accounting(withdrawn("BE-2"))
    assert await freed(driver) == ["BE-2 T-1"]
    await driver.command(release("BE-4"), release("BE-3"))
    assert await driver.stage("BE-4") == "released"
    assert await driver.stage("BE-3") == "awaiting_release"
    assert await balanced(store)


async def test_of_reverts_in_one_batch_the_last_frees_the_record(store: Database) -> None:
    """Budgets' records too, which no guard looks at."""
    driver = AccountingDriver(store)
    budget = {"category": "budget", "business_record_id": "B-7", "services_product": "Consulting"}
    await driver.know(
        project(), *(generated(each, item(each, "10.00", **budget)) for each in ("BE-1", "BE-2"))
    )
    await driver.command(release("BE-1"), release("BE-2"), revert("BE-1"), revert("BE-2"))
    await driver.accounting(withdrawn("BE-1"), withdrawn("BE-2"))
    assert await freed(driver) == ["BE-2 B-7"]


async def freed(driver: AccountingDriver) -> list[str]:
    """The records that PSA was told are not billed any more, each with the event that told it."""
    return [
        f"{fact['billing_event_id']} {record['record_id']}"
        for fact in await driver.facts()
        if fact.type == "release.business-records.billed.v1"
        for record in fact["records"]
        if not record["billed"]
    ]


async def test_a_cap_does_not_begin_anew_in_another_currency(store: Database) -> None:
    driver = AccountingDriver(store)
    await driver.know(capped_project("100.00"), worth("BE-1", "60.00"))
    await driver.command(release("BE-1"))
    await driver.know(
        capped_project("100.00", currency="EUR", version=2),
        worth("BE-2", "10.00", currency="EUR"),
        worth("BE-3", "-10.00", currency="EUR"),
    )
    (conflict,) = [
        fact for fact in await driver.facts() if fact.type == "release.cap.configuration-conflict.v1"
    ]
    assert (conflict["budget_ids"], conflict["former_currencies"]) == ([], ["GBP"])
    assert (await driver.event("BE-2"))["conflict"] is True
    await driver.command(release("BE-2"), release("BE-3"), start_job("J-1", {"billing_event_ids": ["BE-2"]}))
    await driver.finish_jobs()
    codes = [reason["code"] for fact in await driver.facts("refused") for reason in fact["reasons"]]
    assert codes == ["cap_configuration_conflict"] * 2
    assert await driver.stage("BE-3") == "released"
    await driver.know(capped_project("100.00", currency="USD", version=3))
    assert (await driver.cap()).former_currencies == ("GBP",)
    await driver.know(capped_project("100.00", version=4))
    assert (await driver.cap()).former_currencies == ()
    await driver.know(capped_project("100.00", currency="EUR", version=5))
    await driver.command(revert("BE-1"))
    await driver.accounting(withdrawn("BE-1"))
    await driver.command(release("BE-2"))
    assert await driver.stage("BE-2") == "released"


async def test_a_budgets_cap_does_not_begin_anew_either(store: Database) -> None:
    driver = ReleasingDriver(store)
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    on_budget = {"budget_id": "B-1", "services_product": "Consulting"}
    await driver.know(
        project(budgets=budgets),
        generated("BE-1", item("i1", "60.00", business_record_id="T-1", **on_budget)),
    )
    await driver.command(release("BE-1"))
    await driver.know(
        project(currency="EUR", budgets=budgets, version=2),
        generated("BE-2", item("i2", "60.00", business_record_id="T-2", **on_budget), currency="EUR"),
    )
    await driver.command(release("BE-2", on_cap="split"))
    (refused,) = await driver.facts("refused")
    assert [reason["code"] for reason in refused["reasons"]] == ["cap_configuration_conflict"]


async def test_a_tracked_project_may_release_in_other_currencies(store: Database) -> None:
    """What it has released in them is no former currency once its cap is enforced; its own former one is."""
    driver = ReleasingDriver(store)
    await driver.know(
        project(bookings="100.00", apply_billing_cap=True),
        worth("BE-1", "10.00", currency="EUR"),
        worth("BE-2", "10.00"),
    )
    await driver.command(release("BE-1"), release("BE-2"))
    await driver.know(capped_project("100.00", version=2))
    assert (await driver.cap()).former_currencies == ()
    await driver.know(capped_project("100.00", version=3, currency="EUR"))
    assert (await driver.cap()).former_currencies == ("GBP",)


def fills_of_the_upgrade() -> list[str]:
    """The statements of the migration that fill what is billed from released items."""
    text = (MIGRATIONS / "0004_billed_once.sql").read_text()
    return [each for each in text.split("-- migrate:down")[0].split(";\n") if "insert into" in each]


async def test_an_upgrade_fills_what_is_billed_and_tells_once_what_is_billed_twice(
    store: Database, release_database: FreshDatabase
) -> None:
    """It refuses only further charges, and is a difference until it is put right."""
    off = ReleaseSettings(SETTINGS.support_contact, record_guard=RecordGuard.OFF)
    before = AccountingDriver(store, off)
    await before.know(
        project(),
        business_record(amount="100.00"),
        *(bills(each, item_id="i1") for each in ("BE-1", "BE-2")),
        *(bills(each, "T-2") for each in ("BE-3", "BE-4", "BE-6")),
        bills("BE-5", "T-3"),
        bills("BE-7", amount="-100.00"),
    )
    await before.command(*(release(each) for each in ("BE-1", "BE-2", "BE-3", "BE-4", "BE-5")))
    rows = (
        "select (select array_agg(total order by total) from record_totals as total)::text as totals,"
        " (select array_agg(held order by held) from billed_items as held)::text as items"
    )
    kept = dict(await store.pool.fetchrow(rows) or {})
    administrator = await asyncpg.connect(release_database.administrator_url)
    await administrator.execute(f"set search_path = {release_database.schema}")
    await administrator.execute("truncate record_totals, billed_items")
    for statement in fills_of_the_upgrade():
        await administrator.execute(statement)
    await administrator.close()
    assert dict(await store.pool.fetchrow(rows) or {}) == kept

    driver = AccountingDriver(store)
    found = await twice_before(store)
    assert found == {"item i1", "timecard T-1", "timecard T-2"}
    await driver.command(release("BE-6"), release("BE-7"), revert("BE-4"), revert("BE-2"))
    assert await driver.stage("BE-6") == "awaiting_release"
    assert await driver.stage("BE-7") == "released"
    await driver.accounting(withdrawn("BE-4"), withdrawn("BE-2"))
    assert await twice_before(store) == set()


async def twice_before(store: Database) -> set[str]:
    """What was billed twice before the upgrade, and is not put right yet."""
    async with store.pool.acquire() as connection:
        check = await run_check(connection, "nothing_was_billed_twice_before")
    return {f"{each['kind']} {each['item_id'] or each['record_id']}" for each in check.differences}


async def test_a_dry_run_sees_what_its_earlier_chunks_would_have_billed(store: Database) -> None:
    driver = ReleasingDriver(store, ReleaseSettings(SETTINGS.support_contact, release_batch_size=1))
    events = [bills("BE-1"), bills("BE-2"), bills("BE-3", "T-9"), bills("BE-4", "T-8", item_id="BE-3-1")]
    await driver.know(project(), business_record(amount="100.00"), *events)
    await start(driver, "J-dry", {"billing_event_ids": ["BE-1", "BE-2", "BE-3", "BE-4"]})
    await driver.finish_jobs()
    codes = [(entry["reasons"] or [{}])[0].get("code") for entry in await log(driver, "J-dry")]
    assert codes == [None, "record_already_billed", None, "item_already_billed"]
    assert await store.pool.fetchval("select count(*) from record_totals") == 0
    left = "select (select count(*) from dry_run_items) + (select count(*) from dry_run_billings)"
    assert await store.pool.fetchval(left) == 0
