"""Spaces out attempts at something that fails: longer and longer waits, with jitter."""

from collections.abc import Callable

Draw = Callable[[float, float], float]
"""Draws a number evenly between two others: `random.uniform`, or a fixed choice in a test."""


def ceiling_s(failures: int, *, first_s: float, limit_s: float) -> float:
    """The longest wait after `failures` failures in a row (1 or more): doubling up to `limit_s`."""
    # The exponent is held down because a relay can fail thousands of times: 2.0 ** 1024 overflows.
    return min(limit_s, first_s * 2.0 ** min(failures - 1, 32))


def full_jitter_s(failures: int, *, first_s: float, limit_s: float, draw: Draw) -> float:
    """A wait anywhere between 0 and the ceiling, so many relays do not all come back at once."""
    return draw(0.0, ceiling_s(failures, first_s=first_s, limit_s=limit_s))


def steady_jitter_s(failures: int, *, first_s: float, limit_s: float, draw: Draw) -> float:
    """A wait never shorter than the ceiling and at most a tenth longer.

    For a peer that counts our attempts, such as the GX's limiter of refused logins (docs/gx.md).
    """
    wait_s = ceiling_s(failures, first_s=first_s, limit_s=limit_s)
    return draw(wait_s, wait_s * 1.1)
