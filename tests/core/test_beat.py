"""Tests the moments at which one GX is measured."""

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.beat import Beat


def test_the_first_measurement_sets_the_beat() -> None:
    """Is due from the beginning on, and has no moment of its own."""
    beat = Beat(30.0)
    assert (beat.is_due, beat.next_s) == (True, NEVER)
    beat.measured(100.0)
    assert (beat.is_due, beat.next_s) == (False, 130.0)


def test_a_moment_that_is_made_up_for_leaves_the_beat_as_it_was() -> None:
    """Goes on an interval apart, however late one was measured."""
    beat = Beat(30.0)
    beat.measured(100.0)
    beat.strike()
    assert (beat.is_due, beat.next_s) == (True, 160.0)
    beat.measured(147.0)
    assert (beat.is_due, beat.next_s) == (False, 160.0)


def test_an_end_is_the_end() -> None:
    """Has nothing due any more, neither now nor later."""
    beat = Beat(30.0)
    beat.end()
    assert (beat.is_due, beat.next_s) == (False, NEVER)
    beat = Beat(30.0)
    beat.measured(100.0)
    beat.strike()
    beat.end()
    assert (beat.is_due, beat.next_s) == (False, NEVER)
