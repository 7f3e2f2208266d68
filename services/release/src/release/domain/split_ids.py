"""Ids made by a split: of the new event in its lineage, of adjustments in each event (domain.md section 3)."""

import hashlib
from collections.abc import Container, Iterator
from itertools import count
from typing import Final

from shared.ids import ID_LENGTH_MAX

_HASH_LENGTH: Final = 8
_NUMBER_LENGTH_MAX: Final = 10


def lineage_prefixes(root_id: str) -> tuple[str, str]:
    """What ids of a lineage's new events begin with: `<root>.`, and the cut form for those that would be too long.

    The ids already taken under these prefixes are all that `next_event_id` has to know.
    """
    return f"{root_id}.", f"{_cut(root_id, _NUMBER_LENGTH_MAX + 1)}."


def next_event_id(root_id: str, taken_ids: Container[str]) -> str:
    """The id of the event that a split makes: `<root>.<n>` with the first n from 2 that is not taken.

    Where that is longer than an id may be, the root is cut and a hash of it stands for what was cut.
    """
    return next(_free_ids(root_id, "", 2, taken_ids))


def adjustment_ids(billing_event_id: str, taken_ids: Container[str]) -> Iterator[str]:
    """The ids of an event's adjustments, one after the other: `<event>.adj<n>`, n from 1, without those taken."""
    return _free_ids(billing_event_id, "adj", 1, taken_ids)


def _free_ids(stem: str, label: str, first: int, taken_ids: Container[str]) -> Iterator[str]:
    candidates = (_join(stem, f"{label}{number}") for number in count(first))
    return (candidate for candidate in candidates if candidate not in taken_ids)


def _join(stem: str, ending: str) -> str:
    candidate = f"{stem}.{ending}"
    if len(candidate) <= ID_LENGTH_MAX:
        return candidate
    return f"{_cut(stem, _NUMBER_LENGTH_MAX + 1)}.{ending}"


def _cut(stem: str, ending_length: int) -> str:
    """The stem cut so that a hash of the whole of it and an ending of this length have room."""
    digest = hashlib.sha256(stem.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{stem[: ID_LENGTH_MAX - ending_length - _HASH_LENGTH - 1]}-{digest}"
