"""Notes since when each thread has been in a system call of the outbox: a disk may hang."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LONGEST_S: Final = 300.0
"""Seconds that a disk may hang, which is logged, before it counts as no progress."""


class DiskWaits:
    """Knows the calls that are under way. Any thread may call it; it never waits."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}
        """By thread."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Notes a call for as long as this is open; one within another is a part of it.

        Used as a decorator, it notes each call of the function.
        """
        thread = threading.get_ident()
        if thread in self._since_s:
            yield
            return
        self._since_s[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._since_s[thread]

    def until_s(self) -> float:
        """Returns until when the disk may take for what is under way; in the past for nothing.

        It goes for all threads: one may hold the lock that another one waits for.
        """
        return min(self._since_s.copy().values(), default=-float("inf")) + LONGEST_S


WAITS: Final = DiskWaits()
"""The calls of this process, whichever outbox they are for: a thread is in one at a time."""
