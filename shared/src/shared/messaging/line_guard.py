"""Stops a line that diverts too much: when most records are bad, the producer or we are broken, not the records."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_RECORDS: Final = 200
BAD_SHARE_MAX: Final = 0.5
PAUSE_SECONDS_FIRST: Final = 1.0
PAUSE_SECONDS_MAX: Final = 30.0


@dataclass(slots=True)
class LineGuard:
    """Watches the last records of one line and says how long it has to pause before it takes more.

    The line then tries the next batch: while that is as bad, the pauses double up to PAUSE_SECONDS_MAX; nothing is
    lost meanwhile, since what is not taken stays in Kafka.
    """

    window_records: int = WINDOW_RECORDS
    bad_share_max: float = BAD_SHARE_MAX
    _outcomes: deque[bool] = field(default_factory=deque)
    _pause_seconds: float = PAUSE_SECONDS_FIRST

    @property
    def is_tripped(self) -> bool:
        """Whether more than the allowed share of a whole window was bad."""
        return sum(self._outcomes) > self.window_records * self.bad_share_max

    def observe(self, good: int, bad: int) -> None:
        """Count the outcome of a batch."""
        self._outcomes.extend([False] * good)
        self._outcomes.extend([True] * bad)
        while len(self._outcomes) > self.window_records:
            self._outcomes.popleft()

    def next_pause_seconds(self) -> float:
        """How long to pause before the next batch: 0 while the line is sound."""
        if not self.is_tripped:
            self._pause_seconds = PAUSE_SECONDS_FIRST
            return 0.0
        pause_seconds = self._pause_seconds
        self._pause_seconds = min(self._pause_seconds * 2, PAUSE_SECONDS_MAX)
        return pause_seconds
