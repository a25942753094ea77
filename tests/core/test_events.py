"""Tests moments: one instant on two clocks, only one of which may step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.events import Moment
from tests.support.sayings import START, moment

microseconds = st.integers(min_value=0, max_value=10**12)


@given(microseconds, microseconds)
def test_a_moment_knows_every_other(now_us: int, then_us: int) -> None:
    """The wall clock follows the monotonic one to the microsecond, forward and back."""
    now, then = moment(now_us / 1e6), moment(then_us / 1e6)
    assert now.at(then.monotonic_s) == then


def test_the_past_is_told_by_the_present_wall_clock() -> None:
    """After the wall clock stepped, what was heard 10 s ago was heard 10 s before its new time."""
    stepped = Moment(100.0, START.replace(year=2027))
    assert (stepped.utc - stepped.at(90.0).utc).total_seconds() == 10.0


@pytest.mark.parametrize(
    ("limit_s", "expected_s"),
    [(4.0, 5.0), (5.0, 5.0), (6.5, 6.5)],
    ids=["earlier", "now", "later"],
)
def test_not_before_only_moves_forward(limit_s: float, expected_s: float) -> None:
    """A moment that is late enough stays; another becomes the one at the limit."""
    assert moment(5.0).not_before(limit_s) == moment(expected_s)
