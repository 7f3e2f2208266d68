"""What fails by our own fault is never final: pending, told, tried again, given up only by a person (domain.md 4)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from integration.accounting_connector.driver import (
    ConnectorDriver,
    cancel,
    claim,
    event,
    item,
    job_completed,
    released,
    start,
    start_ids,
    unclaim,
    validate,
    withdraw,
)

Administrator: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def broken(administrator: Administrator, table: str, when: str = "true") -> AsyncIterator[None]:
    """What is written to the table raises, as a fault of our own would."""
    await administrator.execute(
        f"""create function break_it() returns trigger language plpgsql as $$
        begin if {when} then raise exception 'a fault of ours'; end if; return new; end $$"""
    )
    await administrator.execute(
        f"create trigger break_it before insert or update on {table} for each row execute function break_it()"
    )
    try:
        with capture_logs():
            yield
    finally:
        await administrator.execute("drop function break_it() cascade")


async def _numbers(connector: ConnectorDriver) -> list[str]:
    return sorted(document["number"] for document in await connector.facts("validated"))


async def _log(client: httpx.AsyncClient, run_id: str) -> dict[str, tuple[str, list[str]]]:
    items = (await client.get(f"/process-runs/{run_id}/log")).json()["items"]
    return {
        each["billing_event_id"]: (each["result"], [reason["code"] for reason in each["reasons"]])
        for each in items
    }


async def test_events_that_fail_by_our_fault_are_pending_until_it_is_mended(
    connector: ConnectorDriver, administrator: Administrator, client: httpx.AsyncClient
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in range(3)))
    async with broken(administrator, "documents"):
        await connector.command(start_ids("PR-1", "BE-0", "BE-1", "BE-2"))
        await connector.settle()
        (ended,) = await connector.facts("process-run.completed")
        assert (ended["status"], ended["pending"], ended["not_passed"]) == ("completed_with_errors", 3, 0)
        (told,) = await connector.facts("pending")
        assert (told["kind"], told["id"]) == ("process_run", "PR-1")
        assert await _log(client, "PR-1") == {f"BE-{n}": ("pending", ["internal_error"]) for n in range(3)}
        assert (await client.get("/process-runs/PR-1")).json()["pending"] == 3
        await connector.try_again()
        assert len(await connector.facts("process-run.completed")) == 1
    assert await connector.facts("not-passed", "validated") == []

    await connector.try_again()

    assert await _numbers(connector) == [f"SIN-2026-00000{n}" for n in (1, 2, 3)]
    once_more = (await connector.facts("process-run.completed"))[1:]
    assert [(each["status"], each["pending"], each["invoices"]) for each in once_more] == [
        ("completed", 0, 3)
    ]
    assert [each["id"] for each in await connector.facts("recovered")] == ["PR-1"]
    assert len(await connector.facts("pending")) == 1
    await connector.try_again()
    assert len(await connector.facts("process-run.completed")) == 2


async def test_back_off_grows_from_a_minute_to_an_hour(
    connector: ConnectorDriver, administrator: Administrator
) -> None:
    await connector.release(released(event("BE-1")))
    waits = []
    async with broken(administrator, "documents"):
        await connector.command(start_ids("PR-1", "BE-1"))
        await connector.settle()
        for _ in range(8):
            waits.append(
                await connector.database.pool.fetchval(
                    "select round(extract(epoch from due_at - now()) / 60)::int from process_run_events"
                )
            )
            await connector.try_again()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("way_in", ["single", "job", "stage 2", "filter", "large"])
async def test_every_way_in_is_tried_again(
    connector: ConnectorDriver, administrator: Administrator, way_in: str
) -> None:
    async with broken(administrator, "documents"):
        match way_in:
            case "single":
                await connector.release(released(event("BE-1", auto_pass_to_accounting=True)))
            case "large":
                items = [item(f"i{place}", "1.00") for place in range(201)]
                await connector.release(released(event("BE-1", *items, auto_pass_to_accounting=True)))
            case "job":
                flagged = [event(f"BE-{n}", auto_pass_to_accounting=True) for n in (1, 2)]
                await connector.release(
                    *(released(each, job_id="J-1") for each in flagged),
                    job_completed("J-1", 2, and_invoice=False),
                )
            case "stage 2":
                await connector.release(
                    released(event("BE-1"), job_id="J-1", and_invoice=True), job_completed("J-1", 1)
                )
            case _:
                await connector.release(released(event("BE-1")))
                await connector.command(start("PR-1", select={"filter": {"project_id": "P-1"}}))
        await connector.settle()
        (ended,) = await connector.facts("process-run.completed")
        assert ended["pending"] == (2 if way_in == "job" else 1)
        assert await connector.facts("not-passed") == []
    await connector.try_again()
    assert len(await connector.facts("validated")) == ended["pending"]
    assert (await connector.facts("process-run.completed"))[-1]["status"] == "completed"


async def test_a_credit_in_a_batch_of_good_ones_is_pending_alone(
    connector: ConnectorDriver, administrator: Administrator
) -> None:
    await connector.release(
        released(event("BE-1")), released(event("BE-2", item("c", "-5.00", quantity="-1", unit_price="5.00")))
    )
    async with broken(administrator, "documents", "new.kind = 'sales_credit_note'"):
        await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
        await connector.settle()
        assert await _numbers(connector) == ["SIN-2026-000001"]
    await connector.try_again()
    assert await _numbers(connector) == ["SCN-2026-000001", "SIN-2026-000001"]


async def test_what_is_given_up_is_an_error_which_can_be_tried_as_a_new_run(
    connector: ConnectorDriver, administrator: Administrator, client: httpx.AsyncClient
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in (1, 2)))
    async with broken(administrator, "documents"):
        await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
        await connector.settle()
        answer = await client.post("/process-runs/PR-1/give-up", json={"billing_event_ids": ["BE-1"]})
        assert (answer.status_code, answer.json()["pending"], answer.json()["not_passed"]) == (200, 1, 1)
        assert len(await connector.facts("process-run.completed")) == 1
    answer = await client.post("/process-runs/PR-1/give-up", json={"billing_event_ids": None})
    assert answer.json()["status"] == "completed_with_errors"
    await connector.try_again()
    assert await connector.facts("validated") == []
    assert (await connector.facts("process-run.completed"))[-1]["not_passed"] == 2
    assert len(await connector.facts("recovered")) == 1
    assert (await _log(client, "PR-1"))["BE-1"] == ("error", ["internal_error", "given_up"])

    again = await client.post("/process-runs/PR-1/retry", json={"billing_event_ids": None})
    assert again.status_code == 202
    await connector.settle()
    assert await _numbers(connector) == ["SIN-2026-000001", "SIN-2026-000002"]
    nothing = await client.post(f"/process-runs/{again.json()['process_run_id']}/retry", json={})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "action_not_available")


async def test_a_billing_run_that_lets_its_events_go_gives_up_what_is_pending_of_them(
    connector: ConnectorDriver, administrator: Administrator
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in (1, 2)))
    await connector.command(claim("R-1", "BE-1", "BE-2"))
    async with broken(administrator, "documents"):
        await connector.command(start_ids("PR-1", "BE-1", "BE-2", validate=False, billing_run_id="R-1"))
        await connector.settle()
        assert await connector.database.pool.fetchval("select count(*) from claims") == 2
        await connector.command(unclaim("R-1", "BE-1", "BE-2"))
    await connector.try_again()
    assert await connector.facts("drafted") == []
    assert await connector.database.pool.fetchval("select count(*) from claims") == 0
    ended = (await connector.facts("process-run.completed"))[-1]
    assert (ended["pending"], ended["not_passed"]) == (0, 2)


async def test_a_withdrawal_is_tried_again_and_never_refused_for_our_fault(
    connector: ConnectorDriver, administrator: Administrator
) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
    await connector.settle()
    async with broken(administrator, "documents", "'BE-1' = any(new.billing_event_ids)"):
        await connector.command(withdraw("BE-1"), withdraw("BE-2"))
        assert [each["billing_event_id"] for each in await connector.facts("withdrawn")] == ["BE-2"]
        assert [each["kind"] for each in await connector.facts("pending")] == ["withdrawal"]
    assert await connector.facts("withdraw-refused") == []
    assert await connector.dead_letters() == []
    await connector.try_again()
    told = await connector.facts("withdrawn")
    assert {each["billing_event_id"]: each["outcome"] for each in told} == {
        "BE-1": "mirrored",
        "BE-2": "mirrored",
    }
    assert [each["kind"] for each in await connector.facts("recovered")] == ["withdrawal"]


@pytest.mark.parametrize("what", ["validated", "cancelled"])
async def test_one_document_of_a_command_that_fails_keeps_no_other_waiting(
    connector: ConnectorDriver, administrator: Administrator, what: str
) -> None:
    await connector.release(*(released(event(f"BE-{place}")) for place in (1, 2, 3)))
    await connector.command(start_ids("PR-1", "BE-1", "BE-2", "BE-3", validate=False))
    await connector.settle()
    ids = [document["document_id"] for document in await connector.facts("drafted")]
    order = validate(*ids) if what == "validated" else cancel(*ids)
    async with broken(administrator, "documents", f"new.document_id = '{ids[1]}'"):
        await connector.command(order)
        assert [each["document_id"] for each in await connector.facts(what)] == [ids[0], ids[2]]
        assert [each["kind"] for each in await connector.facts("pending")] == ["command"]
    assert await connector.dead_letters() == []
    await connector.try_again()
    assert [each["document_id"] for each in await connector.facts(what)] == [ids[0], ids[2], ids[1]]
    assert len(await connector.facts("recovered")) == 1
