"""Writes lines to a stream that may be slow, full or gone, and never makes the caller wait.

A pipe holds 64 KiB. If nobody reads it, the writer blocks. In the main thread, that would stop all
measuring. So threads only queue their lines here, and one thread writes them. What does not fit is
dropped and counted, and the count is logged as soon as possible.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from io import UnsupportedOperation
from typing import Final, TextIO

from mqtt_http_bridge.adapters import thread_start

MOST_WAITING: Final = 1000
"""The most lines to queue. A line has at most 1,000 characters, so this is a few MB at worst."""
LONGEST_IDLE_WAIT_S: Final = 60.0
_RETRY_S: Final = 0.2
"""Seconds until a non-blocking stream that is full is tried again."""


class LineWriter:
    """Writes to one stream with its own thread. Any thread may call its methods."""

    def __init__(
        self, stream: TextIO, *, gap: Callable[[int], str] | None = None, most: int = MOST_WAITING
    ) -> None:
        """Starts the thread. `gap` makes the line that says how many were dropped before it."""
        self._write_out = _writer(stream)
        self._encoding = stream.encoding or "utf-8"
        self._gap = gap
        self._most = most
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._is_closing = False
        self.is_broken = False
        """True while nothing can be written: the reader is gone, or the disk is full."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        thread_start.start(self._thread)

    def put(self, line: str) -> None:
        """Queues a line, or drops it. Never waits for the stream."""
        with self._changed:
            if len(self._lines) < self._most and not self._is_closing:
                self._lines.append(line)
                self._changed.notify()
            else:
                self._lost += 1

    def close(self, limit_s: float | None) -> None:
        """Waits until everything is written, at most `limit_s`, and drops the rest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(limit_s)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next_batch():
            for line in batch:
                self._write(line)

    def _next_batch(self) -> list[str]:
        """Waits for lines and returns them; empty if no more will come."""
        with self._changed:
            while not self._lines and not self._is_closing:
                self._changed.wait(LONGEST_IDLE_WAIT_S)
            batch, lost = list(self._lines), self._lost
            self._lines.clear()
            self._lost = 0
        if lost and self._gap and not self.is_broken:
            batch.append(self._gap(lost))
        elif lost:
            self._count(lost)
        return batch

    def _write(self, line: str) -> None:
        try:
            self._write_out(f"{line}\n".encode(self._encoding, "backslashreplace"))
            self.is_broken = False
        except (OSError, ValueError):  # ValueError: a stream that has been closed.
            self.is_broken = True
            self._count(1)

    def _count(self, lost: int) -> None:
        with self._changed:
            self._lost += lost


def _writer(stream: TextIO) -> Callable[[bytes], None]:
    """Returns a writer to `stream` that bypasses its buffer, which is flushed only at exit."""
    try:
        descriptor = stream.fileno()
    except (UnsupportedOperation, AttributeError):

        def write_text(data: bytes) -> None:
            stream.write(data.decode(stream.encoding or "utf-8"))
            stream.flush()

        return write_text
    stream.flush()
    return lambda data: _write_all(descriptor, data)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Another process that shares the stream may have made it non-blocking.
            threading.Event().wait(_RETRY_S)
