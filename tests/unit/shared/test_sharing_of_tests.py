"""Which of the long tests are a day's share."""

import pytest

from support.sharing import share_of

LONG = [f"test_{number}" for number in range(31)]


@pytest.mark.parametrize("every", [1, 4, 14, 40])
def test_each_long_test_is_in_exactly_one_share(every: int) -> None:
    shares = [share_of(LONG, f"{first}/{every}") for first in range(every)]

    assert sorted(test for share in shares for test in share) == sorted(LONG)


def test_neighbours_are_in_different_shares() -> None:
    assert share_of(LONG, "2/14") == ["test_2", "test_16", "test_30"]


@pytest.mark.parametrize("share", ["", "3", "14/14", "-1/14", "1/0", "a/b", "1/14/2"])
def test_what_is_no_share(share: str) -> None:
    with pytest.raises(ValueError, match="k/n"):
        share_of(LONG, share)
