"""Tests the warm-up: from a new connection to the first measurement on it."""

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.warm_up import LAGGARD_S, WARM_UP_S, WarmUp


def state(warm_up: WarmUp) -> tuple[bool, bool, float]:
    """Returns all that is known of it."""
    return warm_up.is_echoed, warm_up.is_over, warm_up.due_s


def test_it_is_under_way_from_the_request_to_its_end() -> None:
    """Takes ten seconds where nothing ends it before."""
    warm_up = WarmUp()
    assert state(warm_up) == (False, False, NEVER)
    warm_up.begin(100.0)
    assert state(warm_up) == (False, False, 110.0)
    warm_up.is_echoed = True
    warm_up.end()
    assert state(warm_up) == (True, True, NEVER)


def test_a_new_connection_begins_with_nothing() -> None:
    """Forgets the echo and the end of the one before, asked already or not."""
    warm_up = WarmUp()
    for begin in (warm_up.wait, lambda: warm_up.begin(200.0)):
        warm_up.begin(100.0)
        warm_up.is_echoed = True
        warm_up.end()
        begin()
        assert (warm_up.is_echoed, warm_up.is_over) == (False, False)
    warm_up.wait()
    assert state(warm_up) == (False, False, NEVER)


def test_the_times_are_those_that_are_promised() -> None:
    """Gives a GX ten seconds to say everything, and a charger two."""
    assert (WARM_UP_S, LAGGARD_S) == (10.0, 2.0)
