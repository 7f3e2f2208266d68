"""Keys whose messages the broker refuses: their rows stay in the outbox, in order, while all others go past them.

A refusal may be of a neighbour: the messages of a partition are sent together. So each key is tried alone, its oldest
message only, at once and then with back-off; when that one arrives, the key goes on as all do.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aiokafka import errors

from shared.backoff import Backoff

TRIED_SECONDS_FIRST: Final = 1.0
TRIED_SECONDS_MAX: Final = 60.0
KEYS_MAX: Final = 200
"""More than these, and it is not the keys: the broker refuses what we send."""
TRIED_AT_ONCE_MAX: Final = 20

Key: TypeAlias = tuple[str, bytes | None]
"""A topic, and the key of a message."""

_REFUSALS: Final = (
    errors.MessageSizeTooLargeError,
    errors.RecordTooLargeError,
    errors.RecordListTooLargeError,
    errors.CorruptRecordException,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
    errors.UnsupportedForMessageFormatError,
    errors.TopicAuthorizationFailedError,
    errors.InvalidTopicError,
    errors.UnknownError,
)


def is_refusal(error: BaseException) -> bool:
    """Whether the broker has taken a look at what was sent, and will not have it; else it may be away."""
    return isinstance(error, _REFUSALS)


@dataclass(slots=True)
class _Refused:
    reason: str
    backoff: Backoff = field(default_factory=lambda: Backoff(TRIED_SECONDS_FIRST, TRIED_SECONDS_MAX))
    try_at: float = 0.0


class RefusedKeys:
    """The keys that are left out now. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self._keys: dict[Key, _Refused] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_full(self) -> bool:
        """Whether so many are refused that no key is to blame."""
        return len(self._keys) > KEYS_MAX

    def columns(self) -> tuple[list[str], list[bytes | None]]:
        """Topics and keys, to be left out of what is read."""
        return [topic for topic, _ in self._keys], [key for _, key in self._keys]

    def refuse(self, key: Key, error: BaseException) -> bool:
        """Leave a key out; whether that is new. The first try of it alone comes at once."""
        known = self._keys.get(key)
        if known is None:
            self._keys[key] = _Refused(type(error).__name__)
            return True
        known.reason = type(error).__name__
        known.try_at = time.monotonic() + known.backoff.failed()
        return False

    def accept(self, key: Key) -> None:
        """A key goes on as all do."""
        self._keys.pop(key, None)

    def due(self) -> Sequence[Key]:
        """The keys to try alone now, a few at a time."""
        now = time.monotonic()
        return [key for key, refused in self._keys.items() if refused.try_at <= now][:TRIED_AT_ONCE_MAX]

    @property
    def tried(self) -> int:
        """How many were tried alone and are refused still: those are to blame, others were their neighbours."""
        return sum(1 for refused in self._keys.values() if refused.backoff.failures)

    def sentence(self) -> str | None:
        """What to say of them, without naming a key; None while there are none that were tried alone."""
        reasons = sorted({refused.reason for refused in self._keys.values() if refused.backoff.failures})
        if not reasons:
            return None
        what = f"the messages of {self.tried} key" + ("s" if self.tried > 1 else "")
        return f"the broker refuses {what} ({', '.join(reasons)}); all others go past them"
