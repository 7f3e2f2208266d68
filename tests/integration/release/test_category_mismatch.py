"""Items whose category differs from their record's kind, and events that wait for long (domain.md section 1)."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from integration.release.driver import business_record, company, deleted, generated, item, project
from integration.release.releasing import ReleasingDriver, release
from release.handlers.incomplete_events import waiting_step
from shared.database.database import Database

TOLD = "category-mismatch"
MIGRATION = Path(__file__).parents[3] / "services/release/migrations/0005_arrival.sql"
BACKFILL = next(
    statement for statement in MIGRATION.read_text().split(";") if "insert into completions_due" in statement
)


@pytest.fixture
def driver(store: Database) -> ReleasingDriver:
    return ReleasingDriver(store)


async def test_an_event_with_a_mismatch_completes_is_told_and_is_refused_until_it_is_mended(
    driver: ReleasingDriver,
) -> None:
    await driver.know(project(), company())
    await driver.psa(generated(), business_record("T-1", "expense", services_product="Travel"))
    await driver.settle()
    event = await driver.event()
    assert (event["stage"], event["category_mismatch"]) == ("awaiting_release", ["i1"])
    assert (event["items"][0]["category_mismatch"], event["items"][0]["services_product"]) == (True, "Travel")
    # A second version does not mend it, and is not told of again.
    await driver.psa(generated(version=2))
    await driver.command(release())
    (told,) = await driver.facts(TOLD)
    assert (told.key, told["billing_event_id"], told["item_ids"]) == ("P-1", "BE-1", ["i1"])
    (refused,) = await driver.facts("refused")
    assert [reason["code"] for reason in refused["reasons"]] == ["category_mismatch"]

    await driver.know(business_record("T-1", "timecard", version=2, services_product="Days"))
    event = await driver.event()
    assert (event["category_mismatch"], event["items"][0]["services_product"]) == ([], "Days")
    await driver.know(business_record("T-1", "expense", version=3))
    assert len(await driver.facts(TOLD)) == 2
    await driver.psa(generated("BE-1", item(category="expense"), version=3))
    await driver.command(release())
    assert await driver.stage("BE-1") == "released"
    assert len(await driver.facts(TOLD)) == 2


async def test_a_later_record_of_another_kind_does_not_touch_what_is_released(
    driver: ReleasingDriver,
) -> None:
    await driver.know(project(), business_record(), generated())
    await driver.command(release())
    await driver.know(business_record("T-1", "expense", version=2))
    assert (await driver.event())["category_mismatch"] == []
    assert await driver.facts(TOLD) == []


async def test_an_upgrade_marks_what_is_complete_with_a_mismatch_and_lets_go_on_what_waits(
    driver: ReleasingDriver,
) -> None:
    await driver.know(project(), company(), business_record("T-1", "expense"))
    own = item(services_product="Own")
    await driver.psa(generated("BE-1", own), generated("BE-2"), generated("BE-3", item(category="expense")))
    # As the version before left them.
    await driver.database.pool.execute("update billing_event_items set category_mismatch = false")
    await driver.database.pool.execute(
        "update billing_events set stage = 'incomplete' where billing_event_id = 'BE-2'"
    )
    await driver.database.pool.execute(BACKFILL)
    await driver.settle()
    events = [await driver.event(f"BE-{number}") for number in (1, 2, 3)]
    assert [event["stage"] for event in events] == ["awaiting_release"] * 3
    assert [event["category_mismatch"] for event in events] == [["i1"], ["i1"], []]


async def test_an_event_that_waits_for_long_is_told_of_once(driver: ReleasingDriver) -> None:
    now = datetime.now(UTC)
    await driver.psa(generated("BE-1"), generated("BE-2"), generated("BE-3", project_id="P-2"))
    for days in (1, 3, 4):
        if days == 3:
            await driver.know(project(), business_record())
            await driver.psa(deleted("BE-2"))
        step = waiting_step(driver.database, alert_days=2, clock=partial(now.__add__, timedelta(days=days)))
        assert await step() is False
        assert len(await driver.facts("waits")) == (0 if days == 1 else 1)
    (told,) = await driver.facts("waits")
    assert (told.key, told["billing_event_id"], told["alert_days"], told["sources"]) == ("P-2", "BE-3", 2, 1)
    assert told["waits_for"] == [{"kind": "project", "id": "P-2"}]


async def test_what_began_to_wait_only_now_is_not_told_of(driver: ReleasingDriver) -> None:
    await driver.know(
        project(budgets=[{"budget_id": "B-1"}]), business_record(), generated("BE-1", item(budget_id="B-1"))
    )
    await driver.database.pool.execute("update billing_events set created_at = now() - interval '9 days'")
    await driver.know(project(version=2))
    assert await driver.stage("BE-1") == "incomplete"
    assert await waiting_step(driver.database, alert_days=2)() is False
    assert await driver.facts("waits") == []
