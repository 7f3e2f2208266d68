"""What must hold whatever races: one live document per event, numbers without a gap, nothing twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from accounting_connector.handlers import document_commands
from accounting_connector.store import billing_events
from integration.accounting_connector.driver import (
    ConnectorDriver,
    claim,
    event,
    job_completed,
    released,
    start_ids,
    withdraw,
)
from shared.contracts.commands import ValidateDocuments
from shared.database.database import Database
from shared.database.unit_of_work import NO_CAUSE, UnitOfWork
from shared.messaging.batches import BatchNotTakenError

EVENTS = [f"BE-{place:02}" for place in range(12)]
DRAFTS: dict[str, Any] = {"validate": False, "billing_run_id": "R-1", "invoice_date": "2026-11-30"}


class RolledBackError(RuntimeError):
    """The transaction is given up on purpose."""


async def until_taken(take: Callable[[], Awaitable[None]]) -> None:
    """Take a batch again until it is taken, as Kafka would deliver it."""
    for _ in range(20):
        try:
            return await take()
        except BatchNotTakenError:
            continue
    raise AssertionError("the batch was not taken")


async def every_way_in(database: Database) -> list[ConnectorDriver]:
    """Let all ways in loose on the same events, each on a replica of its own, and work until nothing is left."""
    replicas = [ConnectorDriver(database) for _ in range(6)]
    # Known before the race begins: a flag that arrives is what makes them all eligible at once.
    await replicas[0].release(*(released(event(each), job_id="J-1", and_invoice=True) for each in EVENTS))
    flagged = [released(event(each, auto_pass_to_accounting=True)) for each in EVENTS]
    shuffled = random.sample(EVENTS, len(EVENTS))
    await asyncio.gather(
        until_taken(lambda: replicas[0].release(*flagged)),
        until_taken(lambda: replicas[1].release(job_completed("J-1", len(EVENTS)))),
        until_taken(lambda: replicas[2].command(start_ids("PR-1", *EVENTS))),
        until_taken(lambda: replicas[3].command(start_ids("PR-2", *shuffled))),
        until_taken(
            lambda: replicas[4].command(claim("R-1", *shuffled), start_ids("PR-3", *EVENTS, **DRAFTS))
        ),
        *(replica.settle() for replica in replicas),
    )
    for replica in replicas:
        await replica.settle()
    return replicas


async def assert_one_live_document_each(database: Database) -> None:
    rows = await database.pool.fetch(
        """select event_id, count(*) as documents from documents
        cross join lateral unnest(billing_event_ids) as event_id where status <> 'cancelled'
        group by event_id order by event_id"""
    )
    assert [(row["event_id"], row["documents"]) for row in rows] == [(each, 1) for each in EVENTS]
    live = await database.pool.fetch("select billing_event_id from live_documents order by 1")
    assert [row["billing_event_id"] for row in live] == EVENTS


async def assert_gapless(database: Database, count: int) -> None:
    rows = await database.pool.fetch(
        "select number from documents where status = 'validated' order by number"
    )
    assert [row["number"] for row in rows] == [f"SIN-2026-{place:06}" for place in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(3))
async def test_every_way_in_at_once_makes_one_document(connector: ConnectorDriver, seed: int) -> None:
    random.seed(seed)
    await every_way_in(connector.database)
    await assert_one_live_document_each(connector.database)
    assert await connector.dead_letters() == []
    validated = await connector.database.pool.fetchval(
        "select count(*) from documents where status = 'validated'"
    )
    await assert_gapless(connector.database, validated)
    runs = await connector.facts("process-run.completed")
    assert sum(run["invoices"] for run in runs) == len(EVENTS)


async def test_the_schema_holds_the_rule_even_without_locks(
    connector: ConnectorDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_events, "lock_events", billing_events.load_events)
    await every_way_in(connector.database)
    await assert_one_live_document_each(connector.database)


async def test_who_comes_second_is_told_which_document_won(
    connector: ConnectorDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connector.release(*(released(event(each)) for each in ("BE-1", "BE-2", "BE-3")))
    await connector.command(start_ids("PR-1", "BE-2"))
    await connector.settle()
    # As if the other document had come between the look and the insert.
    blind = billing_events._HOLDINGS.replace("where claim", "where false and claim").replace(
        " or live.", " and live."
    )
    monkeypatch.setattr(billing_events, "_HOLDINGS", blind)
    await connector.command(start_ids("PR-2", "BE-1", "BE-2", "BE-3", grouping="account"))
    await connector.settle()
    first, shared = await connector.facts("validated")
    assert shared["billing_event_ids"] == ["BE-1", "BE-3"]
    assert shared["total_net"] == "200.00"
    assert [line["line_id"].rpartition(".")[2] for line in shared["lines"]] == ["1", "2"]
    log = await connector.database.pool.fetch(
        "select * from process_run_events where process_run_id = 'PR-2' order by billing_event_id"
    )
    winners = [shared["document_id"], first["document_id"], shared["document_id"]]
    assert [row["document_id"] for row in log] == winners
    found = [[reason["code"] for reason in row["reasons"]] for row in log]
    assert found == [["tax_rule_missing"], ["already_done"], ["tax_rule_missing"]]
    await assert_gapless(connector.database, 2)


async def test_numbers_are_gapless_while_transactions_roll_back(connector: ConnectorDriver) -> None:
    random.seed(16)
    ids = [f"BE-{place:02}" for place in range(64)]
    await connector.release(*(released(event(each)) for each in ids))
    await connector.command(start_ids("PR-1", *ids, **DRAFTS))
    await connector.settle()
    drafts = [draft["document_id"] for draft in await connector.facts("drafted")]
    assert len(drafts) == 64
    gave_up = 0

    async def validate(some: list[str]) -> None:
        nonlocal gave_up
        for _ in range(100):
            day = random.choice(["2026-11-28", "2026-11-30", "2026-12-02"])
            command = ValidateDocuments.model_validate({"document_ids": some, "date": day})
            fails = random.random() < 0.5

            async def act(
                work: UnitOfWork, command: ValidateDocuments = command, fails: bool = fails
            ) -> None:
                await document_commands.validate(work, connector.deployment, command, NO_CAUSE, 0.0)
                if fails:
                    raise RolledBackError

            try:
                await connector.database.run(act)
            except RolledBackError:
                gave_up += 1
            else:
                return
        raise AssertionError("every transaction rolled back")

    await asyncio.gather(*(validate(drafts[place::16]) for place in range(16)))
    assert gave_up > 3
    await assert_gapless(connector.database, 64)


async def test_two_runs_claim_the_same_events_at_once(connector: ConnectorDriver) -> None:
    await connector.release(*(released(event(each)) for each in EVENTS))
    replicas = [ConnectorDriver(connector.database) for _ in range(4)]
    await asyncio.gather(
        *(
            until_taken(
                lambda place=place, replica=replica: replica.command(  # type: ignore[misc]
                    claim(f"R-{place}", *random.sample(EVENTS, len(EVENTS)))
                )
            )
            for place, replica in enumerate(replicas)
        )
    )
    facts = await connector.facts("claimed")
    assert len(facts) == 4
    assert sorted(each for fact in facts for each in fact["claimed"]) == EVENTS
    assert sum(len(fact["refused"]) for fact in facts) == 3 * len(EVENTS)


@pytest.mark.parametrize("seed", range(4))
async def test_a_withdrawal_and_a_run_at_once(connector: ConnectorDriver, seed: int) -> None:
    random.seed(seed)
    await connector.release(released(event("BE-1")))
    other = ConnectorDriver(connector.database)
    await connector.command(start_ids("PR-1", "BE-1"))
    await asyncio.gather(connector.settle(), other.command(withdraw("BE-1")))
    (fact,) = await connector.facts("withdrawn")
    validated = await connector.facts("validated")
    assert len(validated) == (2 if fact["outcome"] == "mirrored" else 0)
    assert await connector.database.pool.fetchval("select count(*) from live_documents") == 0
    await connector.command(start_ids("PR-2", "BE-1"))
    await connector.settle()
    assert len(await connector.facts("validated")) == len(validated)


async def test_a_run_is_worked_by_several_replicas(connector: ConnectorDriver) -> None:
    ids = [f"BE-{place:03}" for place in range(60)]
    await connector.release(*(released(event(each)) for each in ids))
    await connector.command(*(start_ids(f"PR-{place}", *ids[place::6]) for place in range(6)))
    await asyncio.gather(*(ConnectorDriver(connector.database).settle() for _ in range(4)))
    assert len(await connector.facts("process-run.completed")) == 6
    await assert_gapless(connector.database, 60)


@pytest.mark.parametrize(
    "statement",
    [
        "update document_lines set amount = 0",
        "delete from document_lines",
        "update document_taxes set tax = 0",
        "update documents set total_net = 0",
        "delete from documents",
        "update company_settings set version = 2",
        "delete from number_series",
    ],
)
async def test_the_role_cannot_rewrite_what_is_final(store: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await store.pool.execute(statement)


async def test_the_schema_refuses_a_second_live_document_and_a_second_number(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connector.release(*(released(event(each, auto_pass_to_accounting=True)) for each in EVENTS[:2]))
    with pytest.raises(asyncpg.UniqueViolationError):
        await administrator.execute("insert into live_documents values ('BE-00', 'another')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await administrator.execute("update documents set number = 'SIN-2026-000001'")
