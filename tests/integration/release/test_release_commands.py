"""Commands that release one event each, in batches (domain.md section 2; contract.md section 1)."""

from decimal import Decimal

import asyncpg
import pytest

from integration.release.driver import business_record, item, project, words
from integration.release.driver import generated as sent
from integration.release.releasing import (
    SETTINGS,
    ReleasingDriver,
    capped_project,
    release,
    worth,
)
from release.domain.settings import Channel, ReleaseRequest, ReleaseSettings
from release.handlers.release_many import Ask, decide_each, write_decisions
from release.handlers.release_state import load_state
from shared.database.database import Database
from support.records import message_record

HOLD = "release.billing-event.hold.v1"


@pytest.fixture
def driver(store: Database) -> ReleasingDriver:
    return ReleasingDriver(store)


async def test_released_event_has_its_stage_ledger_and_facts(driver: ReleasingDriver) -> None:
    await driver.know(capped_project(), worth("BE-1", "60.00", "40.00"))
    command = release("BE-1", requested_by={"user_id": "u1", "email": "u1@example.com"}, message_id="M-1")

    await driver.command(command)

    event = await driver.event()
    assert (event["stage"], event["released"], event["released_by"]) == ("released", True, "u1")
    assert [(each["released"], each["billed"]) for each in event["items"]] == [(True, True)] * 2
    facts = [fact for fact in await driver.facts() if fact.causation_id == "M-1"]
    assert words(facts) == ["released", "billed"]
    released, billed = facts
    assert released["billing_event"] == event
    assert released["cap"] | {"budgets": []} == {
        "level": "project",
        "bookings": "10000.00",
        "remaining_before": "10000.00",
        "remaining_after": "9900.00",
        "budgets": [],
    }
    assert released["starter"] == {"user_id": "u1", "email": "u1@example.com"}
    assert {fact.key for fact in facts} == {"P-1"}
    assert [(each["record_id"], each["billed"]) for each in billed["records"]] == [
        ("T-BE-1-1", True),
        ("T-BE-1-2", True),
    ]
    entries = await driver.database.pool.fetch("select * from cap_ledger")
    assert [(row["billing_event_id"], row["amount"], row["released_after"]) for row in entries] == [
        ("BE-1", Decimal(100), Decimal(100))
    ]
    assert entries[0]["decision"]["rule"] == "fits_remaining"


async def test_split_tells_its_facts_in_order_and_moves_items(driver: ReleasingDriver) -> None:
    await driver.know(capped_project("300.00"), worth("BE-1", "100.00", "150.00", "140.00"))
    await driver.command(release(on_cap="split", message_id="M-1"))

    facts = [fact for fact in await driver.facts() if fact.causation_id == "M-1"]
    assert words(facts) == ["split", "released", "billed", "registered"]
    split, released, _, registered = facts
    assert (split["origin_id"], split["new_id"], split["root_id"]) == ("BE-1", "BE-1.2", "BE-1")
    assert registered["billing_event"] == await driver.event("BE-1.2")
    assert released["billing_event"] == await driver.event("BE-1")
    new_event = registered["billing_event"]
    assert (new_event["stage"], new_event["made_by_cap"], new_event["origin_id"]) == (
        "awaiting_release",
        True,
        "BE-1",
    )
    assert [each["item_id"] for each in new_event["items"]] == ["BE-1-3"]
    assert new_event["summary_amount"] == "140.00"
    assert released["billing_event"]["summary_amount"] == "250.00"


async def test_commands_of_a_batch_are_decided_in_order_against_the_running_cap(
    driver: ReleasingDriver,
) -> None:
    events = [worth(f"BE-{number}", "100.00") for number in range(1, 6)]
    await driver.know(capped_project("300.00"), *events)
    await driver.command(*(release(f"BE-{number}") for number in (5, 4, 3, 2, 1)))

    released = [fact["billing_event"]["billing_event_id"] for fact in await driver.facts("released")]
    refused = {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}
    assert released == ["BE-5", "BE-4", "BE-3"]
    assert refused == {"BE-2": "no_item_fits", "BE-1": "no_item_fits"}
    assert (await driver.cap()).remaining == 0


async def test_two_commands_for_one_event_release_it_once(driver: ReleasingDriver) -> None:
    await driver.know(capped_project(), worth("BE-1", "100.00"))
    await driver.command(release(), release())
    await driver.command(release())

    assert words(await driver.facts("released")) == ["released"]
    assert [fact["reasons"][0]["code"] for fact in await driver.facts("refused")] == ["already_released"] * 2
    assert (await driver.cap()).remaining == 9900


