"""Sends a plan's feed and commands at a rate, by Kafka and HTTP only, and answers facts as an outsider would."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import ConsumerRecord

from sluice.broker_options import broker_options
from sluice.system import System
from support.load.broker_clients import Follower, Sender
from support.load.calls import Calls
from support.load.commands import billing_event_command, job_command, release_command
from support.load.expectation import user_of
from support.load.plan import Event, Kind, Plan
from support.load.records import Record, cloud_event
from support.load.runs import RunDriver
from support.load.world import company_id, company_settings
from support.waiting import wait_until

FACT_TOPICS: Final = ("release.events", "accounting.events", "billing-runs.events")
FINISH_SECONDS_MAX: Final = 300.0
SEND_ALL_SECONDS_MAX: Final = 600.0
HTTP_WORKERS: Final = 8

_TICK_SECONDS: Final = 0.05
_BY_COMMAND: Final = frozenset(
    {Kind.COMMAND, Kind.CREDIT, Kind.SPLIT, Kind.REVERTED, Kind.ON_DEMAND, Kind.RUN}
)
_BY_JOB: Final = frozenset({Kind.JOB, Kind.FAILING_JOB, Kind.AND_INVOICE})
_AFTER_RELEASE: Final = frozenset({Kind.ON_DEMAND, Kind.RUN})


class LoadDriver:
    """Drives one plan against one system. Entered, the plan's sources are known; `run` sends all the rest."""

    def __init__(self, system: System, plan: Plan, *, events_per_second: float) -> None:
        self._plan = plan
        self._rate = events_per_second
        self._options = broker_options(system.infrastructure.broker.bootstrap_servers)
        self._calls = Calls(system)
        self._events = {event.event_id: event for event in plan.events}
        self._awaiting: dict[str, set[str]] = {}
        self._unreleased: dict[str, set[str]] = {}
        self._to_do = {step for event in plan.events for step in _steps_of(event)}
        self._outgoing: deque[Record] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = asyncio.Semaphore(HTTP_WORKERS)
        self._http_may_go = asyncio.Event()
        self._http_may_go.set()
        self._stack = AsyncExitStack()
        self._runs: dict[str, RunDriver] = {}
        self.events_sent = 0

    async def __aenter__(self) -> Self:
        stack = self._stack
        self._sender = await stack.enter_async_context(Sender(self._options))
        self._follower = await stack.enter_async_context(
            Follower(self._options, FACT_TOPICS, self._on_record)
        )
        await stack.enter_async_context(self._calls)
        for group, events in self._plan.groups(*_BY_JOB, *_AFTER_RELEASE).items():
            self._awaiting[group] = {event.event_id for event in events}
            self._unreleased[group] = {event.event_id for event in events}
        await self._sender.send(list(self._plan.sources()))
        path = f"/companies/{company_id(self._plan.code)}/settings"
        await self._calls.until_answered(
            "accounting-connector", "PUT", path, company_settings(), statuses={200}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def sent(self) -> Sequence[Record]:
        """Everything that was sent, in order; what was sent again because of a failure is in it once."""
        return self._sender.sent

    async def run(self, *, seconds: float = FINISH_SECONDS_MAX) -> None:
        """Send all events at the rate and all commands that answer to facts. Raises AssertionError if some never can.

        `seconds` is how long the commands may take after the last event.
        """
        self._start(self._send_outgoing())
        started = time.monotonic()
        sent = 0
        while sent < len(self._plan.events):
            due = min(len(self._plan.events), int((time.monotonic() - started) * self._rate) + 1)
            records = [record for event in self._plan.events[sent:due] for record in _first_records(event)]
            await self._sender.send(records)
            sent = self.events_sent = due
            await asyncio.sleep(_TICK_SECONDS)
        await wait_until(self._is_done, seconds=seconds, what=f"everything that {self._plan.code} has to do")

    async def send(self, records: Sequence[Record]) -> None:
        """Send something beside the plan."""
        await self._sender.send(records)

    def hold_http(self, held: bool = True) -> None:
        """Keep releases over HTTP back, or let them go."""
        if held:
            self._http_may_go.clear()
        else:
            self._http_may_go.set()

    async def wait_until_sent(self, events: int) -> None:
        """Wait until this many events are on their way."""

        async def are_sent() -> bool:
            return self.events_sent >= events

        await wait_until(are_sent, seconds=SEND_ALL_SECONDS_MAX, what=f"{events} events on their way")

    async def wait_until_http_is_held(self, releases: int) -> None:
        """Wait until this many releases over HTTP wait to be let go, and nothing else is left to do."""

        async def are_held() -> bool:
            return len(self._to_do) == releases and all(step.endswith(" answered") for step in self._to_do)

        await wait_until(are_held, seconds=FINISH_SECONDS_MAX, what=f"{releases} releases to hold back")

    async def has_no_http_left(self) -> bool:
        """Whether every release over HTTP has been answered."""
        return not any(step.startswith("http ") for step in self._to_do)

    @property
    def left(self) -> list[str]:
        """What has not been done yet."""
        return sorted(self._to_do)

    async def _is_done(self) -> bool:
        self._follower.check()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()
        return not self._to_do and not self._outgoing

    def _start(self, work: Any) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _send_outgoing(self) -> None:
        while True:
            records = [self._outgoing.popleft() for _ in range(min(len(self._outgoing), 500))]
            if records:
                await self._sender.send(records)
            await asyncio.sleep(_TICK_SECONDS / 2)

    async def _on_record(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        message_type = next(
            (value or b"" for name, value in record.headers if name == "ce_type"), b""
        ).decode()
        body = json.loads(record.value or b"{}")
        if message_type in (
            "release.billing-event.registered.v1",
            "release.billing-event.changed.v1",
        ):
            told = body["billing_event"]
            if told["stage"] == "awaiting_release" and told["billing_event_id"] in self._events:
                self._on_awaiting(self._events[told["billing_event_id"]])
        elif message_type == "release.billing-event.released.v1":
            self._on_released(self._events.get(body["billing_event"]["billing_event_id"]))
        elif message_type == "release.billing-event.invoiced.v1":
            self._on_invoiced(self._events.get(body["billing_event_id"]))
        elif message_type.startswith("billing-runs.run.") and body["run_id"] in self._runs:
            self._runs[body["run_id"]].on_fact(message_type, body)

    def _on_awaiting(self, event: Event) -> None:
        if event.kind in _BY_COMMAND or (event.kind is Kind.HOT and not _is_by_http(event)):
            self._do(f"release {event.event_id}", release_command(event))
        elif event.kind is Kind.HTTP or event.kind is Kind.HOT:
            if (step := f"http {event.event_id}") in self._to_do:
                self._to_do.discard(step)
                self._to_do.add(f"{step} answered")
                self._start(self._release_over_http(event))
        elif event.kind in _BY_JOB and event.group is not None:
            left = self._awaiting[event.group]
            left.discard(event.event_id)
            if not left:
                self._do(
                    f"job {event.group}", job_command(event.group, self._plan.groups(event.kind)[event.group])
                )

    def _on_released(self, event: Event | None) -> None:
        if event is None or event.kind not in _AFTER_RELEASE or event.group is None:
            return
        left = self._unreleased[event.group]
        left.discard(event.event_id)
        if not left and (step := f"{event.kind.value} {event.group}") in self._to_do:
            self._to_do.discard(step)
            self._to_do.add(f"{step} ended")
            events = self._plan.groups(event.kind)[event.group]
            self._start(
                self._process_on_demand(event.group, events)
                if event.kind is Kind.ON_DEMAND
                else self._drive_run(event.group, events)
            )

    def _on_invoiced(self, event: Event | None) -> None:
        if event is not None and event.kind is Kind.REVERTED:
            body = {"billing_event_id": event.event_id, "requested_by": user_of(self._plan.code)}
            self._do(f"revert {event.event_id}", billing_event_command("revert", event, body))

    def _do(self, step: str, command: Record) -> None:
        if step in self._to_do:
            self._to_do.discard(step)
            self._outgoing.append(command)

    async def _release_over_http(self, event: Event) -> None:
        """Ask until there is an answer, with the same key: an answer that was lost is given again."""
        expected = {200} if event.kind is Kind.HTTP else {200, 409}
        await self._http_may_go.wait()
        async with self._http:
            answer = await self._calls.until_answered(
                "release",
                "POST",
                f"/billing-events/{event.event_id}/release",
                {"on_cap": "refuse"},
                statuses=expected,
                key=f"{event.event_id}:release",
            )
        if answer.status_code == 409:
            assert answer.json()["code"] == "no_item_fits", answer.text
        self._to_do.discard(f"http {event.event_id} answered")

    async def _process_on_demand(self, group: str, events: Sequence[Event]) -> None:
        await self._wait_for_connector(events)
        body = {
            "process_run_id": group,
            "select": {"billing_event_ids": [event.event_id for event in events]},
            "requested_by": user_of(group),
        }
        command = cloud_event(
            "accounting.commands", group, "accounting.process-run.start.v1", f"{group}:start", body
        )
        self._outgoing.append(command)
        self._to_do.discard(f"{Kind.ON_DEMAND.value} {group} ended")

    async def _drive_run(self, group: str, events: Sequence[Event]) -> None:
        driver = RunDriver(group, [event.event_id for event in events], self._calls, self._outgoing.append)
        self._runs[group] = driver
        await self._wait_for_connector(events)
        await driver.drive()
        self._to_do.discard(f"{Kind.RUN.value} {group} ended")

    async def _wait_for_connector(self, events: Sequence[Event]) -> None:
        """Wait until the connector has read of the releases: what a user sees on its page, who then asks."""
        for event in events:
            path = f"/billing-events/{event.event_id}/eligibility"
            await self._calls.until_true("accounting-connector", path, lambda body: body["eligible"])


def _is_by_http(event: Event) -> bool:
    """Half of those that want one cap come by HTTP, so that they meet in the database."""
    return event.event_id.endswith(("1", "3", "5", "7", "9"))


def _first_records(event: Event) -> list[Record]:
    records = [event.generated()]
    if event.kind is Kind.BLIND:
        records.append(release_command(event))
    elif event.kind is Kind.DELETED:
        records.append(event.deleted())
    return records


def _steps_of(event: Event) -> list[str]:
    """What the driver has yet to do about an event after it was sent."""
    if event.kind is Kind.HTTP or (event.kind is Kind.HOT and _is_by_http(event)):
        return [f"http {event.event_id}"]
    if event.kind is Kind.HOT:
        return [f"release {event.event_id}"]
    steps = []
    if event.kind in _BY_COMMAND:
        steps.append(f"release {event.event_id}")
    if event.kind is Kind.REVERTED:
        steps.append(f"revert {event.event_id}")
    if event.kind in _BY_JOB:
        steps.append(f"job {event.group}")
    if event.kind in _AFTER_RELEASE:
        steps.append(f"{event.kind.value} {event.group}")
    return steps
