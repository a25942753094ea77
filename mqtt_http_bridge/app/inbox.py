"""What the other threads have for the main thread, in the order in which it came."""

import queue
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.events import Event

MOST_LEFT: Final = 256
"""So many may be left before the main thread is woken after all: 16 KiB of messages are fewer."""
LONGEST_LEFT_S: Final = 30.0
"""What is left waits no longer. A keepalive is due by then, which ends the wait, but for a GX whose
portal id is not known yet nothing may be due for an hour."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asked for the end."""


@dataclass(frozen=True, slots=True)
class ThreadDied:
    """A thread ended with an exception: what it did is not done any more."""

    name: str


Item = Event | Stop | ThreadDied


class Inbox:
    """Any thread and any signal handler may put; one thread gets.

    Waking a thread costs more than what it then does with a few messages, so what can wait is left
    and taken along with whatever comes next.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        # Not a Queue or an Event: a signal handler may ring this one even while `get` is under way.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_long = False
        """Whether the wait under way is one that `leave` ends, too."""

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: Item) -> None:
        """Adds one, and ends a wait."""
        self._items.append(item)
        self._ring()

    def put_all(self, items: Iterable[Item]) -> None:
        """Adds several, and ends a wait."""
        self._items.extend(items)
        self._ring()

    def leave(self, items: Iterable[Item]) -> None:
        """Adds several that can wait until something else ends the wait, unless they are many.

        A wait for more than LONGEST_LEFT_S they end, too.
        """
        self._items.extend(items)
        if self._is_long or len(self._items) >= MOST_LEFT:
            self._ring()

    def _ring(self) -> None:
        if self._bell.empty():
            self._bell.put(None)

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The next one, waiting for it; None if there is none within `timeout_s`."""
        # Before looking: whoever leaves something after the look has to see it.
        self._is_long = timeout_s is None or timeout_s > LONGEST_LEFT_S
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                pass
            try:
                # A ring that is left over from what was already taken ends this once, too.
                self._bell.get(timeout=timeout_s)
            except queue.Empty:
                return self._items.popleft() if self._items else None
