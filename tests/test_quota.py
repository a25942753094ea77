"""The log quota: what flaps is told a few times, then counted."""

from mqtt_http_bridge.core.commands import Log
from mqtt_http_bridge.core.quota import MOST_KNOWN, TIMES, WINDOW_S, LogQuota

LINE = Log.info("a plug is loose")


def test_a_line_passes_unchanged_until_its_quota_is_used_up() -> None:
    """The first three in a window are told as they are, the fourth is not."""
    quota = LogQuota()
    told = [quota.pass_on(LINE, now_s) for now_s in range(TIMES + 1)]
    assert told == [[LINE]] * TIMES + [[]]


def test_what_was_not_told_is_told_as_a_number() -> None:
    """After the window the line passes again, with how many times it was held back."""
    quota = LogQuota()
    for now_s in range(10):
        quota.pass_on(LINE, float(now_s))
    (line,) = quota.pass_on(LINE, WINDOW_S)
    assert line.text == f"{LINE.text} (this came {10 - TIMES} more times since it was last told)"
    assert quota.pass_on(LINE, WINDOW_S + 1.0) == [LINE]


def test_a_line_that_kept_within_its_quota_passes_without_a_number() -> None:
    """Nothing is added where nothing was held back."""
    quota = LogQuota()
    quota.pass_on(LINE, 0.0)
    assert quota.pass_on(LINE, WINDOW_S) == [LINE]


def test_lines_have_a_quota_each() -> None:
    """One thing that flaps does not silence another."""
    quota = LogQuota()
    for now_s in range(10):
        quota.pass_on(LINE, float(now_s))
    assert quota.pass_on(Log.info("another plug is loose"), 10.0)


def test_memory_is_bounded_when_no_two_lines_are_the_same() -> None:
    """Only so many lines are remembered, however many there are."""
    quota = LogQuota()
    for number in range(10 * MOST_KNOWN):
        quota.pass_on(Log.info(f"renamed to {number}"), float(number))
    assert len(quota._told) == MOST_KNOWN
