"""Who releases waits for events that are merely late, jobs and single commands (contract.md section 1)."""

from typing import Any

import pytest

from integration.release.driver import business_record, company, generated, item, project
from integration.release.http import Api
from integration.release.releasing import ReleasingDriver, release, start_job, worth
from integration.release.test_by_hand import hold
from integration.release.test_jobs import IN_TWOS, job_facts
from release.domain.sources import CompanySource
from release.handlers.job_faults import job_step
from release.store.late_events import Patience
from shared.database.database import Database
from unit.shared.http.sample import Issuer

PATIENT = Patience(60.0)


class PatientDriver(ReleasingDriver):
    """A replica whose jobs wait for what is late."""

    def __init__(self, store: Database, patience: Patience = PATIENT) -> None:
        super().__init__(store, IN_TWOS)
        self.work_jobs = job_step(store, IN_TWOS, patience=patience)

    async def let_pass(self, seconds: float) -> None:
        """Let everything be older by so much."""
        async with self.database.transaction() as work:
            for statement in (
                "update release_jobs set created_at = created_at - make_interval(secs => $1)",
                "update billing_events set created_at = created_at - make_interval(secs => $1)",
                "update release_job_chunks_put_off set due_at = due_at - make_interval(secs => $1)",
                "update waiting_commands set deadline = deadline - make_interval(secs => $1)",
            ):
                await work.connection.execute(statement, seconds)


@pytest.fixture
def driver(store: Database) -> PatientDriver:
    return PatientDriver(store)


async def stages(driver: ReleasingDriver, *numbers: int) -> list[str]:
    return [await driver.stage(f"BE-{number}") for number in numbers]


async def test_a_chunk_waits_for_an_unknown_event_while_the_others_go_on(
    driver: PatientDriver, store: Database, issuer: Issuer
) -> None:
    await driver.know(project(), worth("BE-1", "1.00"), worth("BE-3", "1.00"), worth("BE-4", "1.00"))
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1", "BE-2", "BE-3", "BE-4"]}))
    await driver.finish_jobs()
    assert await stages(driver, 1, 3, 4) == ["queued", "released", "released"]
    async with Api(store, issuer).client() as client:
        job = (await client.get("/release-jobs/J-1")).json()
    assert (job["status"], job["released"], job["pending"]) == ("running", 2, 2)
    assert job["waits_for"] == [{"billing_event_id": "BE-2", "for": "billing event BE-2"}]

    await driver.know(worth("BE-2", "1.00"))
    await driver.let_pass(1)
    await driver.finish_jobs()
    done = (await job_facts(driver))[-1]
    assert (done["status"], done["released"], done["failed"], done["pending"]) == ("completed", 4, 0, 0)


async def test_what_never_comes_is_not_found_when_the_wait_is_over(driver: PatientDriver) -> None:
    await driver.know(project(), worth("BE-1", "1.00"), worth("BE-3", "1.00"))
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1", "BE-2", "BE-3"]}))
    await driver.finish_jobs()
    await driver.let_pass(61)
    await driver.finish_jobs()
    codes = {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}
    assert codes == {"BE-1": "batch_failed", "BE-2": "not_found"}
    assert (await job_facts(driver))[-1]["status"] == "completed_with_errors"


LATE: dict[str, tuple[list[Any], list[Any], str]] = {
    "its project": ([company(), worth("BE-1", "1.00")], [project()], "project P-1"),
    "its company": ([project(), worth("BE-1", "1.00")], [company()], "currency"),
    "its record": (
        [company(), project(), generated("BE-1", item(services_product=None), project_id="P-1")],
        [business_record()],
        "timecard T-1",
    ),
}


@pytest.mark.parametrize(("before", "late", "waits_for"), LATE.values(), ids=LATE)
async def test_a_job_waits_for_what_an_event_still_misses(
    driver: PatientDriver, before: list[Any], late: list[Any], waits_for: str
) -> None:
    await driver.psa(*before)
    await driver.settle()
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1"]}))
    await driver.finish_jobs()
    assert (await job_facts(driver))[-1].type == "release.job.started.v1"
    waited = await driver.database.pool.fetchval("select waits_for from release_job_chunks_put_off")
    assert waited == [{"billing_event_id": "BE-1", "for": waits_for}]
    await driver.psa(*late)
    await driver.settle()
    await driver.let_pass(1)
    await driver.finish_jobs()
    assert await stages(driver, 1) == ["released"]


@pytest.mark.parametrize(("before", "late", "waits_for"), LATE.values(), ids=LATE)
async def test_a_command_to_release_waits_for_it_too(
    driver: PatientDriver, before: list[Any], late: list[Any], waits_for: str
) -> None:
    await driver.psa(*before)
    await driver.settle()
    await driver.command(release("BE-1"), hold(True, "BE-1"), hold(False, "BE-1"))
    assert await driver.commands.take_up_waiting(driver.database) is False
    await driver.psa(*late)
    await driver.settle()
    assert await driver.commands.take_up_waiting(driver.database) is True
    assert await stages(driver, 1) == ["released"]


async def test_a_command_to_release_what_stays_incomplete_gets_its_code(driver: PatientDriver) -> None:
    await driver.psa(company(), worth("BE-1", "1.00"))
    await driver.settle()
    await driver.command(release("BE-1"))
    assert await driver.facts("refused") == []
    await driver.let_pass(61)
    assert await driver.commands.take_up_waiting(driver.database) is True
    (refused,) = await driver.facts("refused")
    assert refused["reasons"][0]["code"] == "incomplete"


async def test_a_company_that_is_found_by_region_may_be_late(store: Database) -> None:
    driver = PatientDriver(store, Patience(60.0, finds_companies=True))
    driver.company_source = CompanySource.REGION
    await driver.psa(project(company_id=None), worth("BE-1", "1.00"))
    await driver.settle()
    await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1"]}))
    await driver.finish_jobs()
    assert (await job_facts(driver))[-1].type == "release.job.started.v1"


async def test_what_no_topic_brings_is_not_waited_for(driver: PatientDriver) -> None:
    """A project without an account; an event that is known for long and still misses its project."""
    await driver.know(
        project(account_id=None), worth("BE-1", "1.00"), worth("BE-2", "1.00", project_id="P-9")
    )
    await driver.let_pass(61)
    await driver.command(
        start_job("J-1", {"billing_event_ids": ["BE-1"]}), start_job("J-2", {"billing_event_ids": ["BE-2"]})
    )
    await driver.finish_jobs()
    codes = {fact["billing_event_id"]: fact["reasons"][0]["code"] for fact in await driver.facts("refused")}
    assert codes == {"BE-1": "account_missing", "BE-2": "incomplete"}
