"""The dry run of a job: the real run's verdicts, and nothing is done (domain.md section 2, Validate first)."""

import asyncio
import os
import sys
from typing import Any

import pytest

from integration.release.driver import generated, item, project
from integration.release.http import Api
from integration.release.releasing import (
    SETTINGS,
    ReleasingDriver,
    capped_project,
    release,
    start_job,
    worth,
)
from integration.release.test_cap_vectors import cases, vector_settings
from integration.release.test_job_vectors import put_into_stages, sent
from integration.release.test_jobs import IN_TWOS, RUN_JOBS
from release.handlers.job_acceptance import JobAsk, accept_job
from release.store import job_lists, jobs
from shared.contracts.selections import Select
from shared.database.database import Database
from shared.database.unit_of_work import NO_CAUSE
from shared.failpoints import JOB_AFTER_CHUNK, KILLED_EXIT_CODE
from support.databases import FreshDatabase
from unit.shared.http.sample import Issuer

_STATE = """
select
  (select jsonb_agg(to_jsonb(each) - 'changed_at' order by billing_event_id) from billing_events as each) as events,
  (select jsonb_agg(to_jsonb(each) order by project_id) from project_totals as each) as totals,
  (select count(*) from cap_ledger) as ledger,
  (select count(*) from billing_event_history) as history,
  (select count(*) from outbox) as messages,
  (select count(*) from dry_run_totals) + (select count(*) from dry_run_events) as left_over
"""


async def state(driver: ReleasingDriver) -> dict[str, Any]:
    """All that a dry run must leave as it is."""
    row = await driver.database.pool.fetchrow(_STATE)
    assert row is not None
    return dict(row)


async def start(
    driver: ReleasingDriver, job_id: str, select: dict[str, Any], *, dry_run: bool = True
) -> None:
    """Accept a dry run, or the real job that a dry run came before."""
    ask = JobAsk(
        job_id,
        "background",
        Select.model_validate(select),
        False,
        None,
        NO_CAUSE,
        dry_run=dry_run,
    )
    await driver.database.run(lambda work: accept_job(work, ask, driver.settings))


async def log(driver: ReleasingDriver, job_id: str) -> list[dict[str, Any]]:
    """What became of each event of a job."""
    rows = await job_lists.load_log(driver.database.pool, job_id, after_place=0, result=None, rows_max=10_000)
    return [dict(row) for row in rows]


@pytest.mark.parametrize(
    "case", [case for case in cases("jobs") if not {"dry_run", "stop_after_chunks"} & case.values[0].keys()]
)
async def test_dry_run_says_what_the_real_run_then_does(store: Database, case: dict[str, Any]) -> None:
    driver = ReleasingDriver(store, vector_settings(case))
    await driver.psa(*sent(case))
    await put_into_stages(driver, case)
    currencies = {given["project_id"]: given.get("currency", "GBP") for given in case["projects"]}
    for given in case["projects"]:
        project_id = given["project_id"]
        await driver.seed_released(given["released"], currencies[project_id], project_id)
    for budget in case.get("budgets", []):
        project_id, budget_id = budget["project_id"], budget["budget_id"]
        await driver.seed_released(budget["released"], currencies[project_id], project_id, budget_id)
    before = await state(driver)

    await start(driver, "J-dry", case["select"])
    await driver.finish_jobs()
    assert await state(driver) == before
    await start(driver, "J-real", case["select"], dry_run=False)
    await driver.finish_jobs()

    told, done = await log(driver, "J-dry"), await log(driver, "J-real")
    keys = ("billing_event_id", "result", "new_billing_event_id", "reasons", "held_back", "can_be_split")
    assert [[entry[key] for key in keys] for entry in told] == [
        [entry[key] for key in keys] for entry in done
    ]
    assert {entry["result"] for entry in done} <= {"ok", "error"}
    dry, real = [await jobs.load_job(store.pool, each) for each in ("J-dry", "J-real")]
    assert dry is not None
    assert real is not None
    assert (dry.status, dry.released, dry.failed) == (real.status, real.released, real.failed)


