"""Makes one system call fail, the n-th that touches a directory: use it to test the recovery.

All of `os` that our files go through is wrapped, and `flock`; what concerns other files is let
through. A `close` that fails has closed all the same, as on Linux. A write may also take half.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

CODES: Final = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE, errno.ENOMEM)
HALF: Final = 0
"""Stands for no error: a read or a write that does half of what was asked for."""

_OF_PATHS: Final = ("open", "unlink", "rename", "replace", "mkdir", "scandir", "listdir")
_ASKING: Final = ("stat", "statvfs")
_OF_DESCRIPTORS: Final = ("pwrite", "pread", "ftruncate", "fdatasync", "fsync", "fstat", "close")


class FaultyOs:
    """Counts the calls that concern one directory, and fails those of some numbers."""

    def __init__(self, directory: Path) -> None:
        """Fails nothing yet."""
        self.count = 0
        self.met: list[str] = []
        """The names of the calls that failed."""
        self._begin = str(directory)
        self._code = 0
        self._numbers = range(0)
        self._descriptors: set[int] = set()
        self._lock = threading.RLock()

    def fail(self, numbers: range, code: int) -> None:
        """Has the calls of these numbers fail with this error, counted from the first of all."""
        self._numbers, self._code = numbers, code

    def heal(self) -> None:
        """Has no call fail any more."""
        self._numbers = range(0)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Makes the function `name`, with its faults."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                if not self._is_ours(arguments[0]):
                    return call(*arguments, **options)
                is_to_fail = self.count in self._numbers
                self.count += 1
                if is_to_fail:
                    self.met.append(name)
                if is_to_fail and self._code == HALF:
                    return self._call(name, call, _halved(name, arguments), options)
                if is_to_fail:
                    if name == "close":
                        self._call(name, call, arguments, options)
                    raise OSError(self._code, os.strerror(self._code))
            return self._call(name, call, arguments, options)

        return wrapped

    def _is_ours(self, first: Any) -> bool:
        if isinstance(first, int):
            return first in self._descriptors
        return str(os.fspath(first)).startswith(self._begin)

    def _call(self, name: str, call: Callable[..., Any], arguments: Any, options: Any) -> Any:
        if name == "close":
            self._descriptors.discard(arguments[0])
        result = call(*arguments, **options)
        if name == "open":
            self._descriptors.add(result)
        return result


def _halved(name: str, arguments: Any) -> Any:
    if name == "pwrite":
        descriptor, data, offset = arguments
        return descriptor, data[: (len(data) + 1) // 2], offset
    if name == "pread":
        descriptor, size, offset = arguments
        return descriptor, (size + 1) // 2, offset
    return arguments


@contextmanager
def faulty_os(directory: Path) -> Iterator[FaultyOs]:
    """Within this, calls that touch `directory` are counted, and fail as told."""
    faulty = FaultyOs(directory)
    with pytest.MonkeyPatch.context() as patch:
        for name in (*_OF_PATHS, *_ASKING, *_OF_DESCRIPTORS):
            patch.setattr(os, name, faulty.wrap(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", faulty.wrap("flock", fcntl.flock))
        yield faulty
