"""Release jobs beside the vectors: acceptance, resumption, several at once, failure (domain.md section 2, Job)."""

import asyncio
import os
import sys
from typing import Any

import pytest

from integration.release.driver import business_record, deleted, project, words
from integration.release.http import Api
from integration.release.releasing import (
    SETTINGS,
    ReleasingDriver,
    capped_project,
    release,
    start_job,
    worth,
)
from release.domain.settings import ReleaseSettings
from release.store import job_lists, job_selections, jobs
from shared.database.database import Database
from shared.failpoints import JOB_AFTER_CHUNK, KILLED_EXIT_CODE
from shared.ids import derived_id
from support.databases import FreshDatabase
from support.records import message_record
from unit.shared.http.sample import Issuer

IN_TWOS = ReleaseSettings(support_contact=SETTINGS.support_contact, release_batch_size=2)


@pytest.fixture
def api(store: Database, issuer: Issuer) -> Api:
    return Api(store, issuer, release_batch_size=2)


@pytest.fixture
def driver(store: Database) -> ReleasingDriver:
    return ReleasingDriver(store, IN_TWOS)


async def job_facts(driver: ReleasingDriver, job_id: str = "J-1") -> list[Any]:
    """The facts of one job, in order."""
    return [
        fact
        for fact in await driver.facts()
        if fact.type.startswith("release.job.") and fact["job_id"] == job_id
    ]


async def test_job_tells_how_it_goes(driver: ReleasingDriver) -> None:
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 4)))
    starter = {"user_id": "u1", "email": None}
    select = {"billing_event_ids": ["BE-3", "BE-9", "BE-1", "BE-2", "BE-3"]}
    await driver.command(start_job("J-1", select, and_invoice=True, requested_by=starter))
    await driver.finish_jobs()

    facts = await job_facts(driver)
    assert words(facts) == ["started", "progressed", "progressed", "completed"]
    assert [(fact["status"], fact["released"], fact["failed"]) for fact in facts] == [
        ("running", 0, 0),
        ("running", 0, 2),
        ("running", 2, 2),
        ("completed_with_errors", 2, 2),
    ]
    done = facts[-1]
    assert done["starter"] == starter
    assert done["process_run_id"] == derived_id("process-run", "J-1")
    assert [
        (each["billing_event_id"], [reason["code"] for reason in each["reasons"]])
        for each in done["failures"]
    ] == [("BE-9", ["not_found"]), ("BE-3", ["batch_failed"])]
    assert [each["held_back"] for each in done["failures"]] == [False, True]
    released = await driver.facts("released")
    assert [(fact["job_id"], fact["and_invoice"], fact.correlation_id) for fact in released] == [
        ("J-1", True, facts[0].correlation_id)
    ] * 2
    assert [fact.key for fact in await driver.facts("refused")] == ["P-1", "BE-9"]
    assert await driver.stage("BE-3") == "awaiting_release"


