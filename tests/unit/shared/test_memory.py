"""The garbage collector leaves alone what a service has loaded, and still collects what it drops."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from shared.memory import THRESHOLDS, spare_collections


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """As it was, afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Node:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_loaded_is_left_alone() -> None:
    before = gc.get_freeze_count()
    spare_collections()
    assert gc.get_freeze_count() > before + 1_000
    assert gc.get_threshold() == THRESHOLDS


def test_cycles_that_are_dropped_later_are_collected() -> None:
    spare_collections()
    dropped = weakref.ref(Node())
    kept = [[] for _ in range(THRESHOLDS[0] + 1)]  # type: ignore[var-annotated]
    assert dropped() is None
    assert len(kept) > THRESHOLDS[0]