async def test_redelivered_command_changes_nothing(driver: ReleasingDriver) -> None:
    await driver.know(capped_project("150.00"), worth("BE-1", "100.00", "100.00"))
    command = release(on_cap="split")
    await driver.command(command)
    before = await driver.facts()
    await driver.command(command, command)
    assert await driver.facts() == before
    assert await driver.database.pool.fetchval("select count(*) from cap_ledger") == 1


async def test_all_codes_are_told_in_order_and_kept(driver: ReleasingDriver) -> None:
    await driver.psa(
        project(
            bookings="50.00", apply_billing_cap=True, auto_cap_billing=True, account_id=None, company_id=None
        ),
        business_record("T-1", version=2),
        sent("BE-1", item(business_record_version=1)),
    )
    await driver.settle()  # nothing of it is late any more
    await driver.command(message_record(HOLD, {"billing_event_id": "BE-1", "on_hold": True}))
    await driver.command(release())
    (refused,) = await driver.facts("refused")
    codes = [
        "on_hold",
        "out_of_sync",
        "account_missing",
        "company_missing",
        "currency_missing",
        "cap_exceeded",
    ]
    assert [reason["code"] for reason in refused["reasons"]] == codes
    assert refused["preview"] is None
    detail = await driver.database.pool.fetchval(
        "select detail from billing_event_history where what = 'refused'"
    )
    assert [reason["code"] for reason in detail["reasons"]] == codes
    assert await driver.stage("BE-1") == "awaiting_release"


async def test_unknown_event_waits_and_is_released_when_it_comes(driver: ReleasingDriver) -> None:
    await driver.know(capped_project())
    await driver.command(release("BE-1"))
    assert await driver.facts("refused", "released") == []
    await driver.psa(worth("BE-1", "100.00"))
    await driver.commands.take_up_waiting(driver.database)
    assert words(await driver.facts("released", "refused")) == ["released"]


async def test_new_event_takes_the_next_free_id_of_its_lineage(driver: ReleasingDriver) -> None:
    await driver.know(
        capped_project("100.00"), worth("BE-1", "60.00", "50.00", "45.00"), worth("BE-1.2", "1.00")
    )
    await driver.psa(
        message_record("psa.billing-event.deleted.v1", {"billing_event_id": "BE-1.3", "version": 1})
    )
    await driver.command(release("BE-1", on_cap="split"))
    await driver.psa(capped_project("115.00", version=2))
    await driver.command(release("BE-1.4", on_cap="split"))
    splits = await driver.facts("split")
    assert [(fact["origin_id"], fact["new_id"], fact["root_id"]) for fact in splits] == [
        ("BE-1", "BE-1.4", "BE-1"),
        ("BE-1.4", "BE-1.5", "BE-1"),
    ]
    assert (await driver.event("BE-1.5"))["origin_id"] == "BE-1.4"


async def test_adjustments_keep_their_product_when_their_event_is_completed_again(
    driver: ReleasingDriver,
) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    record = business_record("T-1", services_product="Diving")
    await driver.know(
        project(budgets=budgets),
        record,
        sent("BE-1", item("i1", "150.00", budget_id="B-1"), item("i2", "1.00")),
    )
    await driver.command(release(on_cap="split"))
    await driver.know(project(budgets=budgets, version=2, services_product="Other"))
    (adjustment,) = (await driver.event("BE-1.2"))["items"]
    assert (adjustment["amount"], adjustment["services_product"]) == ("50.00", "Diving")
    assert adjustment["adjusts_item_id"] == "i1"


async def test_event_with_many_items_becomes_a_job_with_a_jobs_verdict(store: Database) -> None:
    settings = ReleaseSettings(support_contact=SETTINGS.support_contact, release_batch_size=2)
    driver = ReleasingDriver(store, settings)
    await driver.know(
        capped_project("100.00"),
        worth("BE-1", "60.00", "60.00", "60.00"),
        worth("BE-2", "1.00", "1.00", "1.00"),
    )
    await driver.command(release("BE-1", on_cap="split"), release("BE-2"))
    assert [await driver.stage("BE-1"), await driver.stage("BE-2")] == ["queued", "queued"]
    await driver.finish_jobs()
    (refused,) = await driver.facts("refused")
    assert [reason["code"] for reason in refused["reasons"]] == ["too_many_items_to_split"]
    assert refused["job_id"] is not None
    assert [await driver.stage("BE-1"), await driver.stage("BE-2")] == ["awaiting_release", "released"]


