"""Messages in any order, by any number of replicas, delivered any number of times: the same end state."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.release.driver import (
    Record,
    ReleaseDriver,
    business_record,
    company,
    deleted,
    generated,
    item,
    project,
)
from release.domain.sources import CompanySource
from release.handlers.arrival import take_billing_events
from shared.contracts.catalogue import CATALOGUE
from shared.database.database import Database
from shared.messaging.message import decode
from support.databases import Databases


def feed() -> list[Record]:
    """Events of two projects, all that they are completed from, later versions and noise."""
    assignment = {"kind": "assignment", "record_id": "S-1"}
    milestone = {"kind": "milestone", "record_id": "M-1"}
    return [
        project(version=1, account_id="A-0", region="EMEA"),
        project(version=2, region="EMEA", budgets=[{"budget_id": "B-1", "amount": "500.00"}]),
        project("P-2", region="APAC", services_product=None),
        company(regions=["EMEA"]),
        company("C-JP", accounting_currencies=["JPY"], regions=["EMEA", "APAC"]),
        company("C-JP", version=2, accounting_currencies=["JPY", "GBP"], regions=["APAC"]),
        business_record("T-1", parent=assignment),
        business_record("S-1", "assignment", parent=milestone),
        business_record("M-1", "milestone", name="Phase", services_product="Milestones"),
        business_record("M-1", "milestone", version=2, name="Phase 1", services_product="Milestones"),
        generated(
            "BE-1", item("i1"), item("i2", category="milestone", business_record_id="M-1", budget_id="B-1")
        ),
        generated("BE-2", item("i1", "7.00"), project_id="P-2", account_id="A-9"),
        generated("BE-3", item("i1", "7.00")),
        generated("BE-3", item("i1", "8.00"), version=2),
        generated("BE-4", item("i1", "9.00")),
        deleted("BE-4", version=2),
    ]


EVENT_IDS = ("BE-1", "BE-2", "BE-3")


@pytest.fixture(scope="module")
async def expected(databases: Databases) -> Any:
    """The end state when everything comes in order."""
    made = databases.fresh("release")
    store = Database(made.url, schema=made.schema, application_name="tests")
    await store.open()
    release = ReleaseDriver(store, company_source=CompanySource.REGION)
    for record in feed():
        await release.psa(record)
    await release.settle()
    state = [await release.event(each) for each in EVENT_IDS]
    await store.close()
    databases.drop(made)
    return state


def test_the_feed_says_something(expected: list[dict[str, Any]]) -> None:
    first, second, third = expected
    assert {event["stage"] for event in expected} == {"awaiting_release"}
    assert [entry["accounting_line_description"] for entry in first["items"]] == ["Survey day", "Phase 1"]
    assert (first["account_id"], first["company_id"]) == ("A-1", "C-UK")
    assert (second["company_id"], second["billing_event_currency"], second["account_id"]) == (
        "C-JP",
        "GBP",
        "A-9",
    )
    assert third["summary_amount"] == "8.00"


@given(order=st.permutations(range(len(feed()))), sizes=st.lists(st.integers(1, 5), min_size=16, max_size=16))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_order_and_any_batches(
    databases: Databases, expected: list[dict[str, Any]], order: list[int], sizes: list[int]
) -> None:
    made = databases.fresh("release")
    store = Database(made.url, schema=made.schema, application_name="tests")
    await store.open()
    try:
        release = ReleaseDriver(store, company_source=CompanySource.REGION)
        records = [feed()[place] for place in order]
        for size in sizes:
            batch, records = records[:size], records[size:]
            if batch:
                await release.psa(*batch)
            if size == 1:
                await release.settle()
        await release.settle()
        assert [await release.event(each) for each in EVENT_IDS] == expected
        assert (await release.event("BE-4"))["stage"] == "deleted"
        registered = [fact["billing_event"]["billing_event_id"] for fact in await release.facts("registered")]
        assert sorted(set(registered) | {"BE-4"}) == [*EVENT_IDS, "BE-4"]
        assert len(registered) == len(set(registered))
        last = {
            fact["billing_event"]["billing_event_id"]: fact["billing_event"]
            for fact in await release.facts("registered", "changed")
        }
        assert [last[each] for each in EVENT_IDS] == expected
    finally:
        await store.close()
        databases.drop(made)


@pytest.mark.parametrize("seed", range(6))
async def test_two_replicas_that_race_leave_nothing_behind(
    store: Database, expected: list[dict[str, Any]], seed: int
) -> None:
    replicas = [ReleaseDriver(store, company_source=CompanySource.REGION) for _ in range(2)]
    records = feed()
    random.Random(seed).shuffle(records)
    # Every message comes twice, to either replica, as when partitions move.
    shares = [records, records[::-1]]

    async def consume(release: ReleaseDriver, share: list[Record]) -> None:
        for record in share:
            await release.psa(record)

    async def work(release: ReleaseDriver) -> None:
        for _ in range(20):
            await release.settle()

    await asyncio.gather(
        *(consume(release, share) for release, share in zip(replicas, shares, strict=True)),
        *(work(release) for release in replicas),
    )
    await replicas[0].settle()
    assert [await replicas[0].event(each) for each in EVENT_IDS] == expected
    assert (await replicas[0].event("BE-4"))["stage"] == "deleted"
    assert await replicas[0].dead_letters() == []


async def test_a_source_that_a_storing_transaction_did_not_see_is_found_when_it_has_ended(
    release: ReleaseDriver, store: Database
) -> None:
    record = generated()
    (message,) = decode([record], frozenset(CATALOGUE)).messages
    async with store.transaction() as work:
        await work.connection.execute("insert into inbox (message_id, payload_hash) values ('m', '')")
        await take_billing_events(work, [message], CompanySource.PROJECT)
        # Meanwhile another replica commits what the event waits for, and looks for events that wait for it.
        await release.psa(project(), company(), business_record())
        for _ in range(5):
            await release._spreader.step()
    assert (await release.event())["stage"] == "incomplete"
    await release.settle()
    assert (await release.event())["stage"] == "awaiting_release"
