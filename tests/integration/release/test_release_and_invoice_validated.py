"""Validating *release and invoice*: the two services' answers, joined by who asks (decision 0013)."""

from collections.abc import AsyncIterator

import pytest

from integration.release.driver import ACCOUNT, business_record, company, generated, item, project
from integration.release.releasing import capped_project, worth
from support.composed import ComposedSystem, compose_system
from support.databases import Databases
from support.records import message_record
from unit.shared.http.sample import Issuer

ALL = {"filter": {"account_id": "A-1"}}


@pytest.fixture
async def system(databases: Databases, issuer: Issuer) -> AsyncIterator[ComposedSystem]:
    """The four services; a product is optional at release, and never for a document."""
    made = databases.shared_by_all()
    composed = await compose_system(
        made, issuer, optional_on_release="services_product", on_chunk_failure="isolate"
    )
    await composed.send(
        company(name="Survey Ltd"),
        message_record(ACCOUNT, {"account_id": "A-1", "version": 1, "name": "Port Authority"}),
        capped_project("2.00"),
        project("P-2", services_product=None),
        worth("BE-1", "1.00"),
        business_record("T-2"),
        generated("BE-2", item("i2", "1.00", business_record_id="T-2"), project_id="P-2"),
        worth("BE-3", "9.00"),
    )
    yield composed
    await composed.close()
    databases.drop(made["release"])


@pytest.mark.parametrize("on_chunk_failure", ["isolate", "fail"])
async def test_warning_lists_what_fails_and_what_would_get_no_document(
    system: ComposedSystem, on_chunk_failure: str
) -> None:
    """Whatever the chunk does, each event is judged by itself."""
    async with system.client("release") as release, system.client("accounting-connector") as connector:
        body = {"select": ALL, "on_chunk_failure": on_chunk_failure}
        first = (await release.post("/release-jobs/validate", json=body)).json()
        could_be_released = first["would_release"] + first["held_back"]
        second = await connector.post(
            "/process-runs/validate",
            json={"select": {"billing_event_ids": could_be_released}, "waive_released": True},
        )
    assert first["validated"]
    assert [each["billing_event_id"] for each in first["would_fail"]] == ["BE-3"]
    assert could_be_released == ["BE-1", "BE-2"]
    assert second.status_code == 200, second.text
    assert second.json()["validated"]
    assert [
        (each["billing_event_id"], [reason["code"] for reason in each["reasons"]])
        for each in second.json()["would_fail"]
    ] == [("BE-2", ["services_product_missing"])]


async def test_dry_run_of_release_and_invoice_makes_no_document(system: ComposedSystem) -> None:
    count = len(system.published)
    async with system.client("release") as release, system.client("accounting-connector") as connector:
        body = {"select": ALL, "and_invoice": True, "dry_run": True}
        job_id = (await release.post("/release-jobs", json=body)).json()["job_id"]
        await system.settle()
        job = (await release.get(f"/release-jobs/{job_id}")).json()
        runs = (await connector.get("/process-runs")).json()["items"]
        documents = (await connector.get("/documents")).json()["items"]
    assert (job["status"], job["released"], job["failed"]) == ("completed_with_errors", 2, 1)
    assert len(system.published) == count
    assert (runs, documents) == ([], [])
