"""Says how long delivery waits before it tries again, by what went wrong."""

from typing import Final

FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 300.0
"""The back-off from a failing backend doubles from the first to the second."""
LONGEST_RETRY_AFTER_S: Final = 3600.0
"""A backend that asks for a longer pause than this only gets this."""
SLOW_STEPS_S: Final = (60.0, 300.0, 900.0, 3600.0)
"""Waits for something that a person has to fix; the last one repeats."""
LONGEST_ADDRESS_STEP_S: Final = 300.0
"""The longest of them if something else answers: a captive portal goes away by itself."""
LEAST_APART_S: Final = 10.0
"""Two failures on a device within this time may be one lasting fault of the backend."""
LONGEST_BACKLOG_START_S: Final = 30.0
"""A backlog starts within this time at random, and no later than it would take to send: when a
backend comes back, not all relays start at once."""


def slow_step_s(failures: int) -> float:
    """Returns the wait after `failures` failures in a row that a person has to fix."""
    return SLOW_STEPS_S[min(failures, len(SLOW_STEPS_S)) - 1]
