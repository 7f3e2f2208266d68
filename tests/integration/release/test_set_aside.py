"""No event or command that breaks a worker's step stops others: it is set aside, told, and tried again (section 7)."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from integration.release.driver import ReleaseDriver, business_record, everything_known, generated, item
from integration.release.http import Api
from integration.release.releasing import ReleasingDriver, capped_project, start_job, worth
from integration.release.releasing import release as release_command
from integration.release.test_by_hand import hold
from release.handlers import by_hand
from release.handlers.completion import completion_step
from shared.database import unit_of_work
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.set_aside import IsolatedStep
from support.databases import FreshDatabase

LONG = "x" * 6_000


async def _spread(release: ReleaseDriver) -> None:
    while await release._spreader.step():
        pass


async def _arrive(release: ReleaseDriver) -> IsolatedStep:
    """BE-1 to BE-3 before their sources, which come now; the completed fact of BE-2 will be too large."""
    for number in (1, 2, 3):
        description = LONG if number == 2 else "short"
        await release.psa(generated(f"BE-{number}", item(f"i{number}", description=description)))
    await release.psa(*everything_known())
    await _spread(release)
    return completion_step(release.database, release.company_source)


async def _stages(release: ReleaseDriver) -> list[str]:
    return [(await release.event(f"BE-{number}"))["stage"] for number in (1, 2, 3)]


async def _try_now(release: ReleaseDriver) -> None:
    await release.database.pool.execute("update set_aside_work set try_at = now()")


async def test_an_event_whose_fact_is_too_large_stops_no_completion_and_is_told_once(
    release: ReleaseDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = await _arrive(release)
    monkeypatch.setattr(unit_of_work, "MESSAGE_BYTES_MAX", 4_000)
    assert await step()
    assert await _stages(release) == ["awaiting_release", "incomplete", "awaiting_release"]
    assert not await step()
    await _try_now(release)
    await step()
    (told,) = await release.facts("release.work.pending")
    assert (told["kind"], told["id"]) == ("completion", "BE-2")
    assert told["reason"].startswith("too_large:")
    assert (
        await release.database.pool.fetchval(
            "select detail->>'reason' from billing_event_history where what = 'set_aside'"
        )
        == told["reason"]
    )
    assert await release.database.pool.fetchval("select tries from set_aside_work") == 2

    monkeypatch.setattr(unit_of_work, "MESSAGE_BYTES_MAX", 8_000_000)
    await _try_now(release)
    assert await step()
    assert await _stages(release) == ["awaiting_release"] * 3
    (recovered,) = await release.facts("release.work.recovered")
    assert recovered["id"] == "BE-2"


async def test_what_every_event_meets_sets_none_aside(
    release: ReleaseDriver, release_database: FreshDatabase
) -> None:
    step = await _arrive(release)
    administrator = await asyncpg.connect(release_database.administrator_url)
    try:
        await administrator.execute("revoke update on release.billing_events from sluice_release")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await step()
        await administrator.execute("grant update on release.billing_events to sluice_release")
    finally:
        await administrator.close()
    assert await step()
    assert await _stages(release) == ["awaiting_release"] * 3
    assert await release.facts("release.work.pending") == []


async def test_waiting_commands_of_one_event_that_cannot_be_done_stop_no_others(
    release: ReleaseDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await release.command(hold(True, "BE-2"), hold(True, "BE-3"), hold(False, "BE-2"))
    await _arrive(release)
    change = by_hand.change_by_hand

    async def break_on_one(
        work: UnitOfWork, changes: Sequence[by_hand.Change], *rest: Any, **named: Any
    ) -> Any:
        if any(each.billing_event_id == "BE-2" for each in changes):
            raise KeyError("BE-2")
        return await change(work, changes, *rest, **named)

    monkeypatch.setattr(by_hand, "change_by_hand", break_on_one)
    step = release.commands.waiting_step(release.database)
    assert await step()
    assert not await step()
    assert (await release.event("BE-3"))["on_hold"]
    assert not (await release.event("BE-2"))["on_hold"]
    (told,) = await release.facts("release.work.pending")
    assert (told["kind"], told["id"]) == ("command", "BE-2")

    monkeypatch.setattr(by_hand, "change_by_hand", change)
    await _try_now(release)
    await release.command(hold(True, "BE-2"))
    assert await step()
    assert (await release.event("BE-2"))["on_hold"]
    assert await release.database.pool.fetchval("select count(*) from waiting_commands") == 0


@pytest.fixture
async def driver(store: Database, monkeypatch: pytest.MonkeyPatch) -> ReleasingDriver:
    """BE-1 and BE-2 await release; what is told of BE-2 is more than one message may hold."""
    driver = ReleasingDriver(store)
    long = [item("i2", "70.00", description=LONG)]
    await driver.know(
        capped_project("100.00"), business_record(), worth("BE-1", "60.00"), generated("BE-2", *long)
    )
    monkeypatch.setattr(unit_of_work, "MESSAGE_BYTES_MAX", 6_000)
    return driver


@pytest.mark.parametrize(
    ("on_chunk_failure", "bookings", "stage", "held_back"),
    [
        ("isolate", "100.00", "released", {}),
        ("fail", "200.00", "awaiting_release", {"BE-1": "batch_failed"}),
    ],
)
async def test_an_event_that_is_too_large_to_tell_is_a_culprit_of_its_job(
    driver: ReleasingDriver, on_chunk_failure: str, bookings: str, stage: str, held_back: dict[str, str]
) -> None:
    await driver.know(capped_project(bookings, version=2))
    select = {"billing_event_ids": ["BE-2", "BE-1"]}
    await driver.command(start_job("J-1", select, on_chunk_failure=on_chunk_failure))
    await driver.finish_jobs()
    codes = {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}
    assert codes == {"BE-2": "too_large", **held_back}
    assert (await driver.stage("BE-1"), await driver.stage("BE-2")) == (stage, "awaiting_release")


async def test_an_event_that_is_too_large_to_tell_is_refused_by_command(driver: ReleasingDriver) -> None:
    await driver.command(release_command("BE-2"), release_command("BE-1"), hold(True, "BE-2"))
    refused = await driver.facts("refused")
    assert [(fact["billing_event_id"], fact["reasons"][0]["code"]) for fact in refused] == [
        ("BE-2", "too_large"),
        ("BE-2", "too_large"),
    ]
    assert await driver.stage("BE-1") == "released"
    assert not (await driver.event("BE-2"))["on_hold"]


async def test_an_event_that_is_too_large_to_tell_is_refused_over_http(
    driver: ReleasingDriver, api: Api
) -> None:
    async with api.client() as client:
        answers = [
            await client.post("/billing-events/BE-2/release", json={"on_cap": "split"}),
            await client.post("/billing-events/BE-2/hold", json={"on_hold": True}),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "too_large")] * 2
