"""Where a step is in a list by date and id, as its execution keeps it."""

from collections.abc import Sequence
from datetime import date

from billing_runs.handlers.selection import Place


def place_of(stored: Sequence[str] | None, start: Place) -> Place:
    """The place that was kept, else the start."""
    return (date.fromisoformat(stored[0]), stored[1]) if stored is not None else start


def stored_place(place: Place | None) -> list[str] | None:
    """The place as it is kept; None: the end."""
    return [place[0].isoformat(), place[1]] if place is not None else None
