"""Every way in at the same moment, over the same events: one live document each (domain.md section 4).

The four services work side by side on real stores. Quick action, release and invoice, on demand, auto-pass and both
billing runs are asked for by HTTP, each at a moment that is drawn; the schedule becomes due at another.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from integration.release.driver import ACCOUNT, company
from integration.release.releasing import capped_project, worth
from support.books.checker import run_queries
from support.composed import ComposedSystem, compose_system
from support.databases import Databases
from support.records import message_record
from unit.shared.http.sample import Issuer

RELEASED = ["BE-1", "BE-2", "BE-3"]
AWAITING = ["BE-4", "BE-5", "BE-6"]
EVENTS = [*RELEASED, *AWAITING]
RUNS = ("R-1", "R-2")
ROUNDS_MAX = 12
CONNECTOR = "accounting-connector"

BECOME_DUE = "update accounting_connector.company_settings set changed_at = now() - interval '2 hours'"
LIVE = """
select event_id, count(*) as documents, min(status) as status, min(document_id) as document_id,
  min(billing_run_id) as run_id
from accounting_connector.documents cross join lateral unnest(billing_event_ids) as event_id
where status <> 'cancelled' group by event_id order by event_id
"""
FATES = "select run_id, billing_event_id, state from billing_runs.run_events order by 1, 2"
STATES = "select run_id, status, execution from billing_runs.runs"


@dataclass
class Racers:
    """What is asked of a system in a race, each thing at a moment that is drawn."""

    system: ComposedSystem
    administrator: "asyncpg.Connection[Any]"
    draw: random.Random

    async def _post(self, service: str, path: str, body: Any, *expected: int, method: str = "POST") -> Any:
        async with self.system.client(service) as client:
            answer = await client.request(method, path, json=body)
        assert answer.status_code in expected, answer.text
        return answer

    async def _moment(self) -> None:
        await self.system.rounds(self.draw.randint(0, ROUNDS_MAX))

    async def quick_action(self, event_id: str) -> None:
        """Release an event; somebody who is told that a job has it asks again."""
        await self._moment()
        while True:
            answer = await self._post("release", f"/billing-events/{event_id}/release", {}, 200, 409)
            if answer.status_code == 200:
                return
            if answer.json()["code"] == "already_released":
                return
            assert answer.json()["code"] == "queued", answer.text
            await self.system.rounds(1)

    async def release_and_invoice(self) -> None:
        await self._moment()
        body = {"select": {"billing_event_ids": AWAITING}, "mode": "background", "and_invoice": True}
        await self._post("release", "/release-jobs", body, 202)

    async def on_demand(self, event_ids: Sequence[str]) -> None:
        await self._moment()
        body = {"select": {"billing_event_ids": event_ids}}
        await self._post(CONNECTOR, "/process-runs", body, 202)

    async def set_flag(self, event_id: str) -> None:
        """Have a released event passed automatically; refused where it is invoiced by then."""
        await self._moment()
        body = {"auto_pass_to_accounting": True}
        await self._post("release", f"/billing-events/{event_id}", body, 200, 409, method="PATCH")

    async def schedule(self) -> None:
        await self._moment()
        await self.administrator.execute(BECOME_DUE)

    async def billing_run(self, run_id: str, scope: dict[str, Any]) -> None:
        await self._moment()
        body = {
            "run_id": run_id,
            "kind": "exceptional",
            "process_type": "full_automatic",
            "scope": scope,
            "invoice_date": "2026-11-30",
            "release_first": True,
        }
        await self._post("billing-runs", "/billing-runs", body, 201)
        await self._post("billing-runs", f"/billing-runs/{run_id}/process", None, 202)

    def both_runs(self) -> list[Any]:
        """One over the events by name, and one over those of their project."""
        first, second = RUNS
        return [
            self.billing_run(first, {"billing_event_ids": EVENTS}),
            self.billing_run(second, {"filter": {"project_id": "P-1"}}),
        ]

    async def documents_by_run(self) -> dict[str, str | None]:
        """Which run, if any, has made the one document of each event; it is validated, written back, and balances."""
        rows = await self.administrator.fetch(LIVE)
        assert [(row["event_id"], row["documents"], row["status"]) for row in rows] == [
            (each, 1, "validated") for each in EVENTS
        ]
        async with self.system.client("release") as client:
            for row in rows:
                event = (await client.get(f"/billing-events/{row['event_id']}")).json()
                assert (event["stage"], event["document_id"]) == ("invoiced", row["document_id"])
        assert [each.body for each in self.system.published if each.topic.endswith(".dead-letters")] == []
        assert await run_queries(self.administrator) == []
        return {row["event_id"]: row["run_id"] for row in rows}

    async def assert_runs_know(self, by_run: dict[str, str | None]) -> None:
        """Each run holds exactly the events whose documents it made, and has ended.

        One that has made none may be new again: its release step found that others had released the events before.
        """
        for run_id, *state in await self.administrator.fetch(STATES):
            may_be_new = run_id not in by_run.values() and state == ["new", "failed"]
            assert state == ["validated", "idle"] or may_be_new, run_id
        fates = await self.administrator.fetch(FATES)
        validated = {row["billing_event_id"]: row["run_id"] for row in fates if row["state"] == "validated"}
        assert validated == {event: run_id for event, run_id in by_run.items() if run_id is not None}
        assert {row["state"] for row in fates} <= {"validated", "left_out"}


@pytest.fixture
async def racers(
    databases: Databases, issuer: Issuer, request: pytest.FixtureRequest
) -> AsyncIterator[Racers]:
    """A system in which some events are released and some are not, one of these to be passed automatically."""
    made = databases.shared_by_all()
    system = await compose_system(made, issuer)
    flagged = {"auto_pass_to_accounting": True}
    await system.send(
        company(name="Survey Ltd"),
        message_record(ACCOUNT, {"account_id": "A-1", "version": 1, "name": "Port Authority"}),
        capped_project(),
        *(worth(each, "100.00") for each in EVENTS[:-1]),
        worth(EVENTS[-1], "100.00", **flagged),
    )
    async with system.client(CONNECTOR) as client:
        hourly = {"every": "hour", "at": "00:00", "weekday": None, "day": None}
        answer = await client.put("/companies/C-UK/settings", json={"schedule": hourly})
        assert answer.status_code == 200, answer.text
    administrator = await asyncpg.connect(made["release"].administrator_url)
    yield Racers(system, administrator, random.Random(request.node.name))
    await administrator.close()
    await system.close()
    databases.drop(made["release"])


def _seeds(often: int) -> list[Any]:
    return [pytest.param(seed, marks=pytest.mark.slow if seed >= often else ()) for seed in range(20)]


@pytest.mark.parametrize("seed", _seeds(2))
async def test_two_runs_and_every_other_way_in_at_once(racers: Racers, seed: int) -> None:
    await racers.system.send(
        *(message_record("release.billing-event.release.v1", {"billing_event_id": each}) for each in RELEASED)
    )
    await racers.system.race(
        *(racers.quick_action(each) for each in AWAITING),
        racers.release_and_invoice(),
        racers.on_demand(RELEASED),
        racers.set_flag(RELEASED[0]),
        racers.schedule(),
        *racers.both_runs(),
    )
    await racers.system.race(racers.on_demand(EVENTS))  # what was released too late for all others

    await racers.assert_runs_know(await racers.documents_by_run())


@pytest.mark.parametrize("seed", _seeds(1))
async def test_two_runs_that_release_first_at_once(racers: Racers, seed: int) -> None:
    """One of their jobs releases, the other's refusals are in its report; every event is in one of the two."""
    await racers.system.race(*racers.both_runs())

    by_run = await racers.documents_by_run()
    assert set(by_run.values()) - {None} <= set(RUNS)
    await racers.assert_runs_know(by_run)
    assert Counter(by_run.values())[None] <= 1  # the flagged one may have been passed before it was claimed
