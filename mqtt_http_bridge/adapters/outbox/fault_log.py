"""Logs each trouble of the outbox once, and its end."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.outbox.files import shown
from mqtt_http_bridge.adapters.outbox.reading import Found
from mqtt_http_bridge.core.disk_remedy import disk_remedy
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.views import Loss
from mqtt_http_bridge.core.words import counted

log = logging.getLogger(__name__)

LOSSES_EVERY_S: Final = 3600.0
REFUSED: Final = "the outbox cannot use its disk"
SLOW: Final = "the disk of the outbox is slow"
_DISK: Final = "disk"
_REQUESTS: Final = "the outbox cannot take requests from"
_UNREADABLE: Final = "the outbox cannot read segment"
_SLOW_REMEDY: Final = "check what else writes to it; a worn-out card is slow, too"
_LOSS_REMEDY: Final = (
    "find out why the backend did not store them, make room on the disk, or raise outbox.max_bytes"
)
SLOW_S: Final = 5.0
"""Seconds; a flush that takes longer is logged."""


class FaultLog:
    """Keeps what has already been logged. Any thread may call it."""

    def __init__(self, directory: Path) -> None:
        self._directory = shown(directory)
        self._told: set[str | int] = set()
        """The troubles that have been logged and are not over; a number is that of a segment."""
        self._refused: str | None = None
        self._told_losses: int | None = None
        self._losses_due_s = 0.0
        self._flush_began_s: float | None = None

    @property
    def fault(self) -> str | None:
        """Says what the disk refuses now, or that a flush hangs."""
        return self._refused or self._slow()

    def refused(self, error: Exception) -> None:
        """Logs that the disk refuses; once, until it works again."""
        self._refused = (error.strerror if isinstance(error, OSError) else None) or str(error)
        what = f"{REFUSED}: {self._directory}: {_with_remedy(error)}"
        text = f"{what}: measurements are kept in memory"
        self._begin(REFUSED, Log("ERROR", text, kind=REFUSED, about=_DISK))

    def well(self) -> None:
        """Logs that the disk works again."""
        self._refused = None
        text = f"the outbox uses its disk again: {self._directory}"
        self._end(REFUSED, Log.info(text, about=_DISK, is_end=True))

    def requests_refused(self, error: OSError) -> None:
        """Logs once that requests cannot be read or removed."""
        what = f"{_REQUESTS} {self._directory}/requests: {error.strerror}"
        self._begin(_REQUESTS, Log.warning(f"{what}: {disk_remedy(error.errno)}", kind=_REQUESTS))

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Notes that a flush is under way, for `look` in another thread."""
        self._flush_began_s = time.monotonic()
        try:
            yield
        finally:
            self.look()
            slow, self._flush_began_s = self._slow(), None
        if slow is None:
            text = "the disk of the outbox is fast again"
            self._end(SLOW, Log.info(text, about=SLOW, is_end=True))

    def look(self) -> None:
        """Logs a flush that is taking long; once, until the disk is fast again."""
        slow = self._slow()
        if slow is not None:
            text = f"{SLOW}: {slow}: {_SLOW_REMEDY}"
            self._begin(SLOW, Log.warning(text, kind=SLOW, about=SLOW))

    def _slow(self) -> str | None:
        began_s = self._flush_began_s
        took_s = time.monotonic() - began_s if began_s is not None else 0.0
        return f"a flush has taken {took_s:.0f} s so far" if took_s > SLOW_S else None

    def found(self, found: Found) -> None:
        """Logs what is damaged or cannot be read in a log."""
        if found.damage:
            size = sum(bad.end - bad.offset for bad in found.damage)
            text = (
                "the outbox is damaged in %s, %s: the damaged parts are in %s/damaged;"
                " measurements may be missing: check the disk"
            )
            places = counted(len(found.damage), "place")
            log.warning(text, places, counted(size, "byte"), self._directory)
        for bad in found.unreadable:
            self.unreadable(bad.segment, bad.error)

    def unreadable(self, segment: int, error: OSError) -> None:
        """Logs once that the disk cannot read a segment."""
        what = f"{_UNREADABLE} {segment} in {self._directory}/log: {error.strerror}"
        text = f"{what}: {disk_remedy(error.errno)}"
        self._begin(segment, Log("ERROR", text, kind=_UNREADABLE))

    def lost(self, ranges: Sequence[Loss]) -> None:
        """Logs what had to be given up: the first time at once, then at most once an hour."""
        ranges = [loss for loss in ranges if not loss.is_wanted]
        count = sum(loss.count for loss in ranges)
        new = count - self._told_losses if self._told_losses is not None else 0
        if new <= 0:  # Those of earlier processes have been told; or the log is another one.
            self._told_losses = count
        elif time.monotonic() >= self._losses_due_s:
            self._losses_due_s, self._told_losses = time.monotonic() + LOSSES_EVERY_S, count
            text = "the outbox had to give up %s, the last: %s: %s"
            log.error(text, counted(new, "measurement"), ranges[-1], _LOSS_REMEDY)

    def ended(self, rest: Sequence[Loss]) -> None:
        """Logs what was in memory only at the end: how many, and from when."""
        if rest:
            text = "the disk refused the outbox until the end; these are lost: %s: %s"
            log.error(text, reduce(Loss.merged, rest), "fix the disk: `check` says more")

    def _begin(self, trouble: str | int, line: Log) -> None:
        """Logs a trouble, unless that has been done."""
        if trouble not in self._told:
            self._told.add(trouble)
            _tell(line)

    def _end(self, trouble: str | int, line: Log) -> None:
        """Logs the end of a trouble that has been logged."""
        if trouble in self._told:
            self._told.discard(trouble)
            _tell(line)


def _with_remedy(error: Exception) -> str:
    """Returns the text of an error with its remedy, unless it says that itself."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    is_of_system = error.errno is not None and error.strerror == os.strerror(error.errno)
    return f"{error.strerror}: {disk_remedy(error.errno)}" if is_of_system else error.strerror


def _tell(line: Log) -> None:
    level = logging.getLevelNamesMapping()[line.level]
    log.log(level, "%s", line.text, extra={"line": line})
