"""Stops a line that diverts too much: when most records are bad, the producer or we are broken, not the records."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_RECORDS: Final = 200
BAD_SHARE_MAX: Final = 0.5
PAUSE_SECONDS_FIRST: Final = 1.0
PAUSE_SECONDS_MAX: Final = 10.0


@dataclass(slots=True)
class LineGuard:
    """Watches the last records of one line and says how long it has to pause before it takes more.

    The line then tries the next batch, which alone decides: while that is as bad, the pauses double up to
    PAUSE_SECONDS_MAX; else the line is sound, and records are counted anew. Nothing is lost meanwhile, since what is
    not taken stays in Kafka. Times are those of one monotonic clock, in seconds; a pause begins with the end of the
    batch that caused it, so that whoever has nothing to take meanwhile need not wait again.
    """

    window_records: int = WINDOW_RECORDS
    bad_share_max: float = BAD_SHARE_MAX
    pause_seconds_first: float = PAUSE_SECONDS_FIRST
    _outcomes: deque[bool] = field(default_factory=deque)
    _pause_seconds: float = 0.0
    _pause_ends: float = 0.0

    def observe(self, *, good: int, bad: int, now: float) -> None:
        """Count the outcome of a batch that has ended now."""
        if self._pause_seconds and bad > (good + bad) * self.bad_share_max:
            self._pause(min(self._pause_seconds * 2, PAUSE_SECONDS_MAX), now)
            return
        if self._pause_seconds and good:
            self._pause_seconds = 0.0
            self._outcomes.clear()
        self._outcomes.extend([False] * good)
        self._outcomes.extend([True] * bad)
        while len(self._outcomes) > self.window_records:
            self._outcomes.popleft()
        if not self._pause_seconds and sum(self._outcomes) > self.window_records * self.bad_share_max:
            self._pause(self.pause_seconds_first, now)

    def pause_seconds(self, now: float) -> float:
        """How long to pause before the next batch: 0 while the line is sound, and when the pause is over."""
        return max(0.0, self._pause_ends - now)

    def _pause(self, seconds: float, now: float) -> None:
        self._pause_seconds = seconds
        self._pause_ends = now + seconds
