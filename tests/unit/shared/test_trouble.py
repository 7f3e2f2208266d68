"""Each change of what keeps a thing from its work is told once, whoever tries it."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from shared import service, workers
from shared.trouble import Trouble
from shared.workers import Worker
from support.waiting import wait_until


def test_a_change_is_told_and_a_repeat_is_not() -> None:
    trouble = Trouble()
    assert not trouble.ends()
    assert [trouble.begins(reason) for reason in ("away", "away", "full", "away")] == [
        True,
        False,
        True,
        True,
    ]
    assert [trouble.ends(), trouble.ends()] == [True, False]
    assert trouble.begins("away")


@pytest.mark.parametrize("error", [ConnectionError(), ZeroDivisionError()])
async def test_a_worker_says_once_that_it_fails_and_once_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(workers, "BACKOFF_SECONDS_FIRST", 0.0)
    tries, broken = 0, True

    async def step() -> bool:
        nonlocal tries
        tries += 1
        if broken:
            raise error
        return False

    async def tried_often() -> bool:
        return tries > 20

    async def well() -> bool:
        return worker.failure is None

    worker = Worker("mails", step)
    with capture_logs() as entries:
        running = asyncio.create_task(worker.run())
        await wait_until(tried_often, what="tries")
        broken = False
        await wait_until(well, what="a step that goes well")
        running.cancel()
    assert [(each["worker"], each["log_level"]) for each in entries] == [
        ("mails", "error" if isinstance(error, ZeroDivisionError) else "warning"),
        ("mails", "info"),
    ]


async def test_a_service_that_starts_without_a_broker_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BROKER_BACKOFF_SECONDS_FIRST", 0.0)
    reaching = service.Reaching()
    with capture_logs() as entries:
        for error in (KafkaConnectionError(), KafkaConnectionError(), OSError(), OSError()):
            await reaching.wait(error)
    assert [each["reason"] for each in entries] == ["KafkaConnectionError", "OSError"]