async def test_threshold_is_told_once_per_crossing(driver: ReleasingDriver) -> None:
    watched = {"alert_threshold": "80", "alert_recipient": "pm@example.com", "auto_cap_billing": False}
    await driver.know(
        capped_project("100.00", **watched),
        *(
            worth(f"BE-{n}", amount)
            for n, amount in enumerate(("79.99", "0.01", "10.00", "-20.00", "20.00"), start=1)
        ),
    )
    await driver.command(*(release(f"BE-{number}") for number in range(1, 6)))
    crossings = [fact for fact in await driver.facts() if fact.type == "release.cap.threshold-crossed.v1"]
    assert [(fact["released"], fact["ratio"], fact.key) for fact in crossings] == [
        ("80.00", "0.8000", "P-1"),
        ("90.00", "0.9000", "P-1"),
    ]
    await driver.know(capped_project("1000.00", version=2, **watched))
    await driver.know(capped_project("112.50", version=3, **watched))
    crossings = [fact for fact in await driver.facts() if fact.type == "release.cap.threshold-crossed.v1"]
    assert [fact["bookings"] for fact in crossings] == ["100.00", "100.00", "112.50"]


async def test_events_of_other_currencies_are_counted_apart_where_a_cap_is_only_tracked(
    driver: ReleasingDriver,
) -> None:
    tracked = project(bookings="100.00", apply_billing_cap=True)
    await driver.know(tracked, worth("BE-1", "500.00", currency="EUR"), worth("BE-2", "7.00"))
    await driver.command(release("BE-1"), release("BE-2"))
    cap = await driver.cap()
    assert cap.released == {"EUR": Decimal(500), "GBP": Decimal(7)}


async def test_credits_that_came_before_let_a_release_be_more_than_the_whole_cap(
    driver: ReleasingDriver,
) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    credit, large = item("u1", "-50.00", budget_id="B-1"), item("u2", "150.00", budget_id="B-1")
    await driver.know(
        capped_project("100.00"),
        worth("BE-1", "-50.00"),
        worth("BE-2", "150.00"),
        project("P-2", budgets=budgets),
        sent("BU-1", credit | {"services_product": "X"}, project_id="P-2"),
        sent("BU-2", large | {"services_product": "X"}, project_id="P-2"),
    )
    for each in ("BE-1", "BE-2", "BU-1", "BU-2"):
        await driver.command(release(each))
    assert await driver.dead_letters() == []
    assert (await driver.cap()).remaining == 0
    assert (await driver.cap("P-2")).budgets["B-1"].released == {"GBP": Decimal(100)}


async def test_schema_refuses_what_a_decision_without_the_lock_lets_through(driver: ReleasingDriver) -> None:
    """A planted bug: both decide on what they read, neither locks. PostgreSQL is the second check."""
    await driver.know(capped_project("300.00"), worth("BE-1", "200.00"), worth("BE-2", "200.00"))
    states = {each: await load_state(driver.database.pool, [each]) for each in ("BE-1", "BE-2")}
    decided = {
        each: decide_each(state, [Ask(each, ReleaseRequest(Channel.QUICK))], SETTINGS)
        for each, state in states.items()
    }
    await driver.database.run(lambda work: write_decisions(work, states["BE-1"], decided["BE-1"]))
    with pytest.raises(asyncpg.CheckViolationError, match="never_over_project_cap"):
        await driver.database.run(lambda work: write_decisions(work, states["BE-2"], decided["BE-2"]))
    assert (await driver.cap()).remaining == 100
    assert await driver.stage("BE-2") == "awaiting_release"


async def test_schema_refuses_to_count_an_event_twice(driver: ReleasingDriver) -> None:
    await driver.know(project(), worth("BE-1", "200.00"))
    state = await load_state(driver.database.pool, ["BE-1"])
    decided = decide_each(state, [Ask("BE-1", ReleaseRequest(Channel.QUICK))], SETTINGS)
    await driver.database.run(lambda work: write_decisions(work, state, decided))
    with pytest.raises(asyncpg.UniqueViolationError, match="cap_ledger_once"):
        await driver.database.run(lambda work: write_decisions(work, state, decided))


@pytest.mark.parametrize(
    "statement",
    ["update cap_ledger set amount = 0", "delete from cap_ledger", "delete from billing_event_history"],
)
async def test_ledger_and_history_are_append_only_by_grant(driver: ReleasingDriver, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await driver.database.pool.execute(statement)
