"""What libraries say again and again while a server is away, said once in a while, with how often it was meant."""

import logging
import time
from collections.abc import Callable
from typing import Final

QUIET_SECONDS: Final = 300.0
KNOWN_MAX: Final = 200
_REPETITIVE: Final = ("aiokafka", "faststream")


class Repeats(logging.Filter):
    """Lets a message of a Kafka client pass once in QUIET_SECONDS, whatever its arguments are; all else passes.

    Ten lines that cannot reach a broker would write hundreds of entries a second, which say nothing new and fill disks:
    that the broker is away, and that it is back, is told by the health checks.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; one that stands for others says how many."""
        if record.name.partition(".")[0] not in _REPETITIVE:
            return True
        key = (record.name, record.levelno, str(record.msg)[:200])
        now = self._clock()
        said_at, unsaid = self._said.get(key, (float("-inf"), 0))
        if now - said_at < QUIET_SECONDS:
            self._said[key] = (said_at, unsaid + 1)
            return False
        if len(self._said) >= KNOWN_MAX:
            self._said.clear()
        self._said[key] = (now, 0)
        if unsaid:
            record.msg, record.args = f"{record.getMessage()} (and {unsaid} times before)", None
        return True
