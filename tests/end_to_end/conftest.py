"""An outside user of the running system."""

from collections.abc import AsyncIterator, Callable

import pytest

from sluice.demo.kafka import KafkaClient
from sluice.system import System
from support.outsider import Outsider


@pytest.fixture
async def outsider(system: System, unique_name: Callable[[str], str]) -> AsyncIterator[Outsider]:
    """The user, with a company, an account and a project that the system has heard of."""
    options = {"bootstrap_servers": system.infrastructure.broker.bootstrap_servers}
    async with KafkaClient(options) as kafka:
        user = Outsider(kafka, unique_name("E"))
        await user.world()
        yield user
