"""Tests the waits between tries: doubling, bounded, and drawn as each kind of peer needs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.backoff import ceiling_s, full_jitter_s, steady_jitter_s

failures_in_a_row = st.integers(min_value=1, max_value=10**9)
evenly = st.floats(min_value=0.0, max_value=1.0)


@pytest.mark.parametrize(
    ("failures", "expected_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (8, 128.0), (9, 256.0), (10, 300.0)]
)
def test_the_ceiling_doubles_up_to_the_limit(failures: int, expected_s: float) -> None:
    """It starts at `first_s` after the first failure and ends at `limit_s`."""
    assert ceiling_s(failures, first_s=1.0, limit_s=300.0) == expected_s


@given(failures_in_a_row)
def test_the_ceiling_never_falls_or_overflows(failures: int) -> None:
    """A relay that fails for years waits `limit_s`, and never less than a failure before."""
    ceilings_s = [ceiling_s(n, first_s=60.0, limit_s=900.0) for n in (failures, failures + 1)]
    assert all(earlier <= later <= 900.0 for earlier, later in pairwise(ceilings_s))


@given(failures_in_a_row, evenly)
def test_full_jitter_is_anywhere_below_the_ceiling(failures: int, share: float) -> None:
    """The whole wait is drawn, also once the limit is reached."""
    limits = {"first_s": 1.0, "limit_s": 300.0}
    wait_s = full_jitter_s(failures, **limits, draw=lambda low, high: low + share * (high - low))
    assert wait_s == share * ceiling_s(failures, **limits)


@pytest.mark.parametrize(
    ("failures", "expected_s"), [(1, (60.0, 66.0)), (2, (120.0, 132.0)), (9, (900.0, 990.0))]
)
def test_steady_jitter_only_adds(failures: int, expected_s: tuple[float, float]) -> None:
    """A peer that counts attempts sees no two closer than the ceiling, nor much further apart."""
    drawn = [
        steady_jitter_s(failures, first_s=60.0, limit_s=900.0, draw=draw) for draw in (min, max)
    ]
    assert drawn == pytest.approx(expected_s)
