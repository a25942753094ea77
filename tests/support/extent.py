"""Says how long a test should go on that could take hours: use it with the mark `slow`.

`./tests/run` goes a short way with each of them, `./tests/run slow` a long one with them alone.

Says also how hypothesis finds its examples, in every test.
"""

import os

from hypothesis import HealthCheck, settings

IS_LONG = os.environ.get("SLOW_TESTS", "no") == "yes"


def extent(short: int, long: int) -> int:
    """Gives the count for this run: the short one, or with SLOW_TESTS=yes the long one."""
    return long if IS_LONG else short


ours = settings(
    derandomize=not IS_LONG,
    deadline=None,
    print_blob=IS_LONG,
    suppress_health_check=[HealthCheck.too_slow],
)
"""The same examples every time, but a long run looks for what those of every day do not find."""

fuzzed = settings(ours, max_examples=extent(100, 5_000))
"""Sets how many examples to look at; use it on what takes anything at all from outside."""
