"""Asking a broker whether it is there."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

Result = TypeVar("Result")


def run_blocking(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread and loop of its own: callers inside a running loop may wait too."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread
            failure.append(error)

    thread = threading.Thread(target=run, name="run-blocking")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def broker_answers(bootstrap_servers: str) -> bool:
    """Whether a broker at this address answers a metadata request and is part of its cluster."""
    return run_blocking(_answers(bootstrap_servers))


async def _answers(bootstrap_servers: str) -> bool:
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
