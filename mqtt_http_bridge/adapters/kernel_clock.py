"""Asks the kernel whether something keeps its clock synchronised: NTP, as a rule."""

import ctypes
from typing import Final

_TIME_ERROR: Final = 5
"""The return value of the call while the clock is not synchronised."""
_STRUCT_BYTES: Final = 512
"""More than any `struct timex` has; its first member, the modes, is 0: nothing is changed."""


def is_synchronised() -> bool:
    """Tells whether the kernel says so; where it cannot be asked, it does not."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    state: int = adjtimex(ctypes.create_string_buffer(_STRUCT_BYTES))
    return 0 <= state < _TIME_ERROR