async def test_each_chunk_sees_what_the_earlier_ones_would_have_consumed(store: Database) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    budgets = [{"budget_id": "B-1", "amount": "50.00", "apply_billing_cap": True}]
    await driver.know(
        capped_project("5.00"),
        *(worth(f"BE-{number}", "1.00") for number in range(1, 8)),
        project("P-2", budgets=budgets, bill_to_budget_cap=True),
        *(
            generated(
                f"BU-{number}",
                item(
                    f"u{number}",
                    "30.00",
                    budget_id="B-1",
                    services_product="X",
                    business_record_id=f"U-{number}",
                ),
                project_id="P-2",
            )
            for number in range(1, 4)
        ),
    )
    before = await state(driver)
    await start(driver, "J-dry", {"billing_event_ids": [f"BE-{number}" for number in range(1, 8)]})
    await start(driver, "J-budget", {"billing_event_ids": ["BU-1", "BE-9", "BU-2", "BU-3"]})
    await driver.finish_jobs()
    assert await state(driver) == before

    verdicts = [
        (entry["result"], (entry["reasons"] or [{}])[0].get("code")) for entry in await log(driver, "J-dry")
    ]
    assert verdicts == [
        *[("ok", None)] * 4,
        ("error", "batch_failed"),
        ("error", "cap_exceeded"),
        ("ok", None),
    ]
    split = [entry["new_billing_event_id"] for entry in await log(driver, "J-budget")]
    codes = [(entry["reasons"] or [{}])[0].get("code") for entry in await log(driver, "J-budget")]
    assert codes == ["batch_failed", "not_found", None, None]
    assert split == [None, None, None, "BU-3.2"]


async def test_dry_run_goes_on_after_a_crash_and_leaves_no_trace(
    store: Database, release_database: FreshDatabase
) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    ids = [f"BE-{number}" for number in range(1, 8)]
    await driver.know(capped_project("5.00"), *(worth(each, "1.00") for each in ids))
    before = await state(driver)
    await start(driver, "J-dry", {"billing_event_ids": ids})
    environment = os.environ | {"SLUICE_FAILPOINTS": f"{JOB_AFTER_CHUNK}:3"}
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_JOBS, release_database.url, env=environment
    )
    assert await killed.wait() == KILLED_EXIT_CODE
    assert (await state(driver))["left_over"] == 1
    await driver.finish_jobs()
    assert await state(driver) == before
    assert [entry["result"] for entry in await log(driver, "J-dry")] == ["ok"] * 4 + ["error"] * 2 + ["ok"]


async def test_broken_dry_run_ends_and_leaves_nothing(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 6)))
    before = await state(driver)
    await start(driver, "J-dry", {"filter": {"project_id": "P-1"}})
    for _ in range(2):
        assert await driver.work_jobs()

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("release.handlers.job_work.decide_chunk", broken)
    await driver.finish_jobs()
    assert await state(driver) == before
    job = await jobs.load_job(store.pool, "J-dry")
    assert job is not None
    assert (job.status, job.failure) == ("failed", "ZeroDivisionError")


async def test_a_job_started_from_a_dry_run_releases_exactly_what_that_found_releasable(api: Api) -> None:
    await api.driver.know(
        capped_project("2.00"),
        *(worth(f"BE-{n}", amount) for n, amount in enumerate(("1.00", "9.00", "1.00"))),
    )
    select = {"filter": {"project_id": "P-1"}}
    async with api.client() as client:
        body = {"select": select, "and_invoice": True, "dry_run": True, "on_chunk_failure": "isolate"}
        accepted = await client.post("/release-jobs", json=body)
        dry_run_id = accepted.json()["job_id"]
        early = await client.post("/release-jobs", json=from_dry_run(dry_run_id))
        await api.driver.finish_jobs()
        dry = (await client.get(f"/release-jobs/{dry_run_id}")).json()
        await api.driver.know(worth("BE-7", "0.50"))
        real = await client.post("/release-jobs", json=from_dry_run(dry_run_id))
        await api.driver.finish_jobs()
        done = (await client.get(f"/release-jobs/{real.json()['job_id']}")).json()
    assert (accepted.status_code, early.status_code) == (202, 422)
    assert (dry["dry_run"], dry["process_run_id"], dry["status"]) == (True, None, "completed_with_errors")
    assert (dry["released"], dry["failed"], dry["failures"][0]["billing_event_id"]) == (2, 1, "BE-1")
    assert (done["status"], done["released"], done["failed"]) == ("completed", 2, 0)
    assert await api.driver.stage("BE-7") == "awaiting_release"
    told_of = {fact["job_id"] for fact in await api.driver.facts() if fact.type.startswith("release.job.")}
    assert told_of == {done["job_id"]}, "no fact tells of a dry run, so nothing makes documents of it"


def from_dry_run(dry_run_id: str) -> dict[str, Any]:
    """The body of a job that takes what a dry run has found releasable."""
    return {"select": {"dry_run_id": dry_run_id, "result": "would_release"}}


