"""Services that die in every step of a billing run: it goes on, nothing is made twice or forgotten."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest

from sluice.broker_options import broker_options
from sluice.service_process import ServiceProcess
from support.books.quiet import wait_until_quiet
from support.faults import spawn, wait_until_ready
from support.load.broker_clients import Sender
from support.load.plan import Event, Kind, Plan
from support.load.records import cloud_event
from support.load.world import Project, account_id
from support.trial import Trial
from support.waiting import wait_until

CONNECTOR: Final = "accounting-connector"
SERVICES: Final = ("release", CONNECTOR, "billing-runs", "notifier")
EVENTS: Final = 40
STEP_SECONDS_MAX: Final = 300.0

STEPS: Final[tuple[tuple[str, str, dict[str, str], str], ...]] = (
    ("release", "process", {}, "invoice_lines_created"),
    ("invoices", "process", {}, "draft_invoices"),
    ("validation", "process", {}, "validated"),
    ("xml", "render", {"format": "xml"}, "validated"),
)
"""A step that is to be seen under way, the command that starts it, what that takes, and where the run rests next."""

_RUN: Final = """
select run.status, run.execution, latest.step, latest.status as outcome, latest.done
from billing_runs.runs as run
left join lateral (
  select * from billing_runs.executions as one where one.run_id = run.run_id order by number desc limit 1
) as latest on true
where run.run_id = $1
"""
_DOCUMENTS: Final = """
select event_id, count(*) as documents, count(file.document_id) as files
from accounting_connector.documents as document
cross join lateral unnest(billing_event_ids) as event_id
left join accounting_connector.document_files as file
  on file.document_id = document.document_id and file.format = 'xml' and file.state = 'ready'
where document.status = $2 and event_id like $1 || '-%'
group by event_id order by event_id
"""
_FATES: Final = (
    "select state, count(*) as events from billing_runs.run_events where run_id = $1 group by state"
)


@dataclass
class _Run:
    """A run over events that await release, which it releases first."""

    trial: Trial
    run_id: str
    events: Sequence[Event]
    sender: Sender
    connection: "asyncpg.Connection[Any]"
    commands: int = 0

    async def command(self, what: str, **body: Any) -> None:
        self.commands += 1
        message_type, message_id = f"billing-runs.run.{what}.v1", f"{self.run_id}:{self.commands}"
        body = {"run_id": self.run_id, **body}
        await self.sender.send(
            [cloud_event("billing-runs.commands", self.run_id, message_type, message_id, body)]
        )

    async def wait_for(self, what: str, **wanted: str) -> None:
        async def is_there() -> bool:
            row = await self.connection.fetchrow(_RUN, self.run_id)
            return row is not None and all(row[name] == value for name, value in wanted.items())

        await wait_until(is_there, seconds=STEP_SECONDS_MAX, what=f"{self.run_id}: {what}")

    async def die_in(self, step: str, command: str, body: dict[str, str], victims: Sequence[str]) -> None:
        """Start a step, and kill these services while it is under way.

        The connector is stopped meanwhile, so that the step cannot end before; if it is a victim, it dies as it was.
        """
        system = self.trial.system
        connector = system.services[CONNECTOR]
        for victim in victims:
            system.pause_watch(victim)
        _signal(connector, signal.SIGSTOP)
        try:
            await self.command(command, **body)
            await self.wait_for(f"{step} under way", execution="running")
        finally:
            for victim in victims:
                await asyncio.to_thread(system.services[victim].kill)
            if CONNECTOR not in victims:
                _signal(connector, signal.SIGCONT)
            for victim in victims:
                spawn(system, victim)
                system.resume_watch(victim)


def _signal(process: ServiceProcess, number: signal.Signals) -> None:
    assert process.pid is not None, f"{process.service.name} does not run"
    os.kill(process.pid, number)


@asynccontextmanager
async def _released_first(trial: Trial) -> AsyncIterator[_Run]:
    """A run that has been created over events that are registered."""
    code = trial.plan(events=1).code
    project = Project(f"{code}-P", account_id(code, 0))
    events = [Event(f"{code}-BE-{n:02}", project, Kind.WAITING, (100_00 + n,)) for n in range(EVENTS)]
    plan = Plan(code, [project], events)
    infrastructure = trial.system.infrastructure
    connection = await asyncpg.connect(infrastructure.database.administrator_url)
    try:
        async with Sender(broker_options(infrastructure.broker.bootstrap_servers)) as sender:
            run = _Run(trial, f"{code}-RUN", events, sender, connection)
            await sender.send([*plan.sources(), *(event.generated() for event in events)])
            await wait_until_quiet(trial.system)
            await run.command(
                "create",
                kind="exceptional",
                scope={"filter": {"project_id": project.project_id}},
                invoice_date="2026-11-30",
                release_first=True,
            )
            yield run
            trial.note_sent(*sender.sent)
    finally:
        await connection.close()


def _victims() -> list[Any]:
    every_one = pytest.param(SERVICES, id="all")
    return [every_one, *(pytest.param((each,), id=each, marks=pytest.mark.slow) for each in SERVICES)]


@pytest.mark.parametrize("victims", _victims())
async def test_a_run_goes_on_when_services_die_in_each_of_its_steps(
    trial: Trial, victims: Sequence[str]
) -> None:
    async with _released_first(trial) as run:
        for step, command, body, status in STEPS:
            await run.die_in(step, command, body, victims)
            await run.wait_for(f"the end of {step}", execution="idle", status=status)
        await wait_until_ready(trial.system)
        made = await run.connection.fetch(_DOCUMENTS, run.events[0].event_id.partition("-")[0], "validated")
        fates = {row["state"]: row["events"] for row in await run.connection.fetch(_FATES, run.run_id)}

    assert [(row["event_id"], row["documents"], row["files"]) for row in made] == [
        (event.event_id, 1, 1) for event in run.events
    ]
    assert fates == {"validated": EVENTS}
    differences = await trial.differences()
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("victims", _victims())
async def test_a_cancel_goes_on_when_services_die_in_it(trial: Trial, victims: Sequence[str]) -> None:
    async with _released_first(trial) as run:
        for step, command, body, status in STEPS[:2]:
            await run.command(command, **body)
            await run.wait_for(f"the end of {step}", execution="idle", status=status)
        await run.die_in("cancellation", "cancel", {"billing_events": "cancel"}, victims)
        await run.wait_for("its end", execution="idle", status="cancelled")
        await wait_until_ready(trial.system)
        left = await run.connection.fetch(_DOCUMENTS, run.events[0].event_id.partition("-")[0], "draft")
        fates = {row["state"]: row["events"] for row in await run.connection.fetch(_FATES, run.run_id)}

    assert left == []
    assert fates == {"cancelled": EVENTS}
    differences = await trial.differences()
    assert not differences, "\n".join(differences)
