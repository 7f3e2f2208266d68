"""What has failed is tried again after waits that grow up to a limit, and begin anew once it has succeeded."""

from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff


def test_waits_double_up_to_the_limit_with_jitter_below() -> None:
    backoff = Backoff(0.5, 3.0)
    for full_seconds in (0.5, 1.0, 2.0, 3.0, 3.0):
        assert full_seconds / 2 <= backoff.failed() <= full_seconds


@given(st.integers(0, 5_000))
def test_a_success_brings_the_first_wait_back_however_long_it_failed(failures: int) -> None:
    backoff = Backoff(0.1, 5.0)
    for _ in range(failures):
        assert backoff.failed() <= 5.0
    backoff.succeeded()
    assert 0.05 <= backoff.failed() <= 0.1
