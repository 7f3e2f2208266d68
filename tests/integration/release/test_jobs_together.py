"""Jobs among all that goes on: caps that change midway, several jobs at once on one cap (domain.md section 2, Job)."""

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from integration.release.driver import Record, project
from integration.release.releasing import ReleasingDriver, capped_project, release, start_job, worth
from integration.release.test_jobs import IN_TWOS, job_facts
from release.domain.settings import OnChunkFailure
from shared.database.database import Database

SIX = [f"BE-{number}" for number in range(1, 7)]


async def chunk(driver: ReleasingDriver) -> None:
    """Let the next chunk be decided."""
    assert await driver.work_jobs()


async def codes(driver: ReleasingDriver) -> dict[str, str]:
    """The code of each refusal that was published."""
    return {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}


async def start(driver: ReleasingDriver, *records: Record) -> None:
    """Register six events of 1.00, start a job over them in chunks of two, and let its first chunk pass."""
    await driver.know(*records, *(worth(each, "1.00") for each in SIX))
    await driver.command(start_job("J-1", {"billing_event_ids": SIX}))
    await chunk(driver)
    await chunk(driver)
    assert [await driver.stage(each) for each in SIX] == ["released"] * 2 + ["queued"] * 4


async def test_each_chunk_sees_the_bookings_as_they_are_when_it_commits(store: Database) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await start(driver, capped_project("10.00"))
    await driver.know(capped_project("3.00", version=2))
    await chunk(driver)
    assert await codes(driver) == {"BE-3": "batch_failed", "BE-4": "cap_exceeded"}
    await driver.know(capped_project("4.00", version=3))
    await chunk(driver)
    assert [await driver.stage(each) for each in SIX] == [
        *["released"] * 2,
        *["awaiting_release"] * 2,
        *["released"] * 2,
    ]
    assert (await driver.cap()).remaining == 0
    done = (await job_facts(driver))[-1]
    assert (done["status"], done["released"], done["failed"]) == ("completed_with_errors", 4, 2)


async def test_each_chunk_sees_the_flags_as_they_are_when_it_commits(store: Database) -> None:
    """Enforced from the second chunk on, and capped at both levels from the third."""
    driver = ReleasingDriver(store, IN_TWOS)
    await start(driver, project(bookings="2.00", apply_billing_cap=True))
    await driver.know(capped_project("2.00", version=2))
    await chunk(driver)
    assert await codes(driver) == {"BE-3": "cap_exceeded", "BE-4": "cap_exceeded"}
    budgets = [{"budget_id": "B-1", "amount": "9.00", "apply_billing_cap": True}]
    await driver.know(capped_project("100.00", version=3, budgets=budgets))
    await chunk(driver)
    assert (await codes(driver))["BE-5"] == "cap_configuration_conflict"


async def test_project_that_is_put_on_hold_midway_stops_what_is_left(store: Database) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await start(driver, project())
    await driver.know(project(version=2, on_hold=True))
    await driver.finish_jobs()
    assert await codes(driver) == dict.fromkeys(SIX[2:], "on_hold")


async def test_quick_release_between_two_chunks_takes_its_share(store: Database) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await driver.know(worth("BE-9", "3.00"))
    await start(driver, capped_project("6.00"))
    await driver.command(release("BE-9"))
    await driver.finish_jobs()
    assert await codes(driver) == {
        "BE-3": "batch_failed",
        "BE-4": "cap_exceeded",
        "BE-5": "batch_failed",
        "BE-6": "cap_exceeded",
    }
    assert (await driver.cap()).remaining == 1


@pytest.mark.parametrize("on_chunk_failure", OnChunkFailure)
async def test_several_jobs_at_once_fill_one_cap_and_never_pass_it(
    store: Database, on_chunk_failure: OnChunkFailure
) -> None:
    """Four jobs of 25 events, worked by four replicas, on room for 50: counted to the last event."""
    settings = replace(IN_TWOS, release_batch_size=1, on_chunk_failure=on_chunk_failure)
    driver = ReleasingDriver(store, settings)
    ids = [f"BE-{number}" for number in range(100)]
    await driver.know(capped_project("50.00"), *(worth(each, "1.00") for each in ids))
    await driver.command(
        *(start_job(f"J-{job}", {"billing_event_ids": ids[job * 25 : job * 25 + 25]}) for job in range(4))
    )
    await asyncio.gather(*(driver.replica().finish_jobs() for _ in range(4)))
    await driver.finish_jobs()

    assert (await driver.cap()).released == {"GBP": Decimal(50)}
    ends: dict[str, Any] = {
        fact["job_id"]: fact for fact in await driver.facts() if fact.type == "release.job.completed.v1"
    }
    assert sorted(ends) == [f"J-{job}" for job in range(4)]
    released = Counter(fact["job_id"] for fact in await driver.facts("released"))
    refused = Counter(fact["job_id"] for fact in await driver.facts("refused"))
    for job_id, end in ends.items():
        assert (end["released"], end["failed"]) == (released[job_id], refused[job_id])
        assert end["released"] + end["failed"] == 25
    assert sum(released.values()) == 50


async def test_two_jobs_with_the_same_events_release_each_once(store: Database) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await driver.know(project(), *(worth(each, "1.00") for each in SIX))
    await asyncio.gather(
        driver.replica().command(start_job("J-1", {"billing_event_ids": SIX})),
        driver.replica().command(start_job("J-2", {"billing_event_ids": SIX[::-1]})),
    )
    await asyncio.gather(*(driver.replica().finish_jobs() for _ in range(2)))
    await driver.finish_jobs()
    ends = [fact for fact in await driver.facts() if fact.type == "release.job.completed.v1"]
    assert sorted((end["released"], end["failed"]) for end in ends) == [(0, 6), (6, 0)]
    told = [fact["billing_event"]["billing_event_id"] for fact in await driver.facts("released")]
    assert sorted(told) == SIX
    assert set((await codes(driver)).values()) <= {"queued", "already_released"}
