"""Many workers that want one cap at once: it is never passed, and what fits is released (domain.md section 3)."""

import asyncio
from collections import Counter
from random import Random

import asyncpg
import pytest

from sluice.broker_options import broker_options
from support.books.quiet import wait_until_quiet
from support.load.broker_clients import Sender
from support.load.calls import Calls
from support.load.driver import release_command
from support.load.plan import Event, Kind
from support.load.world import Project, account_id
from support.trial import Trial

_WORKERS = 64
_AMOUNT = 7_00
_RELEASED = "select released from release.project_totals where project_id = $1"


@pytest.mark.parametrize(
    ("events", "fitting"),
    [
        pytest.param(192, 65, id="192-events"),
        pytest.param(4_000, 1_500, id="4000-events", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
@pytest.mark.timeout(180)
async def test_64_http_workers_and_commands_on_one_cap_release_exactly_what_fits(
    trial: Trial, events: int, fitting: int
) -> None:
    plan = trial.plan(events=0)
    project = Project(f"{plan.code}-CAP", account_id(plan.code, 0), bookings=fitting * _AMOUNT)
    plan.projects.append(project)
    wanted = [Event(f"{plan.code}-E{number}", project, Kind.WAITING, (_AMOUNT,)) for number in range(events)]
    options = broker_options(trial.system.infrastructure.broker.bootstrap_servers)
    async with Sender(options) as sender, Calls(trial.system) as calls:
        await sender.send([*plan.sources(), *(event.generated() for event in wanted)])
        await wait_until_quiet(trial.system)
        random = Random(plan.code)
        asked = [*wanted, *random.sample(wanted, events // 4)]  # some are asked for twice
        random.shuffle(asked)
        by_command, by_http = asked[::8], [event for place, event in enumerate(asked) if place % 8]
        statuses: Counter[tuple[int, str]] = Counter()
        queue = iter(by_http)

        async def work() -> None:
            for event in queue:
                answer = await calls.ask("release", "POST", f"/billing-events/{event.event_id}/release", {})
                statuses[answer.status_code, answer.json().get("code", "")] += 1

        commands = [release_command(event) for event in by_command]
        await asyncio.gather(sender.send(commands), *(work() for _ in range(_WORKERS)))
        await wait_until_quiet(trial.system)
    trial.note_sent(*plan.sources(), *(event.generated() for event in wanted), *commands)
    assert set(statuses) <= {(200, ""), (409, "no_item_fits"), (409, "already_released")}, statuses
    connection = await asyncpg.connect(trial.system.infrastructure.database.administrator_url)
    try:
        released = await connection.fetchval(_RELEASED, project.project_id)
    finally:
        await connection.close()
    assert released * 100 == fitting * _AMOUNT
    assert await trial.differences() == []
