"""One system for all fault tests: what an earlier fault left behind would show in the later ones' books."""

from collections.abc import Iterator

import pytest

from support.trial import Trial, running_trial


@pytest.fixture(scope="session")
def trial() -> Iterator[Trial]:
    """The system under test, with everything that it was given."""
    with running_trial() as running:
        yield running
