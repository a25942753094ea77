"""The writer thread: writes what was queued, then keeps the log small and repairs it."""

import errno
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from mqtt_http_bridge.adapters.outbox.cleaning import LINE_BYTES, Cleaning
from mqtt_http_bridge.adapters.outbox.disk_waits import WAITS
from mqtt_http_bridge.adapters.outbox.incoming import Incoming, Item
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.losses import REFUSED, loss_of
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.requests import RETRY
from mqtt_http_bridge.core.errors import OutboxBusy
from mqtt_http_bridge.core.watchdog import LONGEST_REST_S, Progress

LOOK_EVERY_S: Final = 5.0
"""Seconds between two looks for requests, and for a disk that has come back."""
LONGEST_READ_S: Final = 300.0
"""Seconds that reading all of the log may take, on a slow machine with a slow disk."""
LONGEST_STEP_S: Final = 60.0
"""Seconds that a slow machine may take to write a segment again, besides the disk's own time."""
_MOST_UNFLUSHED: Final = 500
"""More lines than this are flushed without waiting for the next entry."""


class Writer(threading.Thread):
    """The writer of one outbox; it ends when its queue is closed."""

    def __init__(self, log: Log, incoming: Incoming, tell_news: Callable[[], None]) -> None:
        super().__init__(name="outbox", daemon=True)
        self.progress = Progress(self.name, time.monotonic, WAITS.until_s)
        self.taken_in = 0
        """Counts the queued items that have been handled."""
        self.retry_requests = 0
        self.offered = 0
        """Senders see no number above this one: later entries have not been flushed."""
        self._log = log
        self._cleaning = Cleaning(log, partial(self.progress.busy, LONGEST_STEP_S))
        self._incoming = incoming
        self._tell_news = tell_news
        self._next_look_s = time.monotonic() + LOOK_EVERY_S

    def begin(self) -> None:
        """Reads the log, or begins without a disk. Raises OutboxBusy if another process has it."""
        self._look()
        self._offer()
        self.progress.turn()

    def run(self) -> None:
        """Runs until the queue is closed and empty."""
        while (taken := self._incoming.take(self._wait_s())) is not None:
            self._turn(*taken)
            self.progress.turn()
        self._end()
        self.progress.end()

    def _wait_s(self) -> float:
        """Returns how long to wait for something to write.

        While nothing is owed or parked, no request can be about anything.
        """
        if self._log.is_on_disk and not self._log.index.live_bytes():
            return LONGEST_REST_S
        return max(0.0, min(self._next_look_s - time.monotonic(), LOOK_EVERY_S))

    def _turn(self, items: list[Item], dropped: list[bytes]) -> None:
        log, before = self._log, self._news()
        for body in dropped:
            log.count_lost(log.format.timestamp(body), REFUSED)
        if dropped:
            log.note()
        if log.is_on_disk and not log.segments.is_in_place():
            log.fail(FileNotFoundError(errno.ENOENT, "its directory has been moved or removed"))
            self._next_look_s = 0.0
        if time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + LOOK_EVERY_S
            try:
                self._look()
            except OutboxBusy as error:
                log.fail(error)
        if items:
            self._take_in(items)
        self._cleaning.bound_memory()
        self._offer()
        self.taken_in += len(items) + len(dropped)
        if self._news() != before:
            self._tell_news()
        if len(log.unflushed) > _MOST_UNFLUSHED:
            log.attempt(log.flush)
        log.attempt(self._cleaning.tidy)
        log.faults.lost(log.losses)

    def _news(self) -> tuple[int, int, int]:
        """Returns what others wait for: they are woken once when it has changed."""
        return self.taken_in, self.offered, self.retry_requests

    def _look(self) -> None:
        """Looks whether a refusing disk is back, and whether there are requests."""
        if not self._log.is_on_disk:
            try:
                self._recover()
            except OSError as error:
                self._log.fail(error)
        self._serve_requests()

    def _recover(self) -> None:
        """Begins to use the disk, or uses it again, and writes everything that is in memory."""
        self.progress.busy(LONGEST_READ_S)
        self._log.reopen()
        self._cleaning.bring_in()
        self._log.faults.well()

    def _serve_requests(self) -> None:
        # A drop has to be written down; a retry does not, so it also works without a disk.
        only = () if self._log.is_on_disk else (RETRY,)
        try:
            names = self._log.segments.files.take_requests(*only)
        except OSError as error:  # The files may be somebody else's; the log is fine.
            self._log.faults.requests_refused(error)
            return
        self.retry_requests += RETRY in names
        if names:
            self._log.attempt(partial(self._cleaning.drop, names))

    def _take_in(self, items: list[Item]) -> None:
        log = self._log
        for item in items:
            if isinstance(item, Entry):
                log.attempt(partial(self._cleaning.make_room, len(item.body) + LINE_BYTES))
                log.put(item)
            else:
                log.set_clock(item)
        log.attempt(log.flush)

    def _offer(self) -> None:
        """Lets senders see all new entries: they have been flushed, or cannot be."""
        self.offered = self._log.index.next_number - 1

    def _end(self) -> None:
        self._next_look_s = 0.0
        self._turn([], [])
        self._log.attempt(self._log.flush)
        stamps = [self._log.format.timestamp(entry.body) for entry in self._log.only_held()]
        self._log.faults.ended([loss_of(stamp, REFUSED) for stamp in stamps])
        self._log.segments.close()
