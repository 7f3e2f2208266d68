"""Waiting for a condition, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

Seen = TypeVar("Seen")

POLL_SECONDS: Final = 0.02
SECONDS_MAX: Final = 120.0
"""Ends what hangs; a busy machine may take much longer than an idle one."""


def wait_for(look: Callable[[], Seen], *, seconds: float = SECONDS_MAX, what: str = "the condition") -> Seen:
    """Look until something true is seen, and return it. Raises AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"{what} did not come within {seconds} s; last seen: {seen!r}"
        time.sleep(POLL_SECONDS)


async def wait_until(
    look: Callable[[], Awaitable[Seen]], *, seconds: float = SECONDS_MAX, what: str = "the condition"
) -> Seen:
    """The same for what has to be awaited."""
    end = time.monotonic() + seconds
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < end, f"{what} did not come within {seconds} s; last seen: {seen!r}"
        await asyncio.sleep(POLL_SECONDS)
