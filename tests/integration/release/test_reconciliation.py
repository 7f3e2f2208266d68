"""The reconciliation says yes to good books, and finds every planted difference (domain.md section 6)."""

from integration.release.driver import generated, item, project
from integration.release.http import Api
from integration.release.releasing import capped_project, release, worth


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
    await pool.execute("update consumed_positions set applied = applied + next_offset")
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
            "jobs_match_their_log": "insert into release_jobs (job_id, mode, and_invoice, selection, request_hash,"
            " status, chunk_size, total) values ('J-1', 'auto', false, '{}', '', 'queued', 1, 1)",
            "messages_are_counted": "update consumed_positions set applied = 0",
            "records_are_counted": "update consumed_positions set next_offset = 1000000",
        }
        assert planted.keys() == {check["check"] for check in books["checks"]}
        for check, statement in planted.items():
            async with pool.acquire() as connection:
                await connection.execute(statement)
            books = (await client.get("/reconciliation")).json()
            found = {each["check"]: each for each in books["checks"]}[check]
            assert not books["balanced"]
            assert found["differences"], check
            assert not found["balanced"]
    told = [fact for fact in await api.driver.facts() if "reconciliation" in fact.type]
    assert len(told) == len(planted)