async def test_selected_events_are_queued_until_their_chunk_ends(driver: ReleasingDriver) -> None:
    await driver.know(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"), worth("BE-3", "1.00"))
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1", "BE-2", "BE-3"]}))
    await driver.command(release("BE-1"))
    (refused,) = await driver.facts("refused")
    assert [reason["code"] for reason in refused["reasons"]] == ["queued"]
    await driver.work_jobs()
    await driver.work_jobs()
    assert [await driver.stage(f"BE-{number}") for number in (1, 2, 3)] == ["released", "released", "queued"]


async def test_queued_event_may_still_be_changed_and_deleted(driver: ReleasingDriver) -> None:
    await driver.know(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"), worth("BE-3", "1.00"))
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1", "BE-2", "BE-3"]}))
    await driver.psa(deleted("BE-1"), worth("BE-3", "5.00", version=2))
    await driver.finish_jobs()
    codes = {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}
    assert codes == {"BE-1": "deleted", "BE-2": "batch_failed"}
    assert (await driver.cap()).released["GBP"] == 5


async def test_the_same_job_again_changes_nothing_and_another_request_is_bad_input(
    driver: ReleasingDriver,
) -> None:
    await driver.know(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    select = {"billing_event_ids": ["BE-1"]}
    await driver.command(start_job("J-1", select), start_job("J-1", select))
    await driver.finish_jobs()
    assert words(await job_facts(driver)) == ["started", "progressed", "completed"]
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-2"]}))
    await driver.finish_jobs()
    assert words(await job_facts(driver)) == ["started", "progressed", "completed"]
    assert await driver.stage("BE-2") == "awaiting_release"
    assert len(await driver.dead_letters()) == 1


async def test_job_that_has_ended_and_is_asked_for_again_tells_the_same_again(
    driver: ReleasingDriver,
) -> None:
    await driver.know(project(), worth("BE-1", "1.00"))
    starter = {"user_id": "u1", "email": None}
    again = start_job("J-1", {"billing_event_ids": ["BE-1", "BE-9"]}, requested_by=starter)
    await driver.command(again)
    await driver.finish_jobs()
    released = len(await driver.facts("released"))
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1", "BE-9"]}, message_id="M-again"))
    await driver.finish_jobs()
    *_, told, told_again = await job_facts(driver)
    assert words([told, told_again]) == ["completed", "completed"]
    assert dict(told_again) == dict(told)
    assert told_again["starter"] == starter
    assert told_again.causation_id == "M-again"
    assert len(await driver.facts("released")) == released


async def test_filter_that_matches_nothing_completes_with_nothing(driver: ReleasingDriver) -> None:
    await driver.command(start_job("J-1", {"filter": {"project_id": "P-9"}}))
    await driver.finish_jobs()
    assert [(fact["status"], fact["released"], fact["failed"]) for fact in await job_facts(driver)] == [
        ("running", 0, 0),
        ("completed", 0, 0),
    ]


async def test_jobs_share_the_worker_chunk_by_chunk(driver: ReleasingDriver) -> None:
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 9)))
    long, short = [f"BE-{number}" for number in range(1, 7)], ["BE-7", "BE-8"]
    await driver.command(start_job("J-1", {"billing_event_ids": long}))
    await driver.command(start_job("J-2", {"billing_event_ids": short}))
    await driver.finish_jobs()
    ended = [fact["job_id"] for fact in await driver.facts() if fact.type == "release.job.completed.v1"]
    assert ended == ["J-2", "J-1"]


async def test_two_jobs_over_the_same_filter_do_not_fight_over_events(driver: ReleasingDriver) -> None:
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 4)))
    await driver.command(start_job("J-1", {"filter": {}}), start_job("J-2", {"filter": {}}))
    await driver.finish_jobs()
    ended = [fact for fact in await driver.facts() if fact.type == "release.job.completed.v1"]
    assert sorted((fact["job_id"], fact["released"], fact["failed"]) for fact in ended) == [
        ("J-1", 3, 0),
        ("J-2", 0, 0),
    ]


