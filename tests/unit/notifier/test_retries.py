"""When a mail is tried, tried again, and given up (domain.md section 8)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.retries import (
    SCHEDULE,
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
SHORT = RetrySchedule(first_wait_seconds=5, longest_wait_seconds=60, attempts_max=3)


def _tried(delivery: Delivery, jitter: float = 1.0) -> Delivery:
    return attempt_begun(delivery, at=delivery.due_at, schedule=SHORT, jitter=jitter)


def _refused(delivery: Delivery, *, permanent: bool = False) -> Delivery:
    return attempt_failed(delivery, error="451 try later", permanent=permanent, schedule=SHORT)


def test_waits_double_up_to_the_longest() -> None:
    waits = [wait_seconds(attempts, SHORT, jitter=1.0) for attempts in range(1, 7)]

    assert waits == [5, 10, 20, 40, 60, 60]


@given(some.integers(1, 10_000), some.floats(0, 1))
def test_jitter_spreads_a_wait_between_its_half_and_all_of_it(attempts: int, jitter: float) -> None:
    longest = wait_seconds(attempts, SCHEDULE, jitter=1.0)

    assert 0 < longest / 2 <= wait_seconds(attempts, SCHEDULE, jitter=jitter) <= longest
    assert longest <= SCHEDULE.longest_wait_seconds


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
