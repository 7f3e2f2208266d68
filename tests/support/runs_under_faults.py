"""A billing run whose services die while its steps are under way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from shared import failpoints
from sluice.broker_options import broker_options
from support.books.quiet import wait_until_quiet
from support.faults import FAILPOINTS, kill_at_random, spawn, wait_for_death
from support.load.broker_clients import Sender
from support.load.calls import Calls
from support.load.plan import Event, Kind, Plan
from support.load.records import cloud_event
from support.load.world import Project, account_id
from support.trial import Trial
from support.waiting import wait_until

RELEASE: Final = "release"
CONNECTOR: Final = "accounting-connector"
RUNS: Final = "billing-runs"
SERVICES: Final = (RELEASE, CONNECTOR, RUNS, "notifier")
STEP_SECONDS_MAX: Final = 300.0
CLAIM_EVENTS: Final = 10
"""Events of one claim in a service started by `claim_in_small_parts`."""

_KILLED_WITHIN_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.1
_TESTS: Final = Path(__file__).resolve().parents[1]
_RUN: Final = """
select run.status, run.execution, latest.step, latest.phase
from billing_runs.runs as run
left join lateral (
  select * from billing_runs.executions as one where one.run_id = run.run_id order by number desc limit 1
) as latest on true
where run.run_id = $1
"""
_REVIEWS: Final = """
select event.billing_event_id, document.document_id, document.review from billing_runs.run_documents as document
join billing_runs.run_events as event using (run_id, document_id) where run_id = $1 order by 1
"""
_MADE: Final = """
select event_id, document.status, count(file.document_id) as files
from accounting_connector.documents as document
cross join lateral unnest(billing_event_ids) as event_id
left join accounting_connector.document_files as file
  on file.document_id = document.document_id and file.format = 'xml' and file.state = 'ready'
where document.status <> 'cancelled' and event_id = any($1::text[])
group by document.document_id, event_id, document.status order by event_id
"""
_FATES: Final = (
    "select state, count(*) as events from billing_runs.run_events where run_id = $1 group by state"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step, the command that starts it with what that takes, the service that it waits for, and its end."""

    name: str
    command: str
    waits_for: str
    rests_in: str
    body: dict[str, str] = field(default_factory=dict)


def claim_in_small_parts() -> None:
    """Run the billing-runs service as ever, but that it sends one small claim at a time: a small run has several."""
    lines: Any = import_module("billing_runs.handlers.steps.lines")
    assert lines.MESSAGE_IDS_MAX > CLAIM_EVENTS, "parts are made otherwise now"
    assert lines.PARTS_PER_CHUNK > 1, "claims are sent otherwise now"
    lines.MESSAGE_IDS_MAX, lines.PARTS_PER_CHUNK = CLAIM_EVENTS, 1
    import_module("billing_runs.main").main()


