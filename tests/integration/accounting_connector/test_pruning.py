"""Process runs are kept for the days that the deployment sets, and then go with their logs, in bounded steps."""

import asyncpg

from accounting_connector.store import process_runs
from integration.accounting_connector.driver import ConnectorDriver, event, released, start_ids


async def test_old_runs_go_with_their_logs_and_the_others_stay(
    connector: ConnectorDriver, administrator: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ids = [f"BE-{place}" for place in range(7)]
    await connector.release(*(released(event(event_id)) for event_id in ids))
    await connector.command(start_ids("PR-OLD", *ids), start_ids("PR-NEW", "BE-1"))
    await connector.settle()
    await administrator.execute(
        "update process_runs set ended_at = now() - interval '91 days' where process_run_id = 'PR-OLD'"
    )
    steps = 1
    while await connector.database.run(lambda work: process_runs.prune(work.connection, days=90, rows_max=3)):
        steps += 1
        assert steps < 10
    assert steps == 3
    for table in ("process_runs", "process_run_events"):
        left = await administrator.fetch(f"select distinct process_run_id from {table}")
        assert [row["process_run_id"] for row in left] == ["PR-NEW"]
    assert len(await connector.facts("validated")) == len(ids)