async def test_job_that_is_stopped_tells_what_awaits_release_again_and_by_whom(api: Api) -> None:
    driver = api.driver
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 6)))
    select = {"billing_event_ids": [f"BE-{number}" for number in range(1, 6)]}
    async with api.client() as client:
        job_id = (await client.post("/release-jobs", json={"select": select, "and_invoice": True})).json()[
            "job_id"
        ]
        for _ in range(2):
            await driver.work_jobs()
        asked = await client.post(f"/release-jobs/{job_id}/stop")
        again = await client.post(f"/release-jobs/{job_id}/stop")
        await driver.finish_jobs()
        job = (await client.get(f"/release-jobs/{job_id}")).json()
        log = (await client.get(f"/release-jobs/{job_id}/log", params={"result": "stopped"})).json()["items"]
        listed = (await client.get("/release-jobs", params={"status": "stopped"})).json()["items"]
        over = await client.post(f"/release-jobs/{job_id}/stop")
        unknown = await client.post("/release-jobs/J-9/stop")
    async with api.client("billing-events:read") as client:
        looked = await client.get(f"/release-jobs/{job_id}")
        forbidden = await client.post(f"/release-jobs/{job_id}/stop")
    assert [each.status_code for each in (asked, again, over, unknown)] == [202, 202, 202, 404]
    assert (looked.status_code, forbidden.status_code) == (200, 403)
    assert (asked.json()["status"], job["status"], over.json()["status"]) == ("running", "stopped", "stopped")
    assert (job["released"], job["failed"], job["stopped"], job["pending"]) == (2, 0, 3, 0)
    assert (job["stopper"]["user_id"], [each["job_id"] for each in listed]) == ("u1", [job_id])
    assert [each["billing_event_id"] for each in log] == ["BE-3", "BE-4", "BE-5"]
    done = (await job_facts(driver, job_id))[-1]
    assert (done["status"], done["released"], done["stopped"]) == ("stopped", 2, 3)
    assert [await driver.stage(f"BE-{number}") for number in range(1, 6)] == [
        *["released"] * 2,
        *["awaiting_release"] * 3,
    ]


async def test_stop_of_a_job_that_is_not_known_is_bad_input(driver: ReleasingDriver) -> None:
    await driver.command(message_record("release.job.stop.v1", {"job_id": "J-9"}))
    assert len(await driver.dead_letters()) == 1


async def test_as_of_leaves_out_what_came_or_changed_in_amount_later(driver: ReleasingDriver) -> None:
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 5)))
    as_of = (await driver.database.pool.fetchval("select clock_timestamp()")).isoformat()
    await driver.know(
        worth("BE-2", "2.00", version=2), worth("BE-3", "1.00", version=2, customer_reference="PO 9")
    )
    await driver.know(worth("BE-5", "1.00"))
    select = {"filter": {"project_id": "P-1"}, "as_of": as_of, "exclude_ids": ["BE-4"]}
    await driver.command(start_job("J-1", select))
    await driver.finish_jobs()
    stages = {number: await driver.stage(f"BE-{number}") for number in range(1, 6)}
    assert [number for number, stage in stages.items() if stage == "released"] == [1, 3]


@pytest.mark.parametrize(
    ("stage", "total"), [("awaiting_release", 1), ("queued", 0), ("released", 0), ("incomplete", 0)]
)
async def test_a_filter_takes_the_stage_as_the_list_does(api: Api, stage: str, total: int) -> None:
    await api.driver.know(project(), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    await api.driver.command(start_job("J-1", {"billing_event_ids": ["BE-2"]}))
    async with api.client() as client:
        answer = await client.post("/release-jobs", json={"select": {"filter": {"stage": stage}}})
    assert (answer.status_code, answer.json()["selected"]) == (202, total)


@pytest.mark.parametrize(
    ("select", "field"),
    [
        ({"billing_event_ids": ["BE-1"], "exclude_ids": ["BE-2"]}, "select.exclude_ids"),
        ({"billing_event_ids": ["BE-1"], "as_of": "2026-11-20T09:00:00Z"}, "select.as_of"),
        ({"filter": {}, "exclude_ids": [f"BE-{number}" for number in range(1_001)]}, "select.exclude_ids"),
        ({"filter": {}, "as_of": "yesterday"}, "select.as_of"),
        ({"dry_run_id": "J-1"}, "select.result"),
        ({"filter": {}, "result": "would_release"}, "select.result"),
        ({"dry_run_id": "J-1", "result": "would_fail"}, "select.result"),
        ({"dry_run_id": "J-1", "result": "would_release", "filter": {}}, "select"),
    ],
)
async def test_selection_that_says_too_much_or_too_little_is_refused(
    api: Api, select: dict[str, Any], field: str
) -> None:
    async with api.client() as client:
        answer = await client.post("/release-jobs", json={"select": select})
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}


