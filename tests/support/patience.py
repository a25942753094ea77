"""Waits for a condition, but not for ever: use it instead of a sleep."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Far longer than anything takes: to fail instead of hanging."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Returns when it is so. Fails if that takes longer than PATIENCE_S."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
