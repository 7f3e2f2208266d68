"""When a mail is tried, tried again, and given up (domain.md section 8)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.retries import (
    Delivery,
    DeliveryStatus,
    RetrySchedule,
    attempt_begun,
    attempt_failed,
    attempt_succeeded,
    resent,
    wait_seconds,
)

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SHORT = RetrySchedule(hours=1, first_waits_seconds=(5, 3_000), later_wait_seconds=600)


def _tried(delivery: Delivery, jitter: float = 0.0) -> Delivery:
    return attempt_begun(delivery, at=delivery.due_at, schedule=SHORT, jitter=jitter)


def _refused(delivery: Delivery, *, permanent: bool = False) -> Delivery:
    return attempt_failed(delivery, error="451 try later", permanent=permanent, schedule=SHORT)


def test_a_mail_is_tried_after_1_5_15_and_30_minutes_then_hourly() -> None:
    waits = [wait_seconds(attempts, RetrySchedule(), jitter=0.0) / 60 for attempts in range(1, 8)]

    assert waits == [1, 5, 15, 30, 60, 60, 60]


@pytest.mark.parametrize("hours, attempts", [(1, 5), (2, 6), (96, 100)])
def test_a_mail_is_given_up_after_so_many_hours(hours: int, attempts: int) -> None:
    schedule = RetrySchedule(hours=hours)

    tried_seconds = sum(wait_seconds(attempt, schedule, jitter=0.0) for attempt in range(1, attempts))

    assert schedule.attempts_max == attempts
    assert tried_seconds <= hours * 3_600 < tried_seconds + 3_600


def test_a_time_that_is_shorter_than_the_first_waits_has_as_many_attempts_as_fit() -> None:
    assert RetrySchedule(hours=1, first_waits_seconds=(1_800, 1_800, 60)).attempts_max == 3


@given(some.integers(1, 200), some.floats(0, 1))
def test_jitter_lengthens_a_wait_by_a_tenth_at_most(attempts: int, jitter: float) -> None:
    shortest = wait_seconds(attempts, RetrySchedule(), jitter=0.0)

    assert shortest <= wait_seconds(attempts, RetrySchedule(), jitter=jitter) <= shortest * 1.1


def test_attempt_is_noted_before_the_mail_is_handed_over_with_the_time_of_the_next() -> None:
    assert _tried(Delivery(NOW)) == Delivery(NOW + timedelta(seconds=5), attempts=1)


def test_mail_that_was_taken_is_sent() -> None:
    again = _tried(_refused(_tried(Delivery(NOW))))

    sent = attempt_succeeded(again)

    assert (sent.status, sent.attempts, sent.error) == (DeliveryStatus.SENT, 2, None)
    with pytest.raises(ValueError, match="sent is not tried"):
        _tried(sent)


def test_mail_that_is_never_taken_is_tried_so_many_times_and_then_failed() -> None:
    delivery = Delivery(NOW)
    statuses = []
    for _ in range(SHORT.attempts_max):
        delivery = _refused(_tried(delivery))
        statuses.append(delivery.status)

    assert statuses == [DeliveryStatus.QUEUED, DeliveryStatus.QUEUED, DeliveryStatus.FAILED]
    assert (delivery.attempts, delivery.error) == (3, "451 try later")


def test_mail_that_is_refused_for_good_is_failed_at_once() -> None:
    assert _refused(_tried(Delivery(NOW)), permanent=True).status is DeliveryStatus.FAILED


def test_sender_that_dies_at_every_attempt_does_not_try_without_end() -> None:
    delivery = Delivery(NOW)
    for _ in range(SHORT.attempts_max):
        delivery = _tried(delivery)
        assert delivery.status is DeliveryStatus.QUEUED

    given_up = _tried(delivery)

    assert (given_up.status, given_up.attempts) == (DeliveryStatus.FAILED, 3)
    assert given_up.error == "the last attempt was interrupted"


def test_failed_mail_can_be_sent_again_with_all_its_attempts() -> None:
    failed = _refused(_tried(Delivery(NOW)), permanent=True)
    later = NOW + timedelta(hours=1)

    assert resent(failed, at=later) == Delivery(later)


@pytest.mark.parametrize("status", [DeliveryStatus.QUEUED, DeliveryStatus.SENT])
def test_only_a_failed_mail_can_be_sent_again(status: DeliveryStatus) -> None:
    with pytest.raises(ValueError, match="cannot be sent again"):
        resent(Delivery(NOW, status), at=NOW)
