"""Waits that end: each says what it waits for, and gives up with these words."""

import time
from collections.abc import Callable


class Failed(RuntimeError):
    """Raised when what was to be measured did not do what it is for; says what was expected."""


def wait_for(
    what: str, is_so: Callable[[], bool], *, within_s: float, every_s: float = 0.02
) -> None:
    """Returns as soon as it is so. Raises Failed if that takes longer than `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise Failed(f"expected {what} within {within_s:g} s")
        time.sleep(every_s)
