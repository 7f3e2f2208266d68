"""What fails by a fault of ours is never final in a release job (domain.md section 4, Process run)."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from integration.release.driver import project
from integration.release.http import Api
from integration.release.releasing import ReleasingDriver, start_job, worth
from integration.release.test_jobs import IN_TWOS, job_facts
from release.domain import jobs as domain_jobs
from release.domain.release import decide_release
from release.handlers.job_faults import TRANSIENT_FAILURES_MAX
from release.store.reconciliation import run_check
from shared.database.database import Database
from support.databases import FreshDatabase
from support.records import message_record
from unit.shared.http.sample import Issuer

PENDING, RECOVERED = "release.work.pending.v1", "release.work.recovered.v1"


class Fault:
    """A trigger that refuses rows of one event, as a rule of the schema would that somebody has added by mistake."""

    def __init__(self, administrator: "asyncpg.Connection[Any]") -> None:
        self._administrator = administrator

    async def stand_against(self, billing_event_id: str, table: str, sqlstate: str = "P0001") -> None:
        """Refuse what is inserted of the event from now on."""
        await self._administrator.execute(
            f"""
            create function release.refuse() returns trigger language plpgsql as $$
            begin
              if new.billing_event_id = '{billing_event_id}' then
                raise exception 'no' using errcode = '{sqlstate}';
              end if;
              return new;
            end $$;
            create trigger refuse before insert on release.{table} for each row execute function release.refuse();
            """
        )

    async def mend(self) -> None:
        """Let everything in again."""
        await self._administrator.execute("drop function if exists release.refuse cascade")


@pytest.fixture
async def fault(release_database: FreshDatabase, store: Database) -> AsyncIterator[Fault]:
    administrator = await asyncpg.connect(release_database.administrator_url)
    standing = Fault(administrator)
    yield standing
    await standing.mend()
    await administrator.close()


@pytest.fixture
async def driver(store: Database) -> ReleasingDriver:
    driver = ReleasingDriver(store, IN_TWOS)
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 6)))
    return driver


async def start(driver: ReleasingDriver, **asked: Any) -> None:
    select = {"billing_event_ids": [f"BE-{number}" for number in range(1, 6)]}
    await driver.command(start_job("J-1", select, and_invoice=True, **asked))


async def stages(driver: ReleasingDriver) -> list[str]:
    return [await driver.stage(f"BE-{number}") for number in range(1, 6)]


async def the_books_balance(driver: ReleasingDriver) -> None:
    async with driver.database.transaction() as work:
        assert (await run_check(work.connection, "jobs_match_their_log")).differences == ()


async def let_the_next_try_come(driver: ReleasingDriver) -> None:
    async with driver.database.transaction() as work:
        await work.connection.execute("update release_job_chunks_put_off set due_at = now()")


@pytest.mark.parametrize("table", ["cap_ledger", "billing_event_history"])
async def test_a_chunk_that_fails_by_our_fault_is_tried_until_it_passes(
    driver: ReleasingDriver, fault: Fault, table: str
) -> None:
    await fault.stand_against("BE-3", table)
    await start(driver)
    await driver.finish_jobs()
    assert await stages(driver) == ["released", "released", "queued", "queued", "released"]
    told = (await job_facts(driver))[-1]
    assert told.type == "release.job.completed.v1"
    assert (told["status"], told["released"], told["failed"], told["pending"]) == (
        "completed_with_errors",
        3,
        0,
        2,
    )
    await the_books_balance(driver)

    await let_the_next_try_come(driver)
    await driver.finish_jobs()  # fails again, and is told of once only
    assert len([fact for fact in await driver.facts() if fact.type == PENDING]) == 1
    await fault.mend()
    await let_the_next_try_come(driver)
    await driver.finish_jobs()
    assert await stages(driver) == ["released"] * 5
    again = (await job_facts(driver))[-1]
    assert (again.type, again["status"], again["released"], again["pending"]) == (
        "release.job.completed.v1",
        "completed",
        5,
        0,
    )
    assert {(fact["job_id"], fact["and_invoice"]) for fact in await driver.facts("released")} == {
        ("J-1", True)
    }
    work = [fact for fact in await driver.facts() if fact.type in {PENDING, RECOVERED}]
    assert [(fact.type, fact["kind"], fact["id"]) for fact in work] == [
        (PENDING, "release_job", "J-1"),
        (RECOVERED, "release_job", "J-1"),
    ]
    assert work[0]["reason"] == "RaiseError, P0001"
    assert work[0]["since"] == work[1]["since"]
    assert await driver.facts("refused") == []
    await the_books_balance(driver)


async def test_a_job_that_isolates_keeps_only_the_event_that_breaks_its_chunk(
    driver: ReleasingDriver, fault: Fault, store: Database, issuer: Issuer
) -> None:
    await fault.stand_against("BE-3", "cap_ledger")
    await start(driver, on_chunk_failure="isolate")
    await driver.finish_jobs()
    assert await stages(driver) == ["released", "released", "queued", "released", "released"]
    assert (await job_facts(driver))[-1]["pending"] == 1
    await the_books_balance(driver)
    async with Api(store, issuer).client() as client:
        log = (await client.get("/release-jobs/J-1/log", params={"result": "pending"})).json()["items"]
    assert [(entry["billing_event_id"], entry["reasons"][0]["code"]) for entry in log] == [
        ("BE-3", "internal_error")
    ]
    await fault.mend()
    await let_the_next_try_come(driver)
    await driver.finish_jobs()
    assert await stages(driver) == ["released"] * 5
    assert (await job_facts(driver))[-1]["status"] == "completed"


@pytest.mark.parametrize(("on_chunk_failure", "left"), [("isolate", ["BE-3"]), ("fail", ["BE-3", "BE-4"])])
async def test_an_event_that_breaks_the_decision_keeps_no_other_chunk(
    driver: ReleasingDriver, monkeypatch: pytest.MonkeyPatch, on_chunk_failure: str, left: list[str]
) -> None:
    def broken(event: Any, *args: Any, **named: Any) -> Any:
        if event.billing_event_id == "BE-3":
            raise ZeroDivisionError
        return decide_release(event, *args, **named)

    monkeypatch.setattr(domain_jobs, "decide_release", broken)
    await start(driver, on_chunk_failure=on_chunk_failure)
    await driver.finish_jobs()
    assert [f"BE-{place}" for place, stage in enumerate(await stages(driver), 1) if stage == "queued"] == left
    monkeypatch.undo()
    await let_the_next_try_come(driver)
    await driver.finish_jobs()
    assert await stages(driver) == ["released"] * 5


async def test_stopping_ends_what_is_tried_again(driver: ReleasingDriver, fault: Fault) -> None:
    await fault.stand_against("BE-3", "cap_ledger")
    await start(driver)
    await driver.finish_jobs()
    await driver.command(message_record("release.job.stop.v1", {"job_id": "J-1"}))
    await driver.finish_jobs()
    assert await stages(driver) == [
        "released",
        "released",
        "awaiting_release",
        "awaiting_release",
        "released",
    ]
    told = (await job_facts(driver))[-1]
    assert (told["status"], told["released"], told["stopped"], told["pending"]) == ("stopped", 3, 2, 0)
    assert [fact["id"] for fact in await driver.facts() if fact.type == RECOVERED] == ["J-1"]
    await the_books_balance(driver)


async def test_a_chunk_that_always_fails_as_if_time_would_cure_it_stops_no_other_job(
    driver: ReleasingDriver, fault: Fault
) -> None:
    await fault.stand_against("BE-1", "cap_ledger", sqlstate="57014")  # as where a statement takes too long
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1"]}))
    await driver.command(start_job("J-2", {"billing_event_ids": ["BE-2", "BE-3", "BE-4", "BE-5"]}))
    for _ in range(TRANSIENT_FAILURES_MAX + 6):
        with suppress(asyncpg.QueryCanceledError):
            await driver.work_jobs()
    assert await stages(driver) == ["queued", *["released"] * 4]
    assert (await job_facts(driver, "J-1"))[-1]["pending"] == 1
