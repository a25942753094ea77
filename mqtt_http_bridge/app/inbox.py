"""What the other threads have for the main thread, in the order in which it came."""

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mqtt_http_bridge.core.events import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asked for the end."""


@dataclass(frozen=True, slots=True)
class ThreadDied:
    """A thread ended with an exception: what it did is not done any more."""

    name: str


Item = Event | Stop | ThreadDied


class Inbox:
    """Any thread and any signal handler may put; one thread gets."""

    def __init__(self) -> None:
        # Not a Queue: a signal handler may put into this one even while `get` is under way.
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def __bool__(self) -> bool:
        return not self._items.empty()

    def put(self, item: Item) -> None:
        """Adds one, and ends a wait."""
        self._items.put(item)

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The next one, waiting for it; None if there is none within `timeout_s`."""
        try:
            return self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None


@contextmanager
def watch_threads(inbox: Inbox) -> Iterator[None]:
    """Within this, threads that die put ThreadDied into the inbox."""

    def report(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread else "without a name"
        log.critical("the thread %s died", name, exc_info=arguments.exc_value)
        inbox.put(ThreadDied(name))

    previous_hook, threading.excepthook = threading.excepthook, report
    try:
        yield
    finally:
        threading.excepthook = previous_hook