async def test_what_a_dry_run_found_is_decided_anew(api: Api) -> None:
    await api.driver.know(capped_project("2.00"), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    await start(api.driver, "J-dry", {"billing_event_ids": ["BE-1", "BE-2"]})
    await api.driver.finish_jobs()
    await api.driver.know(capped_project("1.00", version=2))
    await api.driver.command(start_job("J-1", from_dry_run("J-dry")["select"]))
    await api.driver.finish_jobs()
    codes = {
        fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await api.driver.facts("refused")
    }
    assert codes == {"BE-1": "batch_failed", "BE-2": "cap_exceeded"}


async def test_results_of_a_dry_run_are_gone_after_a_week(api: Api) -> None:
    await api.driver.know(project(), worth("BE-1", "1.00"))
    await start(api.driver, "J-dry", {"billing_event_ids": ["BE-1"]})
    await api.driver.finish_jobs()
    async with api.driver.database.transaction() as work:
        await work.connection.execute("update release_jobs set ended_at = now() - interval '7 days 1 second'")
    async with api.client() as client:
        answers = [
            await client.post(path, json=from_dry_run("J-dry"))
            for path in ("/release-jobs", "/release-jobs/validate")
        ]
    await api.driver.command(start_job("J-1", from_dry_run("J-dry")["select"]))
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(410, "dry_run_gone")] * 2
    assert len(await api.driver.dead_letters()) == 1


async def test_small_dry_run_of_mode_auto_answers_at_once(api: Api) -> None:
    await api.driver.know(project(), worth("BE-1", "1.00"))
    before = await state(api.driver)
    body = {"select": {"billing_event_ids": ["BE-1"]}, "mode": "auto", "dry_run": True}
    async with api.client() as client:
        answer = await client.post("/release-jobs", json=body)
    assert (answer.status_code, answer.json()["status"], answer.json()["released"]) == (200, "completed", 1)
    assert await state(api.driver) == before


async def test_only_a_dry_run_has_found_anything(api: Api) -> None:
    await api.driver.know(project(), worth("BE-1", "1.00"))
    select = {"billing_event_ids": ["BE-1"]}
    async with api.client() as client:
        real = (await client.post("/release-jobs", json={"select": select})).json()["job_id"]
        answers = [await client.post("/release-jobs", json=from_dry_run(each)) for each in (real, "J-none")]
    assert [answer.status_code for answer in answers] == [422] * 2
    assert [answer.json()["errors"][0]["field"] for answer in answers] == ["select.dry_run_id"] * 2


async def test_id_of_a_dry_run_cannot_be_given_to_a_real_job(store: Database) -> None:
    driver = ReleasingDriver(store)
    await driver.know(project(), worth("BE-1", "1.00"))
    select = {"billing_event_ids": ["BE-1"]}
    await start(driver, "J-1", select)
    await driver.finish_jobs()
    await driver.command(start_job("J-1", select))
    await driver.finish_jobs()
    assert len(await driver.dead_letters()) == 1
    assert [fact for fact in await driver.facts() if fact.type.startswith("release.job.")] == []


async def test_dry_run_holds_nothing_up(store: Database) -> None:
    """A release goes on while a dry run's chunk is under way, and the other way round."""
    driver = ReleasingDriver(store, SETTINGS)
    await driver.know(capped_project("5.00"), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    await start(driver, "J-dry", {"billing_event_ids": ["BE-1", "BE-2"]})
    async with store.transaction() as work:
        await work.connection.execute("select from projects for update")
        await work.connection.execute("select from billing_events for update")
        await asyncio.wait_for(driver.finish_jobs(), timeout=120)
    await driver.command(release("BE-1"))
    assert await driver.stage("BE-1") == "released"


async def test_validation_names_what_would_be_released_for_the_second_question(
    store: Database, issuer: Issuer
) -> None:
    """For release and invoice, those ids are what the accounting connector is asked about next."""
    api = Api(store, issuer, on_chunk_failure="isolate")
    await api.driver.know(
        capped_project("2.00"),
        *(worth(f"BE-{n}", amount) for n, amount in enumerate(("1.00", "3.00", "1.00"))),
    )
    async with api.client() as client:
        answer = await client.post(
            "/release-jobs/validate", json={"select": {"filter": {"project_id": "P-1"}}}
        )
    assert answer.json()["would_release"] == ["BE-0", "BE-2"]
    assert [each["billing_event_id"] for each in answer.json()["would_fail"]] == ["BE-1"]
