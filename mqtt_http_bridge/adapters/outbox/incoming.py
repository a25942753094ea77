"""Queues measurements for the writer thread. The main thread never waits; the size is limited."""

import threading
from collections import deque

from mqtt_http_bridge.adapters.outbox.log import ClockChange
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.room import MEMORY_BYTES

Item = Entry | ClockChange
"""A task of the writer: a new entry to store, or a change of the clock to note."""


class Incoming:
    """A queue with its own lock, which is held only while something is appended."""

    def __init__(self) -> None:
        self._is_there = threading.Condition(threading.Lock())
        self._items: deque[Item] = deque()
        self._bytes = 0
        self.added = 0
        """Counts all items that were ever added."""
        self._dropped: list[bytes] = []
        self._is_closed = self._is_woken = False

    @property
    def waiting(self) -> int:
        """Returns the number of measurements in the queue."""
        with self._is_there:
            return sum(isinstance(item, Entry) for item in self._items)

    def add(self, item: Item) -> None:
        """Appends an item; if there are too many, the oldest measurements are dropped."""
        with self._is_there:
            self._items.append(item)
            self.added += 1
            self._bytes += len(item.body) if isinstance(item, Entry) else 0
            while self._bytes > MEMORY_BYTES:
                oldest = next(item for item in self._items if isinstance(item, Entry))
                self._items.remove(oldest)
                self._bytes -= len(oldest.body)
                self._dropped.append(oldest.body[:256])
            self._is_there.notify()

    def wake(self, *, is_closing: bool = False) -> None:
        """Ends a `take`; with `is_closing`, also every later one."""
        with self._is_there:
            self._is_woken = True
            self._is_closed |= is_closing
            self._is_there.notify()

    def take(self, timeout_s: float) -> tuple[list[Item], list[bytes]] | None:
        """Takes everything: the items, and the beginnings of the bodies that were dropped.

        Returns None once it is closed and empty.
        """
        with self._is_there:
            if not (self._items or self._is_woken):
                self._is_there.wait(timeout_s)
            if self._is_closed and not self._items:
                return None
            items, dropped = list(self._items), self._dropped
            self._items.clear()
            self._bytes, self._dropped, self._is_woken = 0, [], self._is_closed
            return items, dropped
