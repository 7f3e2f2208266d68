"""No event or command that breaks a worker's step stops others: it is set aside, told, and tried again (section 7)."""

from typing import Any

import pytest

from accounting_connector.handlers import auto_pass, claims, commands
from accounting_connector.handlers.assessing import assess_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.workers import _step
from integration.accounting_connector.driver import ConnectorDriver, changed, claim, event, words
from shared.set_aside import IsolatedStep


def _step_of(connector: ConnectorDriver, work: Any, queue: str) -> IsolatedStep:
    return _step(connector.database, connector.deployment, work, queue)


async def _try_now(connector: ConnectorDriver) -> None:
    await connector.database.pool.execute("update set_aside_work set try_at = now()")


async def test_an_event_that_breaks_auto_pass_stops_neither_its_act_nor_others(
    connector: ConnectorDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        await connector.release(
            changed(event(f"BE-{number}", auto_pass_to_accounting=True), causation_id="project-2")
        )
    await connector.let_time_pass()

    async def break_on_one(connection: Any, events: Any, *rest: Any) -> Any:
        if any(each.billing_event_id == "BE-2" for each in events):
            raise KeyError("rate")
        return await assess_events(connection, events, *rest)

    monkeypatch.setattr("accounting_connector.handlers.auto_pass.assess_events", break_on_one)
    step = _step_of(connector, auto_pass.work_due, "auto_pass")
    assert await step()
    assert not await step()
    documents = await connector.facts("validated")
    assert sorted(each for document in documents for each in document["billing_event_ids"]) == [
        "BE-1",
        "BE-3",
    ]
    (told,) = await connector.facts("pending")
    assert (told["kind"], told["id"], told["reason"]) == ("auto_pass", "BE-2", "internal_error: KeyError")

    monkeypatch.setattr("accounting_connector.handlers.auto_pass.assess_events", assess_events)
    await _try_now(connector)
    assert await step()
    assert len(await connector.facts("validated")) == 3
    assert words(await connector.facts())[-1] == "recovered"


async def test_a_waiting_command_that_cannot_be_done_stops_no_others(
    connector: ConnectorDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connector.command(claim("R-1", "BE-1"), claim("R-2", "BE-2"))
    await connector.let_time_pass()
    decide = claims.claim

    async def break_on_one(work: Any, deployment: Deployment, body: Any, *rest: Any) -> bool:
        if body.billing_run_id == "R-1":
            raise ValueError
        return await decide(work, deployment, body, *rest)

    monkeypatch.setattr(claims, "claim", break_on_one)
    step = _step_of(connector, commands.work_waiting, "command")
    for _ in range(2):
        assert await step()
    assert not await step()
    assert [fact["billing_run_id"] for fact in await connector.facts("claimed")] == ["R-2"]
    assert len(await connector.facts("pending")) == 1

    monkeypatch.setattr(claims, "claim", decide)
    await _try_now(connector)
    assert await step()
    assert [fact["billing_run_id"] for fact in await connector.facts("claimed")] == ["R-2", "R-1"]
