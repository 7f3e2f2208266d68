"""A run that others come across at each of its stages, one after the other (domain.md section 4, One live document).

All four services work together, so that claims, documents and what is written back are those of the system.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from integration.release.driver import ACCOUNT, company, project
from integration.release.releasing import worth
from support.composed import ComposedSystem, compose_system
from support.databases import Databases
from support.records import message_record
from unit.shared.http.sample import Issuer

EVENTS = [f"BE-{number}" for number in range(1, 5)]
STAGES = ("new", "invoice_lines_created", "draft_invoices", "validated")


@pytest.fixture
async def system(databases: Databases, issuer: Issuer) -> AsyncIterator[ComposedSystem]:
    """Four released events of one account, in a system of their own."""
    made = databases.shared_by_all()
    composed = await compose_system(made, issuer)
    await composed.send(
        company(name="Survey Ltd"),
        message_record(ACCOUNT, {"account_id": "A-1", "version": 1, "name": "Port Authority"}),
        project(),
        *(worth(each, "100.00") for each in EVENTS),
    )
    await composed.send(
        *(message_record("release.billing-event.release.v1", {"billing_event_id": each}) for each in EVENTS)
    )
    yield composed
    await composed.close()
    databases.drop(made["release"])


def _to_run(what: str, run_id: str = "R-1", **fields: Any) -> Any:
    return message_record(f"billing-runs.run.{what}.v1", {"run_id": run_id, **fields})


def _create(run_id: str = "R-1", **fields: Any) -> Any:
    scope = {"billing_event_ids": EVENTS}
    return _to_run("create", run_id, kind="exceptional", scope=scope, invoice_date="2026-11-30", **fields)


def _process_run(process_run_id: str, **select: Any) -> Any:
    return message_record(
        "accounting.process-run.start.v1", {"process_run_id": process_run_id, "select": select}
    )


def _other_ways() -> list[Any]:
    """On demand for one, for all and for what is eligible, and the flag of auto-pass."""
    flagged = [
        message_record(
            "release.billing-event.fill.v1", {"billing_event_id": each, "auto_pass_to_accounting": True}
        )
        for each in EVENTS
    ]
    return [
        _process_run("PR-ONE", billing_event_ids=EVENTS[:1]),
        _process_run("PR-ALL", billing_event_ids=EVENTS),
        _process_run("PR-ELIGIBLE", eligible=True),
        *flagged,
    ]


async def _reach(system: ComposedSystem, status: str, run_id: str = "R-1") -> None:
    for _ in range(STAGES.index(status)):
        await system.send(_to_run("process", run_id))


async def _documents(system: ComposedSystem) -> list[dict[str, Any]]:
    async with system.client("accounting-connector") as client:
        found = (await client.get("/documents")).json()["items"]
    return [each for each in found if each["status"] != "cancelled"]


async def _assert_one_document_each(system: ComposedSystem) -> None:
    documents = await _documents(system)
    assert sorted(event for each in documents for event in each["billing_event_ids"]) == EVENTS
    assert {each["status"] for each in documents} == {"validated"}
    by_event = {event: each["document_id"] for each in documents for event in each["billing_event_ids"]}
    async with system.client("release") as client:
        for event_id in EVENTS:
            event = (await client.get(f"/billing-events/{event_id}")).json()
            assert (event["stage"], event["document_id"]) == ("invoiced", by_event[event_id])
    assert [each.type for each in system.published if each.topic.endswith(".dead-letters")] == []


async def _fates(system: ComposedSystem, run_id: str) -> dict[str, int]:
    async with system.client("billing-runs") as client:
        events = (await client.get(f"/billing-runs/{run_id}/billing-events")).json()["items"]
    return dict(Counter(each["state"] for each in events))


@pytest.mark.parametrize("stage", STAGES)
async def test_other_ways_in_find_what_a_run_holds_or_has_invoiced(
    system: ComposedSystem, stage: str
) -> None:
    await system.send(_create())
    await _reach(system, stage)

    await system.send(*_other_ways())
    by_others = {each["document_id"] for each in await _documents(system) if each["billing_run_id"] is None}
    for _ in STAGES[STAGES.index(stage) + 1 :]:
        await system.send(_to_run("process"))

    await _assert_one_document_each(system)
    assert bool(by_others) == (stage == "new")
    assert await _fates(system, "R-1") == {"left_out" if stage == "new" else "validated": len(EVENTS)}


@pytest.mark.parametrize("stage", STAGES[:3])
async def test_two_runs_over_the_same_events_share_nothing(system: ComposedSystem, stage: str) -> None:
    await system.send(_create("R-1"), _create("R-2", process_type="full_automatic"))
    await _reach(system, stage)

    await system.send(_to_run("process", "R-2"), _to_run("process"))
    for _ in STAGES:
        await system.send(_to_run("process"))

    await _assert_one_document_each(system)
    fates = [await _fates(system, "R-1"), await _fates(system, "R-2")]
    assert sum((Counter(each) for each in fates), Counter()) == {"validated": 4, "left_out": 4}
    if stage != "new":
        assert fates == [{"validated": 4}, {"left_out": 4}]


async def test_what_a_cancelled_run_has_let_go_is_free_for_the_other_ways(system: ComposedSystem) -> None:
    await system.send(_create())
    await _reach(system, "draft_invoices")
    await system.send(_process_run("PR-EARLY", billing_event_ids=EVENTS))
    assert {each["status"] for each in await _documents(system)} == {"draft"}

    await system.send(_to_run("cancel", billing_events="reopen"))
    await system.send(_process_run("PR-LATE", eligible=True))

    await _assert_one_document_each(system)
    assert await _fates(system, "R-1") == {"reopened": 4}
