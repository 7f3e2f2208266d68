"""A race for one cap: HTTP workers and commands that want more of it, at the same time, than there is."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

import httpx

from sluice.broker_options import broker_options
from support.books.quiet import wait_until_quiet
from support.load.broker_clients import Sender
from support.load.calls import Calls
from support.load.commands import release_command
from support.load.plan import Event, Kind
from support.load.world import Project, account_id
from support.trial import Trial

WORKERS: Final = 64
AMOUNT: Final = 7_00
UNANSWERED: Final = (0, "unanswered")


@dataclass(frozen=True, slots=True)
class Race:
    """What came of it: the project, and how often each status and code was answered."""

    project: Project
    answers: Counter[tuple[int, str]]


async def race_for_one_cap(trial: Trial, *, events: int, fitting: int) -> Race:
    """Let WORKERS workers and a stream of commands release so many equal events of a cap that fits only some of them.

    One in four is asked for twice. Returns once all is quiet; what was sent is noted.
    """
    plan = trial.plan(events=0)
    project = Project(f"{plan.code}-CAP", account_id(plan.code, 0), bookings=fitting * AMOUNT)
    plan.projects.append(project)
    wanted = [Event(f"{plan.code}-E{number}", project, Kind.WAITING, (AMOUNT,)) for number in range(events)]
    fed = [*plan.sources(), *(event.generated() for event in wanted)]
    random = Random(plan.code)
    asked = [*wanted, *random.sample(wanted, events // 4)]
    random.shuffle(asked)
    commands = [release_command(event) for event in asked[::8]]
    over_http = iter([event for place, event in enumerate(asked) if place % 8])
    answers: Counter[tuple[int, str]] = Counter()
    options = broker_options(trial.system.infrastructure.broker.bootstrap_servers)
    async with Sender(options) as sender, Calls(trial.system) as calls:
        await sender.send(fed)
        await wait_until_quiet(trial.system)

        async def work() -> None:
            for event in over_http:
                try:
                    answer = await calls.ask(
                        "release", "POST", f"/billing-events/{event.event_id}/release", {}
                    )
                except httpx.HTTPError:
                    answers[UNANSWERED] += 1
                else:
                    answers[answer.status_code, answer.json().get("code", "")] += 1

        await asyncio.gather(sender.send(commands), *(work() for _ in range(WORKERS)))
        await wait_until_quiet(trial.system)
    trial.note_sent(*fed, *commands)
    return Race(project, answers)
