"""The reconciliation says yes to good books, and finds every planted difference (domain.md section 6)."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from integration.release.driver import Fact, ReleaseDriver, generated, item, project
from integration.release.http import Api
from integration.release.releasing import ReleasingDriver, capped_project, release, worth
from release.handlers import reconciliation
from release.handlers.reconciliation import reconciliation_step
from release.store.reconciliation import CHECK_NAMES, Check, run_check
from shared.database.database import Database

DIFFERENCE = "release.reconciliation.difference-found.v1"


async def test_books_balance_and_each_planted_difference_is_found(api: Api) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    await api.driver.know(
        project(budgets=budgets),
        generated("BE-1", item("i1", "150.00", budget_id="B-1", services_product="X")),
        capped_project("10.00", project_id="P-2"),
        worth("BE-2", "10.00", project_id="P-2"),
        worth("BE-3", "-5.00", project_id="P-2"),
    )
    await api.driver.command(release("BE-1", on_cap="split"), release("BE-2"), release("BE-3"))
    await api.driver.psa(capped_project("1.00", project_id="P-2", version=2))
    pool = api.driver.database.pool
    async with api.client() as client:
        books = (await client.get("/reconciliation")).json()
        assert books["balanced"], books
        planted = {
            "project_totals_match_ledger": "update project_totals set released = released - 1",
            "budget_totals_match_ledger": "update budget_totals set released = released - 1",
            "budget_ledger_matches_released_items": "update billing_event_items set budget_id = null"
            " where billing_event_id = 'BE-1'",
            "project_ledger_matches_released_items": "update billing_event_items set amount = 1"
            " where billing_event_id = 'BE-2'",
            "released_events_are_in_ledger_once": "update billing_events set stage = 'awaiting_release',"
            " released_at = null where billing_event_id = 'BE-3'",
            "summary_amounts_match_items": "update billing_events set item_count = 7"
            " where billing_event_id = 'BE-1.2'",
            "project_caps_are_kept": "insert into cap_ledger (project_id, billing_event_id, act, amount, currency,"
            " released_after, decision) values ('P-2', 'BE-9', 'release', 1, 'GBP', 11,"
            """ '{"rule": "fits_remaining", "bookings": "10.00"}')""",
            "budget_caps_are_kept": "insert into cap_ledger (project_id, budget_id, billing_event_id, act, amount,"
            " currency, released_after, decision) values ('P-1', 'B-1', 'BE-9', 'release', 1, 'GBP', 101,"
            """ '{"budgets": [{"budget_id": "B-1", "amount": "100.00", "tolerance": "0.50"}]}')""",
            "record_totals_match_released_items": "update record_totals set billed = billed - 1 where place = 1",
            "billed_items_match_released_items": "delete from billed_items where billing_event_id = 'BE-2'",
            "jobs_match_their_log": "insert into release_jobs (job_id, mode, and_invoice, selection, request_hash,"
            " status, chunk_size, total) values ('J-1', 'auto', false, '{}', '', 'queued', 1, 1)",
            "messages_are_counted": "update consumed_positions set applied = 0",
            "records_are_counted": "update consumed_positions set records = records + 1",
        }
        # What an upgrade finds, its own test plants: no service may write it.
        assert planted.keys() == {check["check"] for check in books["checks"]} - {
            "nothing_was_billed_twice_before"
        }
        for check, statement in planted.items():
            async with pool.acquire() as connection:
                await connection.execute(statement)
            books = (await client.get("/reconciliation")).json()
            found = {each["check"]: each for each in books["checks"]}[check]
            assert not books["balanced"]
            assert found["differences"], check
            assert not found["balanced"]
    told = [
        (check["check"], tuple(sorted(difference.items())))
        for fact in await differences(api.driver)
        for check in fact["checks"]
        for difference in check["differences"]
    ]
    assert {check for check, _ in told} == planted.keys()
    assert len(told) == len(set(told))


async def differences(driver: ReleaseDriver) -> list[Fact]:
    """What operators were told, in order."""
    return [fact for fact in await driver.facts() if fact.type == DIFFERENCE]


async def reconcile_once(store: Database) -> None:
    """Each check once, as the worker does them one by one."""
    step = reconciliation_step(store, every_seconds=0)
    for _ in CHECK_NAMES:
        assert not await step(), "the worker waits after each check"


async def put(store: Database, statement: str) -> None:
    """Damage the books, or mend them."""
    async with store.pool.acquire() as connection:
        await connection.execute(statement)


async def test_worker_tells_of_a_difference_once_until_it_is_gone(store: Database) -> None:
    driver = ReleasingDriver(store)
    await driver.know(
        project(), worth("BE-1", "5.00"), project("P-2"), worth("BE-2", "5.00", project_id="P-2")
    )
    await driver.command(release("BE-1"))
    await reconcile_once(store)
    assert await differences(driver) == []

    await put(store, "update project_totals set released = released - 1 where project_id = 'P-1'")
    await reconcile_once(store)
    (told,) = await differences(driver)
    assert [(check["check"], check["balanced"]) for check in told["checks"]] == [
        ("project_totals_match_ledger", False)
    ]
    await reconcile_once(store)
    await reconciliation.reconcile(store)
    assert len(await differences(driver)) == 1

    # Its figures change, and another project joins it: only that is new.
    await driver.command(release("BE-2"))
    await put(store, "update project_totals set released = released - 1")
    await reconcile_once(store)
    (new,) = (await differences(driver))[1:]
    assert [each["project_id"] for each in new["checks"][0]["differences"]] == ["P-2"]

    await put(store, "update project_totals set released = 5")
    await reconcile_once(store)
    await put(store, "update project_totals set released = 4 where project_id = 'P-1'")
    await reconcile_once(store)
    assert len(await differences(driver)) == 3, "what was mended and comes again is told again"


async def test_replicas_share_the_checks(store: Database) -> None:
    """Four replicas, one round: each check is begun once."""
    await reconciliation_step(store, every_seconds=60)()
    await put(store, "update reconciliation_checks set checked_at = now() - interval '61 seconds'")
    begun: list[str] = []

    async def work(step: Any) -> None:
        for _ in CHECK_NAMES:
            await step()

    async def noted(connection: Any, name: str) -> Check:
        begun.append(name)
        return await run_check(connection, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "run_check", noted)
        await asyncio.gather(*(work(reconciliation_step(store, every_seconds=60)) for _ in range(4)))
    assert sorted(begun) == sorted(CHECK_NAMES)


async def test_service_that_starts_leaves_its_books_alone_for_a_while(store: Database) -> None:
    await ReleasingDriver(store).know(project(), worth("BE-1", "5.00"))
    await put(store, "update billing_events set item_count = 7")
    step = reconciliation_step(store, every_seconds=60)
    for _ in CHECK_NAMES:
        assert not await step()
    assert await differences(ReleasingDriver(store)) == []


async def test_check_that_takes_too_long_is_given_up(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(connection: Any, name: str) -> Any:
        assert await connection.fetchval("show max_parallel_workers_per_gather") == "0"
        await connection.execute("set local statement_timeout = '10ms'")
        await connection.execute("select pg_sleep(30)")

    monkeypatch.setattr(reconciliation, "run_check", slow)
    with capture_logs() as logs:
        assert not await reconciliation_step(store, every_seconds=0)()
    assert [entry["event"] for entry in logs] == ["check of the books took too long"]
    assert await store.pool.fetchval("show statement_timeout") == "1min", "the option was the check's alone"


async def test_running_check_holds_no_transaction_that_others_wait_for(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The completion of events waits for every transaction that writes; a check writes nothing."""
    seen = []

    async def look(connection: Any, name: str) -> Check:
        seen.append(await connection.fetchval("select pg_current_xact_id_if_assigned()"))
        return Check(name, ())

    monkeypatch.setattr(reconciliation, "run_check", look)
    assert not await reconciliation_step(store, every_seconds=0)()
    assert seen == [None]
