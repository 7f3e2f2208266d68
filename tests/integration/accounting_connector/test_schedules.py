"""Scheduled process runs: one for each due instant of a company, whoever looks, at a clock of the test's own."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from accounting_connector.handlers import schedules
from integration.accounting_connector.driver import ConnectorDriver, company, event, item, released

DAILY: dict[str, Any] = {"every": "day", "at": "02:00", "weekday": None, "day": None}
SET_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
DUE = datetime(2026, 11, 21, 2, tzinfo=UTC)
PUT_BY = {"user_id": "u7", "email": "u7@example.com"}


async def put_schedule(
    administrator: "asyncpg.Connection[asyncpg.Record]",
    schedule: dict[str, Any] | None,
    *,
    version: int = 1,
    at: datetime = SET_AT,
    company_id: str = "C-UK",
    by: dict[str, Any] = PUT_BY,
    **settings: Any,
) -> None:
    """Settings as they were put at a moment of the past."""
    await administrator.execute(
        "insert into company_settings (company_id, version, settings, changed_at, changed_by) "
        "values ($1, $2, $3::jsonb, $4, $5::jsonb)",
        company_id,
        version,
        json.dumps({"schedule": schedule, **settings}),
        at,
        json.dumps(by),
    )


async def look(connector: ConnectorDriver, now: datetime) -> int:
    """Let the worker look at the clock until nothing is due; how many instants it took."""
    taken = 0
    while await connector.database.run(lambda work: schedules.work_due(work, connector.deployment, now)):
        taken += 1
        assert taken < 10, "an instant is taken again and again"
    return taken


async def runs(connector: ConnectorDriver) -> list[Any]:
    return list(await connector.database.pool.fetch("select * from process_runs order by created_at"))


async def test_a_due_company_gets_a_run_over_its_eligible_events(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.reference(company("C-FR"))
    await put_schedule(administrator, DAILY, additional_recipients="a@x.example; b@x.example")
    await connector.release(
        released(event("BE-1")),
        released(event("BE-2", item("i2", services_product=None))),
        released(event("BE-3", company_id="C-FR")),
    )
    assert await look(connector, DUE - timedelta(seconds=1)) == 0
    assert await look(connector, DUE + timedelta(seconds=1)) == 1
    await connector.settle()
    (completed,) = await connector.facts("process-run.completed")
    assert (completed["kind"], completed["status"], completed["starter"]) == ("schedule", "completed", PUT_BY)
    assert (completed["invoices"], completed["not_passed"]) == (1, 0)
    assert completed["additional_recipients"] == ["a@x.example", "b@x.example"]
    (document,) = await connector.facts("validated")
    assert document["billing_event_ids"] == ["BE-1"]
    assert await connector.facts("not-passed") == []


async def test_the_starter_is_who_set_the_schedule_not_who_put_other_settings_after_it(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(released(event("BE-1")))
    other = {"user_id": "u8", "email": "u8@example.com"}
    await put_schedule(administrator, DAILY)
    await put_schedule(
        administrator, DAILY, version=2, at=SET_AT + timedelta(hours=1), by=other, payment_days=14
    )
    assert await look(connector, DUE) == 1
    await connector.settle()
    assert {each["starter"]["user_id"] for each in await connector.facts()} == {"u7"}
    weekly = {"every": "week", "at": "02:00", "weekday": 7, "day": None}
    await put_schedule(administrator, weekly, version=3, at=DUE + timedelta(hours=1), by=other)
    await connector.release(released(event("BE-2")))
    assert await look(connector, DUE + timedelta(days=1)) == 1
    await connector.settle()
    assert (await connector.facts("process-run.completed"))[-1]["starter"] == other


async def test_an_event_that_is_stuck_is_not_told_of_at_every_instant(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await put_schedule(administrator, DAILY)
    await connector.release(released(event("BE-1", item("i1", services_product=None))))
    assert await look(connector, DUE) == 1
    assert await runs(connector) == []
    assert await connector.facts() == []


async def test_an_instant_makes_one_run_and_an_outage_is_caught_up_once(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await put_schedule(administrator, DAILY)
    await connector.release(released(event("BE-1")))
    assert await look(connector, DUE) == 1
    assert await look(connector, DUE + timedelta(hours=23)) == 0
    await connector.settle()
    await connector.release(released(event("BE-2")))
    # Three instants were missed.
    assert await look(connector, DUE + timedelta(days=3, hours=1)) == 1
    assert await look(connector, DUE + timedelta(days=3, hours=2)) == 0
    assert len(await runs(connector)) == 2
    # A clock that was put back makes no run a second time.
    assert await look(connector, DUE + timedelta(days=1)) == 0


async def test_replicas_that_look_at_once_make_one_run(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await put_schedule(administrator, DAILY)
    await connector.release(*(released(event(f"BE-{place}")) for place in range(5)))
    taken = await asyncio.gather(*(look(connector, DUE) for _ in range(8)))
    assert sum(taken) == 1
    await connector.settle()
    assert len(await runs(connector)) == 1
    assert len(await connector.facts("validated")) == 5


async def test_nothing_eligible_makes_no_run_and_the_instant_has_passed(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await put_schedule(administrator, DAILY)
    assert await look(connector, DUE) == 1
    await connector.release(released(event("BE-1")))
    assert await look(connector, DUE + timedelta(hours=1)) == 0
    assert await runs(connector) == []
    assert await look(connector, DUE + timedelta(days=1)) == 1
    assert len(await runs(connector)) == 1


async def test_a_schedule_holds_from_when_it_was_set_through_other_settings(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(released(event("BE-1")))
    await put_schedule(administrator, DAILY)
    # Put again for another reason, a minute after the instant that no worker has seen yet.
    await put_schedule(administrator, DAILY, version=2, at=DUE + timedelta(minutes=1), payment_days=14)
    assert await look(connector, DUE + timedelta(minutes=2)) == 1
    # Another schedule starts anew: the hours before it was set are not caught up.
    hourly = {"every": "hour", "at": "00:00", "weekday": None, "day": None}
    await put_schedule(administrator, hourly, version=3, at=DUE + timedelta(hours=5, minutes=30))
    assert await look(connector, DUE + timedelta(hours=5, minutes=31)) == 0
    assert await look(connector, DUE + timedelta(hours=6)) == 1
    await put_schedule(administrator, None, version=4, at=DUE + timedelta(hours=6, minutes=30))
    assert await look(connector, DUE + timedelta(days=9)) == 0


async def test_a_schedule_put_over_http_is_followed(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(released(event("BE-1")))
    answer = await client.put("/companies/C-UK/settings", json={"schedule": {"every": "hour", "at": "00:30"}})
    assert answer.status_code == 200, answer.text
    put_at = await connector.database.pool.fetchval("select changed_at from company_settings")
    assert await look(connector, put_at) == 0
    assert await look(connector, put_at + timedelta(hours=1)) == 1
    await connector.settle()
    (shown,) = (await client.get("/process-runs", params={"kind": "schedule"})).json()["items"]
    assert (shown["status"], shown["invoices"]) == ("completed", 1)
    assert shown["starter"] == {"user_id": "u1", "email": "u1@example.com"}
