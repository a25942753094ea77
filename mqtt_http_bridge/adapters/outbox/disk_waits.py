"""Notes since when each thread has been in a system call of the outbox: a disk may hang."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

LONGEST_S: Final = 300.0
"""Seconds that a disk may hang, which is logged, before it counts as no progress."""


class DiskWaits:
    """Knows the calls that are under way. Any thread may call it; it never waits."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}
        """By thread."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Notes a call for as long as this is open; one within another is a part of it."""
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


class _Waiting(Protocol):
    waits: DiskWaits


_Self = TypeVar("_Self", bound=_Waiting)
_Taken = ParamSpec("_Taken")
_Returned = TypeVar("_Returned")


def noted(
    method: Callable[Concatenate[_Self, _Taken], _Returned],
) -> Callable[Concatenate[_Self, _Taken], _Returned]:
    """Has a method noted while it runs, because it makes system calls."""

    @wraps(method)
    def wrapped(self: _Self, /, *arguments: _Taken.args, **options: _Taken.kwargs) -> _Returned:
        with self.waits.waiting():
            return method(self, *arguments, **options)

    return wrapped
