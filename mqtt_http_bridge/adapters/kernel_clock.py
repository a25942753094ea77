"""Asks the kernel whether something, usually NTP, keeps its clock synchronised."""

import ctypes
from typing import Final

_TIME_ERROR: Final = 5
"""The return value of the call while the clock is not synchronised."""
_STRUCT_BYTES: Final = 512
"""More than any `struct timex` has; its first member, the modes, is 0: nothing is changed."""


def is_synchronised() -> bool:
    """Tells whether the kernel's clock is synchronised; False if the kernel cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    state: int = adjtimex(ctypes.create_string_buffer(_STRUCT_BYTES))
    return 0 <= state < _TIME_ERROR
