"""The guard of a line: when it pauses, how long, and when it is sound again (architecture.md)."""

from shared.messaging.line_guard import PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX, LineGuard

NOON = 43_200.0


def test_half_of_the_window_bad_is_not_more_than_half() -> None:
    guard = LineGuard()
    guard.observe(good=100, bad=100, now=NOON)
    assert guard.pause_seconds(NOON) == 0


def test_one_more_than_half_pauses_the_line() -> None:
    guard = LineGuard()
    guard.observe(good=99, bad=101, now=NOON)
    assert guard.pause_seconds(NOON) == PAUSE_SECONDS_FIRST


def test_a_few_bad_records_at_the_start_do_not_pause() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=100, now=NOON)
    assert guard.pause_seconds(NOON) == 0


def test_pauses_double_up_to_the_limit_while_it_stays_bad() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200, now=NOON)
    pauses = [guard.pause_seconds(NOON)]
    for _ in range(7):
        guard.observe(good=1, bad=2, now=NOON)
        pauses.append(guard.pause_seconds(NOON))
    assert pauses[:3] == [PAUSE_SECONDS_FIRST, 2 * PAUSE_SECONDS_FIRST, 4 * PAUSE_SECONDS_FIRST]
    assert max(pauses) == pauses[-1] == PAUSE_SECONDS_MAX


def test_one_good_batch_after_a_pause_makes_the_line_sound() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200, now=NOON)
    guard.observe(good=1, bad=0, now=NOON + 1)
    assert guard.pause_seconds(NOON + 1) == 0
    guard.observe(good=0, bad=100, now=NOON + 2)
    assert guard.pause_seconds(NOON + 2) == 0, "what was bad before the pause no longer counts"
    guard.observe(good=0, bad=1, now=NOON + 3)
    assert guard.pause_seconds(NOON + 3) == PAUSE_SECONDS_FIRST, "and the pauses begin anew"


def test_a_batch_that_says_nothing_ends_no_pauses() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200, now=NOON)
    guard.observe(good=0, bad=0, now=NOON + 1)
    guard.observe(good=0, bad=1, now=NOON + 1)
    assert guard.pause_seconds(NOON + 1) == 2 * PAUSE_SECONDS_FIRST


def test_a_quiet_time_counts_as_pause() -> None:
    guard = LineGuard()
    guard.observe(good=0, bad=200, now=NOON)
    assert guard.pause_seconds(NOON + PAUSE_SECONDS_FIRST / 4) == PAUSE_SECONDS_FIRST * 3 / 4
    assert guard.pause_seconds(NOON + PAUSE_SECONDS_FIRST * 3) == 0
