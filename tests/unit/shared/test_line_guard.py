"""The guard of a line: when it pauses, how long, and when it is sound again (architecture.md)."""

from shared.messaging.line_guard import PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX, LineGuard


def test_half_of_the_window_bad_is_not_more_than_half() -> None:
    guard = LineGuard()
    guard.observe(good=100, bad=100)
    assert guard.next_pause_seconds() == 0


def test_one_more_than_half_pauses_the_line() -> None:
    guard = LineGuard()
    guard.observe(good=99, bad=101)
    assert guard.next_pause_seconds() == PAUSE_SECONDS_FIRST


def test_a_few_bad_records_at_the_start_do_not_pause() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=100)
    assert not guard.is_tripped


def test_pauses_double_up_to_the_limit_while_it_stays_bad() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200)
    pauses = [guard.next_pause_seconds() for _ in range(8)]
    assert pauses[:3] == [PAUSE_SECONDS_FIRST, 2 * PAUSE_SECONDS_FIRST, 4 * PAUSE_SECONDS_FIRST]
    assert max(pauses) == pauses[-1] == PAUSE_SECONDS_MAX


def test_only_the_last_records_count_and_the_pauses_begin_anew() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200)
    guard.next_pause_seconds()
    guard.next_pause_seconds()
    guard.observe(good=200, bad=0)
    assert guard.next_pause_seconds() == 0
    guard.observe(good=0, bad=200)
    assert guard.next_pause_seconds() == PAUSE_SECONDS_FIRST