async def test_the_log_names_what_was_released_with_a_warning(api: Api) -> None:
    record = business_record("T-BE-1-1", amount="1.00")
    await api.driver.know(project(), record, worth("BE-1", "2.00"), worth("BE-2", "1.00"))
    body = {"select": {"billing_event_ids": ["BE-1", "BE-2"]}, "mode": "auto"}
    async with api.client() as client:
        job = (await client.post("/release-jobs", json=body)).json()
        log = [
            (await client.get(f"/release-jobs/{job['job_id']}/log", params={"result": result})).json()[
                "items"
            ]
            for result in ("warning", "ok", "error")
        ]
    assert (job["status"], job["released"]) == ("completed", 2)
    assert [[each["billing_event_id"] for each in found] for found in log] == [["BE-1"], ["BE-2"], []]
    assert [reason["code"] for reason in log[0][0]["reasons"]] == ["amount_above_record"]


async def test_many_events_are_selected_queued_and_let_go_in_parts(
    driver: ReleasingDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (job_selections, jobs):
        monkeypatch.setattr(module, "EVENTS_PER_STATEMENT", 2)
    ids = [f"BE-{number}" for number in (4, 1, 5, 3, 2)]
    await driver.know(project(), *(worth(each, "1.00") for each in ids))
    await driver.command(start_job("J-1", {"billing_event_ids": ids}))
    assert {await driver.stage(each) for each in ids} == {"queued"}
    rows = await job_lists.load_log(driver.database.pool, "J-1", after_place=0, result=None, rows_max=9)
    assert [row["billing_event_id"] for row in rows] == ids
    await driver.command(message_record("release.job.stop.v1", {"job_id": "J-1"}))
    await driver.finish_jobs()
    assert {await driver.stage(each) for each in ids} == {"awaiting_release"}


async def test_large_selection_is_cut_into_many_chunks(store: Database) -> None:
    driver = ReleasingDriver(store)
    events = [worth(f"BE-{number}", "100.00") for number in range(1_000)]
    await driver.psa(capped_project("100000.00"), *events[:500])
    await driver.know(*events[500:])
    await driver.command(start_job("J-1", {"filter": {"project_id": "P-1"}}))
    await driver.finish_jobs()
    facts = await job_facts(driver)
    assert (facts[-1]["released"], facts[-1]["failed"], facts[-1]["selected"]) == (1_000, 0, 1_000)
    assert words(facts).count("progressed") == 5
    assert (await driver.cap()).remaining == 0


RUN_JOBS = """
import asyncio, sys
from release.handlers.job_faults import job_step
from release.domain.settings import ReleaseSettings
from shared.database.database import Database

async def main():
    database = Database(sys.argv[1], schema="release", application_name="killed")
    await database.open()
    step = job_step(database, ReleaseSettings(support_contact="s", release_batch_size=2))
    while await step():
        pass
    await database.close()

asyncio.run(main())
"""


async def test_killed_job_goes_on_where_it_stopped(store: Database, release_database: FreshDatabase) -> None:
    driver = ReleasingDriver(store, IN_TWOS)
    await driver.know(project(), *(worth(f"BE-{number}", "1.00") for number in range(1, 8)))
    ids = [f"BE-{number}" for number in range(1, 8)]
    await driver.command(start_job("J-1", {"billing_event_ids": ids}))

    for _ in range(2):  # each run ends after the second step that it commits
        environment = os.environ | {"SLUICE_FAILPOINTS": f"{JOB_AFTER_CHUNK}:2"}
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN_JOBS, release_database.url, env=environment
        )
        assert await killed.wait() == KILLED_EXIT_CODE
    stages = [await driver.stage(each) for each in ids]
    assert stages == ["released"] * 6 + ["queued"]
    await driver.finish_jobs()

    facts = await job_facts(driver)
    assert words(facts) == ["started", *["progressed"] * 4, "completed"]
    assert (facts[-1]["released"], facts[-1]["failed"]) == (7, 0)
    released = [fact["billing_event"]["billing_event_id"] for fact in await driver.facts("released")]
    assert released == ids
