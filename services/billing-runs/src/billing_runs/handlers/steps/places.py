"""Where a step is in a list that it goes through, as its execution keeps it.

Events stand in order of date and id, documents in that of their ids. A step that went on from the start each time would
read whatever it has dealt with again, which takes minutes in a run of 100,000 documents.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

from billing_runs.handlers.selection import Place

START_OF_DOCUMENTS: Final = ""


def place_of(stored: Sequence[str] | None, start: Place) -> Place:
    """The place that was kept, else the start."""
    return (date.fromisoformat(stored[0]), stored[1]) if stored is not None else start


def stored_place(place: Place | None) -> list[str] | None:
    """The place as it is kept; None: the end."""
    return [place[0].isoformat(), place[1]] if place is not None else None


def document_after(stored: Sequence[str] | None) -> str:
    """The id of the document after which to go on; `START_OF_DOCUMENTS` begins (again) with the first."""
    return stored[0] if stored is not None else START_OF_DOCUMENTS


def document_place(document_ids: Sequence[str], *, limit: int) -> list[str] | None:
    """The place behind a chunk, as it is kept; None: there was less than a chunk left, so the end is reached.

    What was passed by may have come to need the step in the meantime: it is over once a chunk from the start is short.
    """
    return [document_ids[-1]] if len(document_ids) == limit else None
