"""Holds the segments of a log on the disk: the full ones, and the one that is being filled.

The mutex is held for changes in memory and for writes to the page cache, never during a flush. Only
the writer thread opens, makes, flushes and removes segments; any thread that has the mutex may
write lines and read entries.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.adapters.outbox import files as disk
from mqtt_http_bridge.adapters.outbox.disk_waits import WAITS
from mqtt_http_bridge.adapters.outbox.fault_log import FaultLog
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.index import segment_of
from mqtt_http_bridge.adapters.outbox.reading import Found, entries_in, read_log
from mqtt_http_bridge.adapters.outbox.records import Entry, entry_in, fields_of

_BAD_MEDIUM: Final = (errno.EIO, errno.EUCLEAN, errno.EBADMSG)
"""The errors that say that a place on the disk is bad, and not only that reading failed just
now."""
READ_TRIES: Final = 3
"""After this many failed reads, at least TRY_EVERY_S apart, the segment is given up."""
TRY_EVERY_S: Final = 30.0
"""A stick that is reset, or a card with a bad contact, is back before three of them are over."""


@dataclass(slots=True, eq=False)
class Tail:
    """A segment that is being filled, or was and is not flushed yet, with the entries in it."""

    segment: int
    descriptor: int
    position: int
    entries: dict[int, Entry]


class Segments:
    """The segments of a Log, which makes the `head` of each. Every method may raise OSError."""

    def __init__(self, files: LogFiles, faults: FaultLog, head: Callable[[], bytes]) -> None:
        """Does not touch the disk yet."""
        self.mutex = threading.RLock()
        self.files = files
        self.sizes: dict[int, int] = {}
        """The sizes by number, the oldest first."""
        self.given_up: set[int] = set()
        """Segments that could not be read three times: each is removed once all before it are
        gone."""
        self._faults = faults
        self._head = head
        self._tails: list[Tail] = []
        """The last one is being filled; the others wait for their flush."""
        self._cached: tuple[int, dict[int, Entry]] = (0, {})
        """The full segment that was read last, with its entries."""
        self._tries: dict[int, tuple[int, float]] = {}

    # --- the writer's --------------------------------------------------------------------------

    def open(self) -> Found:
        """Takes over the directory, reads it, and cuts out what is damaged.

        It also flushes what an earlier process has written and not flushed. Raises OutboxBusy if
        another process has the directory.
        """
        self.close()
        try:
            self.files.take()
            found = read_log(self.files)
            lasting = [self._is_lasting(bad.segment, bad.error) for bad in found.unreadable]
            for bad in found.unreadable:
                if not all(lasting) or not found.sizes:
                    raise bad.error
                self.files.set_aside(bad.segment)
            for damage in found.damage:
                with suppress(OSError):  # If it cannot be copied, it stays there.
                    found.sizes[damage.segment] = self.files.cut_out(*damage)
            self.know(found)
            for segment in list(self.sizes)[-2:]:
                self._open_tail(segment)
        except BaseException:
            self.close()
            raise
        return found

    def know(self, found: Found) -> None:
        """Sets what was read, so that entries can be read."""
        self.sizes, self.given_up, self._cached, self._tries = found.sizes, set(), (0, {}), {}

    def _open_tail(self, segment: int) -> None:
        read = self.files.read(segment)
        data = read.rstrip(b"\n")
        descriptor = self.files.open(segment, os.O_RDWR)
        position = len(data) + 1 if data else 0
        self._tails.append(Tail(segment, descriptor, position, entries_in(data)))
        if len(read) < position:  # The line feed of the last line is missing.
            disk.write(descriptor, len(read), b"\n")

    def close(self) -> None:
        """Releases the directory."""
        self.close_tails()
        self.files.give_up()

    def close_tails(self) -> None:
        """Closes the files, without a flush."""
        with self.mutex:
            for tail in self._tails:
                disk.close(tail.descriptor)
            self._tails = []

    def roll(self, size: int) -> None:
        """Starts a new segment of `size` bytes."""
        # If one could not be made, its file may still be there.
        segment = max([*self.sizes, *self.files.segments()], default=0) + 1
        with self._faults.flushing():
            self.files.create(segment, size)
        with self.mutex:
            self.sizes[segment] = size
            self._open_tail(segment)
            self.write(self._head())

    def flush(self) -> None:
        """Flushes everything that was written before."""
        with self.mutex:
            tails = list(self._tails)
        with self._faults.flushing(), WAITS.waiting():
            for tail in tails:
                disk.flush(tail.descriptor)
        with self.mutex:
            for tail in tails[:-1]:
                disk.close(tail.descriptor)
                self._tails.remove(tail)

    @property
    def is_behind(self) -> bool:
        """Tells whether the segment before the last one is not flushed yet."""
        return len(self._tails) > 1

    def remove_oldest(self) -> None:
        """Removes the oldest segment, in which nothing is owed."""
        oldest = next(iter(self.sizes))
        if oldest in self.given_up:
            self.files.set_aside(oldest)
        else:
            self.files.remove(oldest)
        with self.mutex:  # Not before: what the disk does not let go of has to go before the next.
            del self.sizes[oldest]
            self.given_up.discard(oldest)

    def is_in_place(self) -> bool:
        """Tells whether the lock and the last segment are there: nobody moved the directory."""
        tail = self._tails[-1]
        return self.files.is_ours() and self.files.is_in_place(tail.segment, tail.descriptor)

    def is_known(self) -> bool:
        """Tells whether this is the directory that was read, with all of its segments."""
        return self.files.is_ours() and self.sizes.keys() <= self.files.segments().keys()

    # --- with the mutex ------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """Returns how many bytes still fit into the segment that is being filled."""
        return self.sizes[self._tails[-1].segment] - self._tails[-1].position if self._tails else 0

    def write(self, line: bytes) -> int:
        """Writes a line without a flush; returns the number of its segment.

        The segment grows if the writer thread hangs for so long that it cannot make the next one in
        time.
        """
        tail = self._tails[-1]
        with WAITS.waiting():
            disk.write(tail.descriptor, tail.position, line)
        tail.position += len(line)
        self.sizes[tail.segment] = max(self.sizes[tail.segment], tail.position)
        entry = entry_in(fields_of(line))
        if entry is not None:
            tail.entries[entry.number] = entry
        return tail.segment

    def number_of(self, slot: int) -> int:
        """Returns the number of the segment in a slot."""
        return segment_of(slot, next(iter(self.sizes), 0))

    def entries(self, segment: int) -> dict[int, Entry]:
        """Returns the last text of each entry in a segment, owed or not."""
        for tail in self._tails:
            if tail.segment == segment:
                return tail.entries
        if segment not in self.sizes or segment in self.given_up:
            return {}
        if segment != self._cached[0]:
            self._cached = segment, entries_in(self.files.read(segment))
            self._tries.pop(segment, None)
        return self._cached[1]

    def _is_lasting(self, segment: int, error: OSError) -> bool:
        """Counts a failed read of a segment; tells whether it is time to give it up."""
        if error.errno not in _BAD_MEDIUM:
            return False
        tries, last_s = self._tries.get(segment, (0, -TRY_EVERY_S))
        if time.monotonic() >= last_s + TRY_EVERY_S:
            tries += 1
            self._tries[segment] = tries, time.monotonic()
        return tries >= READ_TRIES

    def is_lost(self, segment: int, error: OSError) -> bool:
        """Counts a failed read of a segment; tells whether it was given up now.

        It is if that has lasted, and others can be read, so that only this one is bad.
        """
        if not self._is_lasting(segment, error):
            return False
        is_alone = any(self._is_readable(other) for other in self.sizes if other != segment)
        if is_alone:
            self.given_up.add(segment)
        return is_alone

    def _is_readable(self, segment: int) -> bool:
        with suppress(OSError):
            self.files.read(segment)
            return True
        return False
