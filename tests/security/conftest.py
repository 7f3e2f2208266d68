"""The four services, put together and with something in them."""

from collections.abc import AsyncIterator

import pytest

from support.databases import Databases
from support.seeding import Seeded, seeded_system


@pytest.fixture(scope="session")
async def seeded(databases: Databases) -> AsyncIterator[Seeded]:
    """One system for all tests of the folder: they look, or change what no other test looks at."""
    async with seeded_system(databases) as made:
        yield made
