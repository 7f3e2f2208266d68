"""What a library repeats is written once in a while; what we write ourselves always is."""

import logging

from shared.telemetry.repeats import KNOWN_MAX, QUIET_SECONDS, Repeats


class Time:
    seconds = 0.0


def record(name: str, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


def test_a_message_of_a_kafka_client_is_written_once_in_a_while_with_how_often_it_was_meant() -> None:
    repeats = Repeats(clock=lambda: Time.seconds)
    written = [repeats.filter(record("aiokafka.conn", "Unable to connect to %s", place)) for place in "abc"]
    assert written == [True, False, False]
    Time.seconds += QUIET_SECONDS
    again = record("aiokafka.conn", "Unable to connect to %s", "d")
    assert repeats.filter(again)
    assert again.getMessage() == "Unable to connect to d (and 2 times before)"


def test_another_message_is_another_one() -> None:
    repeats = Repeats(clock=lambda: 0.0)
    assert repeats.filter(record("aiokafka.conn", "one"))
    assert repeats.filter(record("aiokafka.conn", "two"))
    assert repeats.filter(record("faststream", "one"))


def test_our_own_messages_are_always_written() -> None:
    repeats = Repeats(clock=lambda: 0.0)
    assert [repeats.filter(record("shared.messaging.lines", "one")) for _ in range(3)] == [True] * 3


def test_what_is_kept_is_bounded() -> None:
    repeats = Repeats(clock=lambda: 0.0)
    assert all(repeats.filter(record("aiokafka", f"{number}")) for number in range(3 * KNOWN_MAX))
    assert not repeats.filter(record("aiokafka", f"{3 * KNOWN_MAX - 1}"))
