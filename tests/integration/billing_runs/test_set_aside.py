"""No command that breaks a worker's step stops those of other runs: it is set aside, told, and tried again."""

from typing import Any

import pytest

from billing_runs.handlers.commands import Commands
from integration.billing_runs.driver import Connector, Runs, command
from shared.database.database import Database
from shared.set_aside import IsolatedStep


async def _refused(store: Database) -> list[bytes]:
    """The runs of which a command was refused, in order."""
    query = "select aggregateid from outbox where type = 'billing-runs.run.refused.v1' order by seq"
    return [row["aggregateid"] for row in await store.pool.fetch(query)]


async def test_commands_of_one_run_that_cannot_be_done_stop_no_others(
    store: Database, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(store, connector, wait_seconds=0.0)
    await runs.command(command("process", "R-1"), command("process", "R-2"))
    look = Commands._expire

    async def break_after_picking(self: Commands, work: Any, picked: Any) -> bool:
        more = await look(self, work, picked)
        if "R-1" in picked.ids:
            raise KeyError("R-1")
        return more

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "_expire", break_after_picking)
        step = IsolatedStep(store, runs.commands.look_again, queue="command", facts="billing-runs")
        assert await step()
    assert await _refused(store) == [b"R-2"]
    assert await store.pool.fetchval("select item_id from set_aside_work") == "R-1"
    assert (
        await store.pool.fetchval("select count(*) from outbox where type = 'billing-runs.work.pending.v1'")
        == 1
    )
    await step()
    assert await _refused(store) == [b"R-2"]
    await store.pool.execute("update set_aside_work set try_at = now()")
    await step()
    assert await _refused(store) == [b"R-2", b"R-1"]
