"""The id of an event that a split made is never PSA's (domain.md section 1)."""

import pytest

from integration.release.driver import deleted, words
from integration.release.releasing import ReleasingDriver, capped_project, release, worth
from shared.database.database import Database

MADE = "BE-1.2"
EVERYTHING = (
    "select (select jsonb_agg(to_jsonb(event) order by billing_event_id) from billing_events as event),"
    " (select jsonb_agg(to_jsonb(item) order by billing_event_id, item_id) from billing_event_items as item)"
)


@pytest.fixture
def driver(store: Database) -> ReleasingDriver:
    return ReleasingDriver(store)


async def test_what_psa_says_of_an_id_that_a_split_took_is_put_aside_and_changes_nothing(
    driver: ReleasingDriver,
) -> None:
    await driver.know(capped_project("300.00"), worth("BE-1", "100.00", "150.00", "140.00"))
    await driver.command(release(on_cap="split"))
    told = len(await driver.facts())
    put_aside = 0
    for stage in ("awaiting_release", "released", "deleted"):
        if stage == "released":
            await driver.know(capped_project("1000.00", version=2))
            await driver.command(release(MADE))
            told = len(await driver.facts())
        elif stage == "deleted":
            await driver.database.pool.execute(
                "update billing_events set stage = 'deleted', released_at = null where billing_event_id = $1",
                MADE,
            )
        assert await driver.stage(MADE) == stage
        before = await driver.database.pool.fetchrow(EVERYTHING)
        for version in (1, 2):
            await driver.psa(worth(MADE, "10.00", version=version))
            await driver.psa(deleted(MADE, version=version))
            put_aside += 2
        await driver.settle()
        assert await driver.database.pool.fetchrow(EVERYTHING) == before
        reasons = await driver.dead_letters()
        assert len(reasons) == put_aside
        assert all(reason.startswith("id_taken_by_split: ") for reason in reasons)
        assert len(await driver.facts()) == told


async def test_a_split_takes_the_next_number_where_psa_has_taken_the_first(driver: ReleasingDriver) -> None:
    await driver.know(capped_project("100.00"), worth("BE-1", "100.00", "20.00"), worth(MADE, "5.00"))
    await driver.psa(deleted("BE-1.3", version=9))
    await driver.command(release(on_cap="split"))
    assert (await driver.event("BE-1.4"))["origin_id"] == "BE-1"
    await driver.psa(worth(MADE, "7.00", version=2))
    assert (await driver.event(MADE))["summary_amount"] == "7.00"
    assert await driver.dead_letters() == []


async def test_a_delete_that_passed_the_split_unseen_takes_nothing_away(driver: ReleasingDriver) -> None:
    await driver.know(capped_project("100.00"), worth("BE-1", "100.00", "20.00"))
    await driver.command(release(on_cap="split"))
    # As two transactions leave it that did not see each other.
    await driver.database.pool.execute(
        "insert into deleted_billing_events (billing_event_id, version) values ($1, 9)", MADE
    )
    await driver.database.pool.execute(
        "insert into source_changes (kind, source_id) values ('billing_event_deletion', $1)", MADE
    )
    await driver.settle()
    assert await driver.stage(MADE) == "awaiting_release"
    assert words(await driver.facts())[-1] == "refused"
