"""The running system that is measured."""

from collections.abc import Iterator

import pytest

from sluice.system import System
from support.running import running_system


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """The whole system, for a module only: the whole way's limit is written from the rows that the system holds."""
    with running_system() as running:
        yield running
