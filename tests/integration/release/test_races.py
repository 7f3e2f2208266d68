"""Many at once on the same caps: never over, never stuck, never twice (domain.md section 3, Never over)."""

import asyncio
import random
from decimal import Decimal

from integration.release.releasing import ReleasingDriver, capped_project, release, start_job, worth
from shared.database.database import Database

WORKERS = 64


async def test_sixty_four_releases_at_once_fill_one_cap_exactly(store: Database) -> None:
    """Of 64 events of 10.00 on a cap of 255.00, twenty-five are released, whatever races."""
    driver = ReleasingDriver(store)
    await driver.know(capped_project("255.00"), *(worth(f"BE-{n}", "10.00") for n in range(WORKERS)))
    await asyncio.gather(*(driver.replica().command(release(f"BE-{number}")) for number in range(WORKERS)))
    assert len(await driver.facts("released")) == 25
    assert len(await driver.facts("refused")) == WORKERS - 25
    assert (await driver.cap()).released["GBP"] == Decimal(250)
    ledger = await store.pool.fetch("select released_after from cap_ledger order by entry_id")
    assert [row["released_after"] for row in ledger] == [Decimal(10 * place) for place in range(1, 26)]


async def test_one_event_asked_for_many_times_at_once_is_released_once(store: Database) -> None:
    driver = ReleasingDriver(store)
    await driver.know(capped_project("10.00"), worth("BE-1", "6.00", "6.00"))
    await asyncio.gather(*(driver.replica().command(release(on_cap="split")) for _ in range(16)))
    assert len(await driver.facts("released")) == 1
    assert await store.pool.fetchval("select count(*) from cap_ledger") == 1
    assert await store.pool.fetchval("select count(*) from billing_events") == 2


async def test_batches_in_every_order_over_the_same_projects_all_pass(store: Database) -> None:
    """Commands, jobs and changes of projects name them in random orders: deadlocks are avoided, or tried again."""
    driver = ReleasingDriver(store)
    projects = [f"P-{number}" for number in range(6)]
    ids = [f"BE-{number}" for number in range(90)]
    events = [worth(each, "1.00", project_id=projects[place % 6]) for place, each in enumerate(ids)]
    await driver.know(*(capped_project("12.00", project_id=each) for each in projects), *events)
    chance = random.Random(20261120)
    batches = []
    for start in range(0, 72, 12):
        chunk = [release(each) for each in ids[start : start + 12]]
        chance.shuffle(chunk)
        batches.append(driver.replica().command(*chunk))
    for number, start in enumerate((72, 78, 84)):
        chosen = ids[start : start + 6]
        chance.shuffle(chosen)
        batches.append(driver.replica().command(start_job(f"J-{number}", {"billing_event_ids": chosen})))
    for version in (2, 3, 4):
        order = chance.sample(projects, len(projects))
        changes = [capped_project("12.00", project_id=each, version=version) for each in order]
        batches.append(driver.replica().psa(*changes))
    await asyncio.gather(*batches)
    await asyncio.gather(*(driver.replica().finish_jobs() for _ in range(3)))

    assert await driver.dead_letters() == []
    for each in projects:
        assert (await driver.cap(each)).released["GBP"] == Decimal(12)
    told = [*await driver.facts("released"), *await driver.facts("refused")]
    assert len(told) == len(ids)
