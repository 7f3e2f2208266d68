"""Where a line begins to read a partition (architecture.md, "Restore")."""

import pytest

from shared.messaging.places import GapError, Place


def place(known: int | None, committed: int | None, beginning: int = 0, end: int = 100) -> Place:
    return Place("psa.projects", 0, known, committed, beginning, end)


@pytest.mark.parametrize(
    ("known", "committed", "beginning", "begins"),
    [
        pytest.param(None, None, 0, None, id="a new line begins at the beginning"),
        pytest.param(None, None, 40, None, id="of a topic that has dropped some, too"),
        pytest.param(40, 40, 0, None, id="both agree"),
        pytest.param(40, 30, 0, None, id="a crash before the commit: what comes again is known"),
        pytest.param(40, 60, 0, 40, id="a restored database has read less"),
        pytest.param(40, 60, 40, 40, id="just what the topic still has"),
        pytest.param(None, 60, 0, 0, id="a database made anew has read nothing"),
        pytest.param(None, 60, 20, 20, id="nor of a topic that has dropped some"),
        pytest.param(None, 20, 20, None, id="the group is at the beginning"),
        pytest.param(40, None, 0, 40, id="the group was forgotten"),
        pytest.param(100, 100, 100, None, id="all was read, and the topic has dropped it"),
    ],
)
def test_where_a_partition_begins(
    known: int | None, committed: int | None, beginning: int, begins: int | None
) -> None:
    assert place(known, committed, beginning).begin() == begins


@pytest.mark.parametrize("committed", [None, 30, 60])
def test_what_the_topic_has_dropped_unread_is_a_gap(committed: int | None) -> None:
    with pytest.raises(
        GapError, match=r"has read psa\.projects/0 to offset 40, but the topic begins at 41: .*accept-gap"
    ):
        place(40, committed, beginning=41).begin()


@pytest.mark.parametrize("committed", [None, 101])
def test_a_topic_that_ends_before_what_was_read_was_made_anew(committed: int | None) -> None:
    with pytest.raises(
        GapError, match=r"has read psa\.projects/0 to offset 101, but the topic ends at 100: .*accept-gap"
    ):
        place(101, committed).begin()