@dataclass
class RunUnderFaults:
    """A run over events that await release, which it releases first."""

    trial: Trial
    run_id: str
    event_ids: Sequence[str]
    sender: Sender
    calls: Calls
    connection: "asyncpg.Connection[Any]"
    commands: int = 0

    async def command(self, what: str, **body: Any) -> None:
        """Send a command to the run: `run.process`."""
        self.commands += 1
        message_type, message_id = f"billing-runs.{what}.v1", f"{self.run_id}:{self.commands}"
        body = {"run_id": self.run_id, **body}
        await self.sender.send(
            [cloud_event("billing-runs.commands", self.run_id, message_type, message_id, body)]
        )

    async def start(self, step: Step) -> None:
        """Send the command that starts a step."""
        await self.command(f"run.{step.command}", **step.body)

    async def decide(self, action: str, *event_ids: str, **fields: Any) -> None:
        """Send a command to decide on the documents of these events."""
        await self.command(
            "documents.review", action=action, select=await self._documents(event_ids), **fields
        )

    async def refusal(self, action: str, **body: Any) -> str | None:
        """Ask for an action by HTTP: the code that it is refused with."""
        answer = await self.calls.ask(RUNS, "POST", f"/billing-runs/{self.run_id}/{action}", body or None)
        return str(answer.json()["code"]) if answer.status_code == 409 else None

    async def review(self, action: str, *event_ids: str, **fields: Any) -> list[str]:
        """Decide on the documents of these events by HTTP: what came of it, by document."""
        path = f"/billing-runs/{self.run_id}/documents/review"
        body = {"action": action, "select": await self._documents(event_ids), **fields}
        answer = await self.calls.ask(RUNS, "POST", path, body)
        assert answer.status_code == 200, answer.text
        return [each["code"] or each["result"] for each in answer.json()["results"]]

    async def _documents(self, event_ids: Sequence[str]) -> dict[str, list[str]]:
        rows = await self.connection.fetch(_REVIEWS, self.run_id)
        documents = {row["billing_event_id"]: row["document_id"] for row in rows}
        return {"document_ids": [documents[each] for each in event_ids]}

    @asynccontextmanager
    async def looked_at(self) -> AsyncIterator[None]:
        """Somebody looks at the run all the time: whatever dies, an answer tells of the whole run."""

        async def look() -> None:
            while True:
                answer = await self.calls.until_answered(
                    RUNS, "GET", f"/billing-runs/{self.run_id}", statuses={200}
                )
                assert {"run_id", "status", "execution"} <= answer.json().keys(), answer.text
                await asyncio.sleep(_LOOK_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(look())
            yield
            looking.cancel()

    async def wait_for(self, what: str, **wanted: str) -> None:
        """Wait until the run and its latest execution are so."""

        async def is_so() -> bool:
            row = await self.connection.fetchrow(_RUN, self.run_id)
            return row is not None and all(row[name] == value for name, value in wanted.items())

        await wait_until(is_so, seconds=STEP_SECONDS_MAX, what=f"{self.run_id}: {what}")

    async def wait_for_end_of(self, step: Step, status: str | None = None) -> None:
        """Wait until the run rests after this step; `status` if it is another than the step's own."""
        await self.wait_for(f"the end of {step.name}", execution="idle", status=status or step.rests_in)

    async def do(self, step: Step) -> None:
        """Have a step done with nothing in its way."""
        await self.start(step)
        await self.wait_for_end_of(step)

    async def die_in(
        self,
        step: Step,
        victims: Sequence[str],
        *,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start a step, and kill these services while it is under way, after something else was done meanwhile.

        The service that the step waits for is stopped, so that the step cannot end before; if it is a victim, it dies
        as it was.
        """
        with self._stopped(step.waits_for):
            await self.start(step)
            await self.wait_for(f"{step.name} under way", execution="running", step=step.name)
            if meanwhile is not None:
                await meanwhile()
            await self._kill(victims)
        self._start(victims)

    async def die_while_releasing_and_claiming(self, step: Step, victims: Sequence[str]) -> None:
        """The same in the release and in the step of the lines, which follows by itself.

        There the billing runs' service dies between two claims, and the other victims with it; where it is to live on,
        they die while it waits for its claims.
        """
        small_parts = {RUNS: ["-c", f"from {__name__} import claim_in_small_parts as run; run()"]}
        with ExitStack() as claims_wait:
            with self._stopped(step.waits_for):
                await self.start(step)
                await self.wait_for(f"{step.name} under way", execution="running", step=step.name)
                await self._kill(victims)
                self._start(victims, arguments=small_parts, points={RUNS: failpoints.BETWEEN_CLAIMS})
                if RUNS not in victims:
                    claims_wait.enter_context(self._stopped(CONNECTOR))
            try:
                if RUNS in victims:
                    await wait_for_death(self.trial.system.services[RUNS], failpoints.BETWEEN_CLAIMS)
                else:
                    await self.wait_for("claims under way", execution="running", step="invoice_lines")
            finally:
                await self._kill(victims)
                self._start(victims, arguments=small_parts)

    async def die_at_random(self, step: Step, random: Random) -> None:
        """Start a step; meanwhile, or just after it, each service dies once, at a moment of its own."""
        system = self.trial.system
        await asyncio.gather(
            self.start(step),
            *(
                kill_at_random(system, each, random=random, kills=1, pause_seconds=_KILLED_WITHIN_SECONDS)
                for each in SERVICES
            ),
        )

    async def made(self) -> list[tuple[str, str, int]]:
        """The documents that are not cancelled: of which event, their status, and how many XML files they have."""
        return [tuple(row) for row in await self.connection.fetch(_MADE, self.event_ids)]

    async def reviews(self, run_id: str | None = None) -> dict[str, str]:
        """What the review of each event's document says, in this run or another one."""
        rows = await self.connection.fetch(_REVIEWS, run_id or self.run_id)
        return {row["billing_event_id"]: row["review"] for row in rows}

    async def fates(self, run_id: str | None = None) -> dict[str, int]:
        """How many events have which fate in this run or another one."""
        rows = await self.connection.fetch(_FATES, run_id or self.run_id)
        return {row["state"]: row["events"] for row in rows}

    @contextmanager
    def _stopped(self, service: str) -> Iterator[None]:
        pid = self.trial.system.services[service].pid
        assert pid is not None, f"{service} does not run"
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):  # it was a victim
                os.kill(pid, signal.SIGCONT)

    async def _kill(self, victims: Sequence[str]) -> None:
        for victim in victims:
            self.trial.system.pause_watch(victim)
            await asyncio.to_thread(self.trial.system.services[victim].kill)

    def _start(
        self,
        victims: Sequence[str],
        *,
        arguments: Mapping[str, Sequence[str]] = MappingProxyType({}),
        points: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start them anew, with these arguments and failpoints by service; one that has a failpoint is not watched."""
        for victim in victims:
            settings = {"PYTHONPATH": str(_TESTS)} if victim in arguments else {}
            if victim in points:
                settings[FAILPOINTS] = points[victim]
            spawn(self.trial.system, victim, settings=settings, arguments=arguments.get(victim))
            if victim not in points:
                self.trial.system.resume_watch(victim)


@asynccontextmanager
async def created_run(trial: Trial, *, events: int) -> AsyncIterator[RunUnderFaults]:
    """A run that has been asked for, over events that are registered."""
    code = trial.plan(events=1).code
    project = Project(f"{code}-P", account_id(code, 0))
    planned = [Event(f"{code}-BE-{n:03}", project, Kind.WAITING, (100_00 + n,)) for n in range(events)]
    plan = Plan(code, [project], planned)
    infrastructure = trial.system.infrastructure
    connection = await asyncpg.connect(infrastructure.database.administrator_url)
    ids = [event.event_id for event in planned]
    try:
        async with (
            Sender(broker_options(infrastructure.broker.bootstrap_servers)) as sender,
            Calls(trial.system) as calls,
        ):
            run = RunUnderFaults(trial, f"{code}-RUN", ids, sender, calls, connection)
            await sender.send([*plan.sources(), *(event.generated() for event in planned)])
            await wait_until_quiet(trial.system)
            await run.command(
                "run.create",
                kind="exceptional",
                scope={"filter": {"project_id": project.project_id}},
                invoice_date="2026-11-30",
                release_first=True,
            )
            yield run
            trial.note_sent(*sender.sent)
    finally:
        await connection.close()
