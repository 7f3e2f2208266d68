"""What a run reads does not hang on what statistics know: a new run's rows come by the thousand before they see it."""

import asyncpg

from billing_runs.store import run_events
from shared.database.database import Database
from support.databases import FreshDatabase

EARLIER_EVENTS, EVENTS, AT_ONCE = 3_000, 4_000, 100
READS_PER_EVENT_MAX = 5
RUN = """
insert into runs (
  run_id, kind, process_type, scope, invoice_date, grouping, skip_validation_rules, recompute_dates_at_validation,
  incremental, on_rejected, on_suspect, release_first, description, status, execution, disabled)
select run_id, 'exceptional', 'manual', '{}', '2026-11-30', 'billing_event', false, false, false, 'none', 'none', false,
  '', 'new', 'idle', false
from unnest(array['EARLIER', 'NEW']) as run_id
"""
EARLIER = """
insert into run_events (run_id, billing_event_id, state, claimed)
select 'EARLIER', 'E-' || place, 'validated', true from generate_series(1, $1) as place
"""
COUNT_NOW = "select pg_stat_force_next_flush()"
READS = "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_all_tables where relname = 'run_events'"


async def test_a_run_that_statistics_do_not_know_reads_each_event_a_few_times(
    store: Database, billing_runs_database: FreshDatabase
) -> None:
    async with store.transaction() as work:
        await work.connection.execute(RUN)
        await work.connection.execute(EARLIER, EARLIER_EVENTS)
    administrator = await asyncpg.connect(billing_runs_database.administrator_url)
    await administrator.execute("analyze billing_runs.run_events")
    events = [f"N-{place:05}" for place in range(1, EVENTS + 1)]
    async with store.transaction() as work:
        await run_events.select_events(work.connection, "NEW", events)
        await work.connection.execute(COUNT_NOW)
    reads_before = await administrator.fetchval(READS)

    taken: list[str] = []
    for _ in range(EVENTS // AT_ONCE):
        async with store.transaction() as work:
            ids = await run_events.take_selected(work.connection, "NEW", limit=AT_ONCE)
            await run_events.mark_claimed(work.connection, "NEW", ids)
            await work.connection.execute(COUNT_NOW)
        taken += ids
    reads = await administrator.fetchval(READS) - reads_before
    await administrator.close()

    assert taken == events
    assert reads <= READS_PER_EVENT_MAX * EVENTS
