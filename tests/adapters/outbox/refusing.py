"""Makes a disk that refuses, by replacing the system calls of one module."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mqtt_http_bridge.adapters.outbox import files
from mqtt_http_bridge.adapters.outbox.files import LogFiles

LONGEST_HANG_S = 20.0


def _error(code: int) -> Callable[..., Any]:
    def refused(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return refused


@contextmanager
def refusing(code: int, *names: str) -> Iterator[None]:
    """The named functions of the disk layer fail: `write`, `flush`, or methods of LogFiles."""
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(files if name in ("write", "flush") else LogFiles, name, _error(code))
        yield


def refusing_everything(code: int = errno.EIO) -> Any:
    """Nothing can be written, flushed, made or removed."""
    return refusing(code, "write", "flush", "create", "remove")


@contextmanager
def unreadable(segment: int, code: int = errno.EIO) -> Iterator[None]:
    """The disk does not give one segment."""
    read = LogFiles.read

    def read_others(log_files: LogFiles, wanted: int) -> bytes:
        if wanted == segment:
            raise OSError(code, os.strerror(code))
        return read(log_files, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogFiles, "read", read_others)
        yield


class HangingFlush:
    """A disk that hangs in its next flush, until it is let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._gate, self._is_hanging = threading.Event(), threading.Event()
        patch.setattr(files, "flush", self._flush)

    def _flush(self, descriptor: int) -> None:
        self._is_hanging.set()
        self._gate.wait(LONGEST_HANG_S)

    def wait(self) -> None:
        """Waits until somebody flushes."""
        assert self._is_hanging.wait(LONGEST_HANG_S)

    def let_go(self) -> None:
        """Ends every flush, also those to come."""
        self._gate.set()
