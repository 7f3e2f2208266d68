"""Dead letters told together: one alert per service, topic and hour, with the count (domain.md section 8).

The alert is there from the first letter on and counts up; its mail waits a little, so that it tells of a
whole burst.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

SETTLING_SECONDS: Final = 10
"""How long the mail of an hour waits after the hour's first letter."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a digest needs of a dead letter: who put it aside, the topic it came from, when, and why."""

    service: str
    topic: str
    time: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class DigestKey:
    """What is told together; `hour` is its beginning in UTC."""

    service: str
    topic: str
    hour: datetime

    @property
    def cause(self) -> str:
        """What the alert and its mails are caused by, always the same for the same hour: it is told once."""
        return f"dead-letters/{self.service}/{self.topic}/{self.hour:%Y-%m-%dT%HZ}"


@dataclass(frozen=True, slots=True)
class DeadLetterDigest:
    """The dead letters of one service, topic and hour: how many, why the first, and when the mail is due."""

    key: DigestKey
    count: int
    first_reason: str
    mail_due_at: datetime

    @property
    def title(self) -> str:
        """The alert's title, with the count."""
        letters = "1 dead letter" if self.count == 1 else f"{self.count} dead letters"
        hour = f"{self.key.hour:%Y-%m-%d %H:%M} UTC"
        return f"{letters} of {self.key.service} from {self.key.topic} in the hour from {hour}"


def digest_key(letter: DeadLetter) -> DigestKey:
    """What the letter is told together with. Raises ValueError for a time without its zone."""
    if letter.time.tzinfo is None:
        raise ValueError("the time of a dead letter has no zone")
    hour = letter.time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return DigestKey(letter.service, letter.topic, hour)


def with_letters(
    digests: Mapping[DigestKey, DeadLetterDigest], letters: Iterable[DeadLetter]
) -> dict[DigestKey, DeadLetterDigest]:
    """The digests that these letters begin or count up, given those there are; the others are left aside."""
    changed = dict[DigestKey, DeadLetterDigest]()
    for letter in letters:
        key = digest_key(letter)
        digest = changed.get(key) or digests.get(key)
        if digest is None:
            mail_due_at = letter.time + timedelta(seconds=SETTLING_SECONDS)
            changed[key] = DeadLetterDigest(key, 1, letter.reason, mail_due_at)
        else:
            changed[key] = replace(digest, count=digest.count + 1)
    return changed
