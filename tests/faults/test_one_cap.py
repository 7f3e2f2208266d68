"""Many workers that want one cap at once: it is never passed, and what fits is released (domain.md section 3)."""

from decimal import Decimal

import pytest

from support.cap_race import race_for_one_cap
from support.load.calls import Calls
from support.load.world import written
from support.trial import Trial


@pytest.mark.parametrize(
    ("events", "fitting"),
    [
        pytest.param(192, 65, id="192-events"),
        pytest.param(4_000, 1_500, id="4000-events", marks=pytest.mark.slow),
    ],
)
async def test_64_http_workers_and_commands_on_one_cap_release_exactly_what_fits(
    trial: Trial, events: int, fitting: int
) -> None:
    race = await race_for_one_cap(trial, events=events, fitting=fitting)
    allowed = {(200, ""), (409, "no_item_fits"), (409, "already_released")}
    assert set(race.answers) <= allowed, race.answers
    async with Calls(trial.system) as calls:
        path = f"/projects/{race.project.project_id}/cap"
        cap = (await calls.until_answered("release", "GET", path, statuses={200})).json()
    assert cap["released"] == cap["bookings"] == written(race.project.bookings, race.project.currency)
    assert Decimal(cap["remaining"]) == 0
    assert await trial.differences() == []
