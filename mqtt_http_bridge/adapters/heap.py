"""Has the threads share one heap of the C library.

glibc gives each thread a heap of its own, so that they need not wait for each other. Ours do that
anyway, for Python's lock, and nine heaps take a MiB more than one.
"""

import ctypes
from contextlib import suppress
from typing import Final

_M_ARENA_MAX: Final = -8
"""The option of glibc's mallopt that limits the number of heaps."""


def share_one() -> None:
    """Gives threads that start from now on no heap of their own; does nothing without glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
