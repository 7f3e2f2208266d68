"""One system for all fault tests: what an earlier fault left behind would show in the later ones' books."""

from collections.abc import Iterator

import pytest

from support.trial import Trial, running_trial


@pytest.fixture(scope="package")
def trial() -> Iterator[Trial]:
    """The system under test, with everything that it was given."""
    with running_trial() as running:
        yield running


@pytest.fixture(scope="package")
async def sound(trial: Trial) -> Trial:
    """The same system after a load without faults: it has rows and messages of every kind."""
    await trial.hold(trial.plan(events=260), events_per_second=200)
    return trial
