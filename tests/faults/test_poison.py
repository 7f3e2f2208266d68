"""Bad records amid good ones: all of them are put aside, and the good ones are not held up (domain.md section 7)."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sluice.broker_options import broker_options
from support.books.fact_log import DEAD_LETTER_TOPICS, headers_of
from support.books.quiet import wait_until_quiet
from support.load.broker_clients import Sender, read_whole
from support.load.calls import Calls
from support.load.driver import LoadDriver
from support.load.plan import EVENTS_TOPIC, GENERATED, Event, Kind
from support.load.poison import KINDS, event_body, poison, too_large
from support.load.records import cloud_event
from support.trial import Trial


@pytest.mark.parametrize(
    ("share", "events"),
    [
        pytest.param(0.1, 400, id="10-percent"),
        pytest.param(0.01, 10_000, id="1-percent-long", marks=pytest.mark.slow),
        pytest.param(0.1, 10_000, id="10-percent-long", marks=pytest.mark.slow),
    ],
)
async def test_bad_records_become_dead_letters_and_hold_nothing_up(
    trial: Trial, share: float, events: int
) -> None:
    plan = trial.plan(events=events)
    bad = [poison(plan.code, number) for number in range(max(len(KINDS), int(events * share)))]
    bad += [too_large(f"{plan.code}-LARGE-{number}") for number in range(2)]
    before = await _letters(trial)

    async def mix_in(driver: LoadDriver) -> None:
        for number, record in enumerate(bad):
            await driver.wait_until_sent(events * number // len(bad))
            await driver.send([record])

    await trial.hold(plan, events_per_second=200, during=mix_in)
    letters = [letter for letter in await _all_letters(trial) if _place(letter) not in before]
    assert sorted(_bytes(letter) for letter in letters) == sorted(_bytes(record) for record in bad)
    assert all(json.loads(headers_of(letter)["dl_errors"]) for letter in letters), "each says why, by field"


async def test_an_id_that_comes_again_with_another_payload_is_a_dead_letter(trial: Trial) -> None:
    plan = trial.plan(events=0)
    event = Event(f"{plan.code}-SAME", plan.projects[0], Kind.WAITING, (1_00,))
    first = event.generated()
    body = {**json.loads(first.value or b""), "customer_reference": "another"}
    other = cloud_event(EVENTS_TOPIC, event.project.project_id, GENERATED, first.message_id, body)
    before = await _letters(trial)
    async with Sender(_options(trial)) as sender:
        await sender.send([*plan.sources(), first, other, first])
    await wait_until_quiet(trial.system)
    letters = [letter for letter in await _all_letters(trial) if _place(letter) not in before]
    assert [letter.value for letter in letters] == [other.value]
    trial.note_sent(*plan.sources(), first, other)
    assert await trial.differences() == []


async def test_a_mended_dead_letter_is_taken_when_it_is_replayed(trial: Trial, tmp_path: Path) -> None:
    plan = trial.plan(events=0)
    project = plan.projects[0]
    event_id = f"{plan.code}-MENDED"
    good = event_body(
        event_id, project_id=project.project_id, item={"business_record_id": project.record_id(0)}
    )
    bad = event_body(
        event_id,
        project_id=project.project_id,
        item={"business_record_id": project.record_id(0), "amount": 10.5},
    )
    record = cloud_event(EVENTS_TOPIC, project.project_id, GENERATED, f"{event_id}:1", bad)
    async with Sender(_options(trial)) as sender:
        await sender.send([*plan.sources(), record])
    trial.note_sent(*plan.sources(), record)
    await wait_until_quiet(trial.system)
    (letter,) = [each for each in await _all_letters(trial) if each.value == record.value]
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps(good), encoding="utf-8")
    place = f"{letter.partition}:{letter.offset}"
    await _command(trial, "replay", "release", place, "--value", str(mended))
    async with Calls(trial.system) as calls:
        answer = await calls.until_answered("release", "GET", f"/billing-events/{event_id}", statuses={200})
    assert (answer.json()["stage"], answer.json()["summary_amount"]) == ("awaiting_release", "10.00")
    assert await trial.differences() == []


async def _command(trial: Trial, *arguments: str) -> Any:
    """What `sluice dead-letters … --json` prints."""
    program = Path(sys.executable).with_name("sluice")
    command = [str(program), "dead-letters", *arguments, "--json", "--data", str(trial.system.state.data)]
    answer = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=240, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def _options(trial: Trial) -> dict[str, Any]:
    return broker_options(trial.system.infrastructure.broker.bootstrap_servers)


async def _letters(trial: Trial) -> set[tuple[str, int, int]]:
    return {_place(letter) for letter in await _all_letters(trial)}


async def _all_letters(trial: Trial) -> list[Any]:
    return await read_whole(_options(trial), DEAD_LETTER_TOPICS)


def _place(letter: Any) -> tuple[str, int, int]:
    return letter.topic, letter.partition, letter.offset


def _bytes(record: Any) -> tuple[bytes, bytes]:
    """Key and value: what a letter has in common with its record."""
    return record.key or b"", record.value or b""
