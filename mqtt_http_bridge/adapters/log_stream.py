"""Writes lines to a stream that may be slow, full or gone, without making anybody wait.

A pipe holds 64 KiB. Once nobody reads it, the writer blocks: that used to be the main thread, so a
log could stop all measuring. Here threads only leave their lines, and one thread writes them. What
does not fit is dropped and counted, and the count is told as soon as it can be.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from io import UnsupportedOperation
from typing import Final, TextIO

MOST_WAITING: Final = 1000
"""Lines, each of which has 1,000 characters at most: in the worst case some MB."""
LONGEST_IDLE_WAIT_S: Final = 60.0
_RETRY_S: Final = 0.2
"""Seconds until a stream that is full and does not block is tried again."""


class LineWriter:
    """Owns a thread that writes to one stream. Any thread may call its methods."""

    def __init__(
        self, stream: TextIO, *, gap: Callable[[int], str] | None = None, most: int = MOST_WAITING
    ) -> None:
        """Starts the thread. `gap` makes the line that tells how many were dropped before it."""
        self._write_out = _writer(stream)
        self._encoding = stream.encoding or "utf-8"
        self._gap = gap
        self._most = most
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._is_closing = False
        self.is_broken = False
        """True while the stream takes nothing: its reader is gone, or the disk is full."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Leaves a line to be written, or drops it. Never waits for the stream."""
        with self._changed:
            if len(self._lines) < self._most and not self._is_closing:
                self._lines.append(line)
                self._changed.notify()
            else:
                self._lost += 1

    def close(self, limit_s: float | None) -> None:
        """Waits until everything is written, at most `limit_s`, and gives up the rest."""
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
        """Waits for lines to write, and returns them; empty if nothing will come any more."""
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
    """Returns what writes to `stream` past its buffer, which would be flushed at the very end."""
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
            # Somebody who shares it made it so.
            threading.Event().wait(_RETRY_S)
