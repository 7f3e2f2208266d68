"""Waiting for long work, with its progress on the screen."""

import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console

_POLL_SECONDS: Final = 0.5


def wait_for_end(
    look: Callable[[], dict[str, Any]],
    *,
    has_ended: Callable[[dict[str, Any]], bool],
    outline: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Look again and again until the work has ended; returns the last look. Interrupting ends only the waiting."""
    with Console(stderr=True).status("") as status:
        while not has_ended(seen := look()):
            status.update(outline(seen))
            time.sleep(_POLL_SECONDS)
    return seen
