"""Everything comes again, and in another order: nothing happens twice, and the newest version stands."""

from itertools import permutations
from typing import Any, Final

import asyncpg

from sluice.broker_options import broker_options
from support.books.quiet import wait_until_quiet
from support.load.broker_clients import Sender, end_offsets, read_whole
from support.load.calls import Calls
from support.load.driver import LoadDriver
from support.load.plan import Event, Kind
from support.load.records import Record
from support.load.world import written
from support.trial import Trial

_RECEIVED: Final = (
    "psa.projects",
    "psa.accounts",
    "psa.companies",
    "psa.exchange-rates",
    "psa.business-records",
    "psa.billing-events",
    "release.commands",
    "accounting.commands",
    "billing-runs.commands",
)
_TOLD: Final = ("release.events", "accounting.events", "billing-runs.events", "notifier.events")
_COUNTS: Final = """
select string_agg(format('select %L as what, count(*) from %I.%I', table_schema || '.' || table_name,
  table_schema, table_name), ' union all ')
from information_schema.tables
where table_schema in ('release', 'accounting_connector', 'billing_runs', 'notifier') and table_type = 'BASE TABLE'
"""
_PUT_ASIDE: Final = " union ".join(
    f'select topic, partition, "offset" from {schema}.dead_letters'
    for schema in ("release", "accounting_connector", "billing_runs")
)


async def test_every_message_delivered_three_times_under_load_has_its_effect_once(trial: Trial) -> None:
    plan = trial.plan(events=250)

    async def repeat(driver: LoadDriver) -> None:
        for share in (3, 2):
            await driver.wait_until_sent(len(plan.events) // share)
            await driver.send(list(driver.sent))

    await trial.hold(plan, events_per_second=100, during=repeat)


async def test_topics_replayed_from_the_start_change_nothing(sound: Trial) -> None:
    trial = sound
    options = broker_options(trial.system.infrastructure.broker.bootstrap_servers)
    rows = await _fetch(trial, _PUT_ASIDE)
    put_aside = {(row["topic"], row["partition"], row["offset"]) for row in rows}
    again = [
        Record(record.topic, record.key, record.value, tuple(record.headers))
        for record in await read_whole(options, _RECEIVED)
        if (record.topic, record.partition, record.offset) not in put_aside
    ]
    assert {record.topic for record in again} == set(_RECEIVED) - {"psa.exchange-rates"}
    rows_before, told_before = await _row_counts(trial), await end_offsets(options, _TOLD)
    async with Sender(options) as sender:
        await sender.send(again)
        await sender.send(again)
    await wait_until_quiet(trial.system)
    assert await _row_counts(trial) == rows_before
    assert await end_offsets(options, _TOLD) == told_before
    assert await trial.differences() == []


async def test_versions_in_any_order_leave_the_newest(trial: Trial) -> None:
    plan = trial.plan(events=0)
    project = plan.projects[0]
    records, wanted = [], {}
    for number, order in enumerate(permutations((1, 2, 3))):
        event_id = f"{plan.code}-V{number}"
        for version in order:
            event = Event(event_id, project, Kind.WAITING, (100 * version,))
            records.append(event.generated(version))
        wanted[event_id] = ("awaiting_release", written(300, project.currency))
    deleted = Event(f"{plan.code}-D", project, Kind.DELETED, (500,))
    records += [deleted.deleted(2), deleted.generated(1)]
    # All sources come after the events that they complete.
    options = broker_options(trial.system.infrastructure.broker.bootstrap_servers)
    async with Sender(options) as sender:
        await sender.send(records)
        await wait_until_quiet(trial.system)
        await sender.send(list(plan.sources()))
    trial.note_sent(*records, *plan.sources())
    await wait_until_quiet(trial.system)
    async with Calls(trial.system) as calls:
        for event_id, stands in wanted.items():
            answer = await calls.ask("release", "GET", f"/billing-events/{event_id}")
            body = answer.json()
            assert (body["stage"], body["summary_amount"], body["version"]) == (*stands, 3), event_id
        gone = await calls.ask("release", "GET", f"/billing-events/{deleted.event_id}")
    assert gone.json()["stage"] == "deleted"
    assert await trial.differences() == []


async def _row_counts(trial: Trial) -> dict[str, int]:
    query = (await _fetch(trial, _COUNTS))[0][0]
    return {row["what"]: row["count"] for row in await _fetch(trial, query)}


async def _fetch(trial: Trial, query: str) -> list[Any]:
    connection = await asyncpg.connect(trial.system.infrastructure.database.administrator_url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
