"""Tests how long an idle connection is used again, given how the last ones went."""

import pytest

from mqtt_http_bridge.adapters.backend.keep_time import A_DAY_S, KeepTime
from mqtt_http_bridge.core.events import NEVER

TIMEOUT_S = 30.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> KeepTime:
    return KeepTime(clock)


@pytest.mark.parametrize(
    ("told_s", "longest_s"), [(None, NEVER), (75.0, 73.0), (5.0, 3.0), (4.0, 2.0), (1.0, 0.5)]
)
def test_what_the_server_tells_less_a_margin(
    kept: KeepTime, told_s: float | None, longest_s: float
) -> None:
    """A request never meets the closing."""
    kept.told(told_s)
    assert kept.longest_s == longest_s


def test_the_last_word_counts(kept: KeepTime) -> None:
    """A server that tells nothing any more may have been set up anew."""
    kept.told(5.0)
    kept.told(None)
    assert kept.longest_s == NEVER


def break_after(kept: KeepTime, idle_s: float) -> None:
    """A connection breaks after a silence, and a new one is answered at once."""
    kept.broke(idle_s)
    kept.answered(0.1, None)


def test_a_silence_that_a_connection_did_not_survive_is_halved_for_a_day(
    kept: KeepTime, clock: Clock
) -> None:
    """One late POST a day on a link that forgets idle connections."""
    break_after(kept, 30.0)
    assert kept.longest_s == 15.0
    clock.now_s += A_DAY_S - 1.0
    assert kept.longest_s == 15.0
    clock.now_s += 2.0
    assert kept.longest_s == NEVER


def test_what_the_server_tells_and_what_was_found_out_both_hold(kept: KeepTime) -> None:
    """The shorter of the two."""
    break_after(kept, 30.0)
    kept.told(75.0)
    assert kept.longest_s == 15.0
    kept.told(5.0)
    assert kept.longest_s == 3.0


def test_a_backend_that_is_down_does_not_shorten_it(kept: KeepTime) -> None:
    """New connections failed as well: the silence was not to blame."""
    kept.broke(30.0)
    kept.broke(None)
    kept.answered(0.1, None)
    assert kept.longest_s == NEVER


def test_a_connection_that_breaks_while_it_is_busy_does_not_shorten_it(kept: KeepTime) -> None:
    """A backlog goes on over few connections after one that broke."""
    break_after(kept, 0.01)
    break_after(kept, 3.0)
    assert kept.longest_s == NEVER


def test_it_never_becomes_so_short_that_a_backlog_needs_many_connections(kept: KeepTime) -> None:
    """Three seconds are survived by everything."""
    for idle_s in (24.0, 12.0, 6.0, 5.0, 3.1):
        break_after(kept, idle_s)
    assert kept.longest_s == 3.0


def test_after_an_unproven_silence_nobody_waits_long(kept: KeepTime) -> None:
    """Ten seconds more than the last answer took; and as long as ever over what is proven."""
    kept.answered(0.5, None)
    assert kept.answer_within_s(30.0, TIMEOUT_S) == 10.5
    assert kept.answer_within_s(1.0, TIMEOUT_S) == TIMEOUT_S
    kept.answered(0.5, 30.0)
    assert kept.answer_within_s(31.0, TIMEOUT_S) == TIMEOUT_S
    assert kept.answer_within_s(60.0, TIMEOUT_S) == 10.5


def test_a_slow_backend_is_given_its_time(kept: KeepTime) -> None:
    """It may take ten seconds more than before, but no longer than its user allows."""
    kept.answered(15.0, None)
    assert kept.answer_within_s(30.0, TIMEOUT_S) == 25.0
    kept.answered(25.0, None)
    assert kept.answer_within_s(30.0, TIMEOUT_S) == TIMEOUT_S


def test_a_silence_that_broke_is_not_proven_any_more(kept: KeepTime, clock: Clock) -> None:
    """The day after, the first try of it is short again."""
    kept.answered(0.0, 30.0)
    break_after(kept, 30.0)
    clock.now_s += A_DAY_S + 1.0
    assert kept.longest_s == NEVER
    assert kept.answer_within_s(30.0, TIMEOUT_S) == 10.1
