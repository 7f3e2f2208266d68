"""An outside user of the running system."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sluice.demo.kafka import KafkaClient
from sluice.system import System
from support.outsider import Outsider
from support.running import running_system
from support.traces import TraceSink


@pytest.fixture(scope="package")
def trace_sink() -> Iterator[TraceSink]:
    """Where the whole system sends its spans."""
    with TraceSink() as sink:
        yield sink


@pytest.fixture(scope="package")
def system(trace_sink: TraceSink) -> Iterator[System]:
    """The whole system, for all tests of the folder."""
    with running_system(settings={"OTEL_EXPORTER_OTLP_ENDPOINT": trace_sink.endpoint}) as running:
        yield running


@pytest.fixture
async def outsider(system: System, unique_name: Callable[[str], str]) -> AsyncIterator[Outsider]:
    """The user, with a company, an account and a project that the system has heard of."""
    options = {"bootstrap_servers": system.infrastructure.broker.bootstrap_servers}
    async with KafkaClient(options) as kafka:
        user = Outsider(kafka, unique_name("E"))
        await user.world()
        yield user
