"""Tests the limit of the log: it counts kinds of line, and the last line about anything is true."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.log_limit import (
    DAY_S,
    LASTING_S,
    MOST_KNOWN,
    MOST_REPEATS,
    TIMES,
    LogLimit,
)

LINE = Log.info("a plug is loose")
DOWN = Log.warning("the backend is down: error 4711", kind="down", about="backend")
OTHER = Log.warning("the backend is slow", about="backend")
UP = Log.info("the backend is up", about="backend", is_end=True)


def told(limit: LogLimit, *lines: Log, now_s: float = 0.0) -> list[str]:
    return [each.text for line in lines for each in limit.pass_on(line, now_s)]


def test_a_line_passes_unchanged_three_times_a_day() -> None:
    """The fourth is left out."""
    limit = LogLimit()
    assert [limit.pass_on(LINE, float(n)) for n in range(TIMES + 1)] == [[LINE]] * TIMES + [[]]


def test_kinds_are_counted_and_not_texts() -> None:
    """An error text with the number of a request in it is one kind."""
    limit = LogLimit()
    lines = [Log.warning(f"error {n}", kind="error") for n in range(100)]
    assert told(limit, *lines) == ["error 0", "error 1", "error 2"]


def test_one_thing_that_flaps_does_not_silence_another() -> None:
    """The first of a kind is always told."""
    limit = LogLimit()
    for n in range(50):
        told(limit, *[Log.info(f"kind {n}")] * 10)
    assert told(limit, LINE) == [LINE.text]


def test_all_kinds_together_are_repeated_ten_times() -> None:
    """However many there are."""
    limit = LogLimit()
    lines = [Log.info(f"kind {n}") for n in range(20)]
    assert len(told(limit, *lines * 5)) == 20 + MOST_REPEATS


def test_what_was_left_out_is_counted() -> None:
    """With the next line of its kind, or at the end of the day, with the most frequent kind."""
    limit = LogLimit()
    told(limit, *[DOWN, UP] * 50, *[LINE] * 10)
    (line,) = limit.due(DAY_S)
    assert line.level == "INFO"
    assert line.text == "101 lines were left out of the log in a day, 47 like: down"
    assert limit.due(DAY_S) == []
    assert told(limit, LINE, now_s=DAY_S) == [LINE.text]


def test_one_that_was_left_out_is_told_as_one() -> None:
    """After the three that pass, one does not."""
    limit = LogLimit()
    told(limit, *[LINE] * 4)
    (line,) = limit.due(DAY_S)
    assert line.text.startswith("1 line was left out of the log in a day, 1 like: ")


@pytest.mark.parametrize("times", [1, 3, 4, 100])
def test_an_end_is_told_if_and_only_if_its_trouble_was(times: int) -> None:
    """Nobody wonders whether it is over, or what is."""
    limit = LogLimit()
    assert told(limit, *[DOWN, UP] * times) == [DOWN.text, UP.text] * min(times, TIMES)


def test_an_end_without_a_trouble_is_a_line_like_others() -> None:
    """As the first measurement of a charger is."""
    limit = LogLimit()
    assert told(limit, *[UP] * 5) == [UP.text] * TIMES


def test_a_trouble_that_changes_is_one_trouble() -> None:
    """If the log knows of it in one form, the end is told."""
    limit = LogLimit()
    told(limit, *[OTHER, UP] * 3)
    assert told(limit, DOWN, OTHER, UP) == [DOWN.text, UP.text]
    assert told(limit, OTHER, DOWN, UP) == [DOWN.text, UP.text]


def test_a_trouble_that_lasts_is_told_after_all() -> None:
    """It was left out, as it had flapped; an hour later the log says so, once, and then its end."""
    limit = LogLimit()
    told(limit, *[DOWN, UP] * 10, DOWN)
    assert limit.due(LASTING_S - 1.0) == []
    (line,) = limit.due(LASTING_S)
    assert line.text == f"{DOWN.text} (7 lines like this one were left out before)"
    assert limit.due(5 * LASTING_S) == []
    assert told(limit, UP, now_s=6 * LASTING_S) == [f"{UP.text} (7 {MORE})"]


def test_of_a_trouble_that_changes_the_last_form_is_told() -> None:
    """Tells how it is when the hour is over; no other line was left out, so no count is told."""
    limit = LogLimit()
    told(limit, *[DOWN, UP] * 3)
    again = Log.warning("the backend is down: error 4712", kind="again", about="backend")
    told(limit, *[again, UP] * 3)
    assert told(limit, DOWN, again) == []
    assert [line.text for line in limit.due(LASTING_S)] == [again.text]


MORE = "lines like this one were left out before"


def test_memory_is_bounded_when_no_two_lines_are_the_same() -> None:
    """Only so many kinds and troubles are remembered, however many there are."""
    limit = LogLimit()
    for n in range(2 * MOST_KNOWN):
        limit.pass_on(Log.warning(f"renamed to {n}", about=str(n)), float(n))
    assert len(limit._kinds) <= MOST_KNOWN
    assert len(limit._troubles) <= MOST_KNOWN


@given(st.integers(0, 10_000), st.floats(1.0, 5000.0))
def test_the_last_word_about_a_thing_is_true_within_the_hour(seed: int, step_s: float) -> None:
    """Whatever came before: who reads only the log knows how it stands."""
    lots, limit = random.Random(seed), LogLimit()
    known, is_down, now_s = dict[str, bool](), dict[str, bool](), 0.0
    for _ in range(200):
        now_s += lots.random() * step_s
        about = lots.choice("abc")
        is_down[about] = not is_down.get(about, False)
        line = Log.warning("down", kind=f"down {about}", about=about)
        if not is_down[about]:
            line = Log.info("up", kind=f"up {about}", about=about, is_end=True)
        for each in limit.pass_on(line, now_s):
            if each.about:
                known[each.about] = each.text.startswith("down")
    for each in limit.due(now_s + LASTING_S):
        if each.about:
            known[each.about] = True
    assert {a: known.get(a, False) for a in is_down} == is_down


def test_the_limits_are_those_that_are_told() -> None:
    """Keeps the numbers equal to those in the module's table and in the documents."""
    assert (TIMES, MOST_REPEATS, LASTING_S, DAY_S) == (3, 10, 3600.0, 86_400.0)
