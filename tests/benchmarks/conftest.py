"""The running system that is measured."""

from collections.abc import Iterator

import pytest

from sluice.system import System
from support.running import running_system


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """The whole system, for all tests of the folder."""
    with running_system() as running:
        yield running
