"""Whether the broker answers, as health checks see it."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.messaging import broker_pulse
from shared.messaging.broker_pulse import BrokerPulse
from support.waiting import wait_until


class Broker:
    """Answers, refuses, is cancelled from inside or says nothing, as told."""

    def __init__(self) -> None:
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.error: BaseException | None = None

    async def start(self) -> None:
        await self.describe_cluster()

    async def close(self) -> None:
        pass

    async def describe_cluster(self) -> dict[str, Any]:
        await self.thawed.wait()
        if self.error is not None:
            raise self.error
        return {}


async def trouble(pulse: BrokerPulse) -> str | None:
    try:
        await pulse.check()
    except RuntimeError as error:
        return str(error)
    return None


@pytest.mark.parametrize("error", [KafkaConnectionError(), OSError(), asyncio.CancelledError()])
async def test_a_broker_that_goes_after_it_was_reached_is_noticed_and_so_is_its_return(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(broker_pulse, "LOOK_SECONDS", 0.0)
    broker: Any = Broker()
    now = 0.0
    pulse = BrokerPulse(lambda: broker, clock=lambda: now)
    assert await trouble(pulse) == "not reached yet"
    running = asyncio.create_task(pulse.run())

    async def well() -> bool:
        return await trouble(pulse) is None

    async def refused() -> bool:
        return await trouble(pulse) == f"cannot be asked: {type(error).__name__}"

    await wait_until(well, what="a broker that answers")
    broker.error = error
    await wait_until(refused, what="the refusal")
    broker.error = None
    await wait_until(well, what="its return")
    broker.thawed.clear()

    async def silent() -> bool:
        nonlocal now
        now += broker_pulse.ANSWER_SECONDS_MAX
        return (await trouble(pulse) or "").startswith("no answer for")

    await wait_until(silent, what="the silence of a frozen broker")
    broker.thawed.set()
    await wait_until(well, what="its waking")
    running.cancel()
