"""When a mail is tried, tried again, and given up (domain.md section 8).

An attempt is noted before the mail is handed over, with the time of the next one: a sender that dies in
between leaves a delivery that is taken up again, and never one that is tried without end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class DeliveryStatus(StrEnum):
    """Where a mail is; `failed` is shown and can be sent again."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How long a mail waits between attempts: the first waits one by one, then hourly, for `hours` in all."""

    hours: int = 96
    first_waits_seconds: tuple[int, ...] = (60, 300, 900, 1_800)
    later_wait_seconds: int = 3_600

    @property
    def attempts_max(self) -> int:
        """How many attempts begin within the time; the first one at once."""
        left_seconds = self.hours * 3_600
        for number, wait in enumerate(self.first_waits_seconds, start=1):
            left_seconds -= wait
            if left_seconds < 0:
                return number
        return 1 + len(self.first_waits_seconds) + left_seconds // self.later_wait_seconds


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail to one recipient: how often it was tried, when it is due, and what the last attempt ran into."""

    due_at: datetime
    status: DeliveryStatus = DeliveryStatus.QUEUED
    attempts: int = 0
    error: str | None = None


def wait_seconds(attempts: int, schedule: RetrySchedule, *, jitter: float) -> float:
    """Seconds from the attempt of this number (from 1) to the next.

    `jitter` from 0 to 1, drawn by the caller, spreads mails that failed together over a tenth of the wait.
    """
    waits = schedule.first_waits_seconds
    wait = waits[attempts - 1] if attempts <= len(waits) else schedule.later_wait_seconds
    return wait * (1 + jitter / 10)


def attempt_begun(delivery: Delivery, *, at: datetime, schedule: RetrySchedule, jitter: float) -> Delivery:
    """The delivery as it is noted before it is handed over; `failed` if its last attempt was never answered.

    Raises ValueError for a delivery that is not queued.
    """
    if delivery.status is not DeliveryStatus.QUEUED:
        raise ValueError(f"a delivery that is {delivery.status} is not tried")
    if delivery.attempts >= schedule.attempts_max:
        error = delivery.error or "the last attempt was interrupted"
        return replace(delivery, status=DeliveryStatus.FAILED, error=error)
    attempts = delivery.attempts + 1
    wait = timedelta(seconds=wait_seconds(attempts, schedule, jitter=jitter))
    return replace(delivery, attempts=attempts, due_at=at + wait)


def attempt_succeeded(delivery: Delivery) -> Delivery:
    """The delivery whose mail the server took."""
    return replace(delivery, status=DeliveryStatus.SENT, error=None)


def attempt_failed(delivery: Delivery, *, error: str, permanent: bool, schedule: RetrySchedule) -> Delivery:
    """The delivery whose mail was not taken: due again, or failed after the last attempt.

    `permanent`: the server refused it for good (a reply of 500 or above), trying again would change nothing.
    """
    given_up = permanent or delivery.attempts >= schedule.attempts_max
    status = DeliveryStatus.FAILED if given_up else DeliveryStatus.QUEUED
    return replace(delivery, status=status, error=error)


def resent(delivery: Delivery, *, at: datetime) -> Delivery:
    """A failed delivery that a user sends again, with all its attempts anew. Raises ValueError for any other."""
    if delivery.status is not DeliveryStatus.FAILED:
        raise ValueError(f"a delivery that is {delivery.status} cannot be sent again")
    return Delivery(due_at=at)
