"""Dead letters told together: one alert per service, topic and hour, with the count (domain.md section 8)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.dead_letter_digest import (
    SETTLING_SECONDS,
    DeadLetter,
    DeadLetterDigest,
    DigestKey,
    digest_key,
    with_letters,
)

NINE = datetime(2026, 11, 30, 9, tzinfo=UTC)
LETTER = DeadLetter("release", "psa.billing-events", NINE + timedelta(minutes=12), "not JSON")
KEY = DigestKey("release", "psa.billing-events", NINE)


def test_letters_of_one_service_topic_and_hour_are_one_digest() -> None:
    first = with_letters({}, [LETTER])
    later = replace(LETTER, time=NINE + timedelta(minutes=59, seconds=59), reason="too long")

    digests = with_letters(first, [later, later])

    due = LETTER.time + timedelta(seconds=SETTLING_SECONDS)
    assert first == {KEY: DeadLetterDigest(KEY, 1, "not JSON", due)}
    assert digests == {KEY: DeadLetterDigest(KEY, 3, "not JSON", due)}


@pytest.mark.parametrize(
    "other",
    [
        replace(LETTER, service="notifier"),
        replace(LETTER, topic="psa.projects"),
        replace(LETTER, time=NINE + timedelta(hours=1)),
    ],
)
def test_another_service_topic_or_hour_is_another_digest(other: DeadLetter) -> None:
    digests = with_letters({}, [LETTER, other, other])

    assert {key: digest.count for key, digest in digests.items()} == {KEY: 1, digest_key(other): 2}
    assert len({key.cause for key in digests}) == 2


def test_digests_that_get_no_letter_are_left_aside() -> None:
    stored = with_letters({}, [LETTER])

    assert with_letters(stored, []) == {}


def test_hours_are_those_of_utc_whatever_the_zone_of_the_time() -> None:
    local = LETTER.time.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert digest_key(replace(LETTER, time=local)) == KEY
    with pytest.raises(ValueError, match="zone"):
        digest_key(replace(LETTER, time=LETTER.time.replace(tzinfo=None)))


def test_title_tells_the_count_and_the_cause_does_not() -> None:
    one = with_letters({}, [LETTER])[KEY]
    three = replace(one, count=3)

    hour = "in the hour from 2026-11-30 09:00 UTC"
    assert one.title == f"1 dead letter of release from psa.billing-events {hour}"
    assert three.title == f"3 dead letters of release from psa.billing-events {hour}"
    assert one.key.cause == three.key.cause == "dead-letters/release/psa.billing-events/2026-11-30T09Z"


LETTERS = some.lists(
    some.builds(
        DeadLetter,
        service=some.sampled_from(["release", "notifier"]),
        topic=some.sampled_from(["psa.projects", "psa.accounts"]),
        time=some.integers(0, 3 * 3600).map(lambda seconds: NINE + timedelta(seconds=seconds)),
        reason=some.just("not JSON"),
    ),
    max_size=20,
)


@given(LETTERS, LETTERS)
def test_no_letter_is_lost_however_they_are_batched(
    first: list[DeadLetter], second: list[DeadLetter]
) -> None:
    one_by_one = with_letters({}, first)
    in_two = one_by_one | with_letters(one_by_one, second)

    assert in_two == with_letters({}, [*first, *second])
    assert sum(digest.count for digest in in_two.values()) == len(first) + len(second)
