"""Passes items from the other threads to the main thread, in the order in which they came."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from mqtt_http_bridge.core.events import Disconnected, Dropped, Event, Message

log = logging.getLogger(__name__)


class Stop:
    """Asks the main loop to end."""


class ThreadDied(NamedTuple):
    """A thread ended with an exception: its work is no longer done."""

    name: str


class Call(NamedTuple):
    """Asks the main thread to run something once it has handled everything before it."""

    do: Callable[[], None]


Item = Event | Stop | ThreadDied | Call


MOST_BYTES: Final = 20_971_520
"""The most bytes of waiting messages, roughly: more are dropped, and the relay is told."""
FLOOD_BYTES: Final = 1_048_576
"""Seconds of work for a small machine."""
MESSAGE_BYTES: Final = 120
"""Bytes that a message takes besides its topic and its payload."""
FAILED: Final = 1
"""The exit status if a thread has died and nobody can be told."""
_STDERR: Final = 2
_UNTOLD: Final = "CRITICAL a thread died, and there is no memory to say which: ending\n"


class Inbox:
    """Queues items; any thread may put, one thread gets.

    Messages come from one thread. If more than MOST_BYTES wait, they are dropped until the relay
    has made a new connection: what was in them is not known.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        # Each is written by one thread only, so no lock is needed.
        self._bytes_put = self._bytes_got = 0
        self._dropped = 0
        self._stop: Stop | None = None
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def __bool__(self) -> bool:
        return not self._items.empty()

    def put(self, item: Item) -> None:
        """Adds one, and ends a wait."""
        if isinstance(item, Message):
            self._put_message(item)
            return
        if isinstance(item, Stop):
            self._stop = item
        self._items.put(item)
        if isinstance(item, Disconnected) and self._dropped:
            # The first one was reported at once.
            self._items.put(Dropped(item.moment, messages=self._dropped - 1))
            self._dropped = 0

    def _put_message(self, message: Message) -> None:
        size = _size(message)
        if self._dropped or self._bytes_put + size - self._bytes_got > self._most_bytes:
            self._dropped += 1
            if self._dropped == 1:
                self._items.put(Dropped(message.moment, messages=1))
            return
        self._bytes_put += size
        self._items.put(message)

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Returns the next one, waiting for it; None if there is none within `timeout_s`.

        A Stop comes before a flood of messages, which would take long to handle.
        """
        if self._stop is not None and self._bytes_put - self._bytes_got > FLOOD_BYTES:
            stop, self._stop = self._stop, None
            return stop
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if item is self._stop:
            self._stop = None
        if isinstance(item, Message):
            self._bytes_got += _size(item)
        return item


def _size(message: Message) -> int:
    return MESSAGE_BYTES + len(message.topic) + len(message.payload)


@contextmanager
def watch_threads(inbox: Inbox) -> Iterator[None]:
    """Puts ThreadDied into the inbox for threads that die meanwhile.

    If memory is too short even for that, the process ends at once, or nobody would ever know.
    """

    def report(arguments: threading.ExceptHookArgs) -> None:
        try:
            name = arguments.thread.name if arguments.thread else "without a name"
            log.critical("the thread %s died", name, exc_info=arguments.exc_value)
            inbox.put(ThreadDied(name))
        except BaseException:  # noqa: BLE001 - whatever it is, the process must not go on
            try:
                os.write(_STDERR, _UNTOLD.encode())
            finally:
                os._exit(FAILED)

    previous_hook, threading.excepthook = threading.excepthook, report
    try:
        yield
    finally:
        threading.excepthook = previous_hook
