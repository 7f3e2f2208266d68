"""Ids made by a split (domain.md section 3)."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as some

from release.domain.split_ids import adjustment_ids, lineage_prefixes, next_event_id
from shared.ids import is_id

long_ids = some.text("abcXYZ019._:-", min_size=1, max_size=80)


def test_numbers_begin_with_two_and_pass_over_what_is_taken() -> None:
    assert next_event_id("BE-1", set()) == "BE-1.2"
    assert next_event_id("BE-1", {"BE-1.2", "BE-1.3", "BE-1.5"}) == "BE-1.4"


def test_adjustments_begin_with_one_and_pass_over_what_is_taken() -> None:
    assert list(islice(adjustment_ids("BE-1", {"BE-1.adj2"}), 3)) == ["BE-1.adj1", "BE-1.adj3", "BE-1.adj4"]


def test_a_root_that_is_too_long_is_cut_and_stays_apart_from_its_like() -> None:
    one, other = "x" * 79 + "1", "x" * 79 + "2"
    assert next_event_id(one, set()) != next_event_id(other, set())
    assert next_event_id(one, set()) == f"{lineage_prefixes(one)[1]}2"
    assert next_event_id("x" * 78, set()) == "x" * 78 + ".2"
    tenth = next_event_id("x" * 78, {f"{'x' * 78}.{number}" for number in range(2, 10)})
    assert tenth.startswith(f"{'x' * 50}")
    assert tenth.endswith(".10")
    assert tenth != "x" * 78 + ".10"


@given(long_ids, some.integers(1, 30))
def test_ids_are_valid_distinct_and_found_by_their_prefixes(root_id: str, count: int) -> None:
    taken: set[str] = set()
    for _ in range(count):
        made = next_event_id(root_id, taken)
        assert is_id(made)
        assert made not in taken
        assert made.startswith(lineage_prefixes(root_id))
        taken.add(made)
    adjustments = list(islice(adjustment_ids(root_id, set()), count))
    assert len(set(adjustments)) == count
    assert all(map(is_id, adjustments))
