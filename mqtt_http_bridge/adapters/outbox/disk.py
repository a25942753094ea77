"""The spool directory: everything on the disk, and how much of it.

No method is safe in two threads at once; every one may raise OSError, and leaves things whole.
"""

import errno
import fcntl
import heapq
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.directories import make_directory
from mqtt_http_bridge.adapters.outbox.files import Extent, move_into
from mqtt_http_bridge.adapters.outbox.layout import Layout
from mqtt_http_bridge.adapters.outbox.losses import Losses
from mqtt_http_bridge.adapters.outbox.oldest import Key, OldestFirst
from mqtt_http_bridge.adapters.outbox.room import PARKED_SHARE, room_of
from mqtt_http_bridge.core.errors import MalformedMeasurement, OutboxBusy
from mqtt_http_bridge.core.measurement import from_json

log = logging.getLogger(__name__)

NO_ROOM: Final = "no room"
MOST_TOLD: Final = 5
"""How many damaged files to name in the log."""


class Disk:
    """One spool directory, owned by this process while it is open."""

    def __init__(self, directory: Path, max_bytes: int | None) -> None:
        """Touches nothing yet."""
        self.layout = Layout(directory)
        self.losses = Losses(self.layout.lost)
        self._max_bytes = max_bytes
        self._descriptor: int | None = None
        self._waiting = Extent()
        self._parked = Extent()
        self._is_exact = True
        self._damaged = 0
        self._oldest = OldestFirst(self._scan_waiting)
        self._oldest_parked = OldestFirst(self._scan_parked)

    # --- open and close ------------------------------------------------------------------------

    def open(self) -> int:
        """Takes the directory over; returns the highest number in it, 0 if there is none.

        Raises OutboxBusy if another process has it.
        """
        self.close()
        make_directory(self.layout.directory, 0o700)
        descriptor = _lock(self.layout.lock)
        try:
            self._take_over()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return max(self._waiting.highest, self._parked.highest)

    def _take_over(self) -> None:
        self.layout.waiting.prepare()
        for path in self.layout.waiting.foreign():
            self.set_file_aside(path)
        for serial in self.layout.parked_serials():
            self.layout.parked_of(serial).prepare()
        try:
            self.losses.load()
        except ValueError:
            self.set_file_aside(self.layout.lost)
            self.losses.load()
        self._recount()
        if self._max_bytes is None:
            self._max_bytes = room_of(self.layout.directory).default_max_bytes + self._used_bytes

    @property
    def is_open(self) -> bool:
        """Whether the directory is ours, and still there: the very one that was opened."""
        if self._descriptor is None or not os.path.isdir(self.layout.waiting.directory):
            return False
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.layout.lock))
        return False

    def close(self) -> None:
        """Gives the directory up."""
        self._waiting, self._parked = Extent(), Extent()
        self._oldest.forget()
        self._oldest_parked.forget()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # --- how much there is ---------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many measurements wait."""
        if not self._is_exact:
            with suppress(OSError):
                self._recount()
        return self._waiting.count

    def doubt_count(self) -> None:
        """Something was not where it should be: counts again before the count is used."""
        self._is_exact = False

    def _recount(self) -> None:
        self._waiting = self.layout.waiting.extent()
        self._parked = Extent()
        for serial in self.layout.parked_serials():
            found = self.layout.parked_of(serial).extent()
            self._parked.count += found.count
            self._parked.size += found.size
            self._parked.highest = max(self._parked.highest, found.highest)
        self._is_exact = True

    @property
    def _used_bytes(self) -> int:
        return self._waiting.size + self._parked.size

    # --- what waits ----------------------------------------------------------------------------

    def add(self, number: int, body: bytes, *, is_final: bool, keep: int | None) -> None:
        """Adds an entry, after the oldest, but for `keep`, have made room for it."""
        self._make_room(len(body), keep)
        try:
            self.layout.waiting.write(number, body, is_final=is_final)
        except OSError:
            with suppress(OSError):
                self.layout.waiting.remove(number)
            raise
        self._waiting.count += 1
        self._waiting.size += len(body)
        self._oldest.add((number, ""))

    def replace(self, number: int, old: bytes, new: bytes) -> None:
        """Puts `new`, which is final, in the place of `old`."""
        self.layout.waiting.write(number, new, is_final=True)
        self._waiting.size += len(new) - len(old)

    def remove(self, number: int, body: bytes) -> None:
        """Removes an entry that is done with."""
        self.layout.waiting.remove(number)
        self._waiting.count -= 1
        self._waiting.size -= len(body)

    # --- what is damaged -----------------------------------------------------------------------

    def set_aside(self, number: int, serial: str | None = None) -> None:
        """Moves an entry, or what is parked of it, to where a person may look at it."""
        files = self.layout.waiting if serial is None else self.layout.parked_of(serial)
        files.move(number, self.layout.damaged)
        self.doubt_count()
        self._tell_damaged(f"entry {number}")

    def set_file_aside(self, path: Path) -> None:
        """Does the same with a file that is none of ours."""
        move_into(path, self.layout.damaged)
        self._tell_damaged(path.name)

    def _tell_damaged(self, name: str) -> None:
        """Tells the first few of what may be all that a broken file system has left."""
        self._damaged += 1
        if self._damaged <= MOST_TOLD:
            further = ": what follows is in outbox status only" * (self._damaged == MOST_TOLD)
            log.warning("%s cannot be read: moved to %s%s", name, self.layout.damaged, further)

    # --- what is parked ------------------------------------------------------------------------

    def park(self, serial: str, number: int, body: bytes, reason: str) -> None:
        """Parks what the entry `number` has of one device."""
        known = self.layout.parked_of(serial).read(number)
        if known is None:
            self._make_room_to_park(len(body))
        files = self.layout.prepare_parked(serial, reason)
        files.write(number, body, is_final=True)
        self._parked.count += known is None
        self._parked.size += len(body) - len(known or b"")
        self._oldest_parked.add((number, serial))

    def unpark(self, serial: str, number: int, body: bytes) -> None:
        """Removes what was parked of one device of the entry `number`, if it is there."""
        files = self.layout.parked_of(serial)
        if files.read(number) is not None:
            files.remove(number)
            self._parked.count -= 1
            self._parked.size -= len(body)
        self.layout.prune_parked(serial)

    # --- room ----------------------------------------------------------------------------------

    def _make_room(self, size: int, keep: int | None) -> None:
        limit = self._max_bytes or 0
        while self._used_bytes + size > limit:
            if not self._is_exact:
                self._recount()
            elif size > limit or not self._drop_oldest(keep):
                raise OSError(errno.ENOSPC, "outbox.max_bytes is less than one measurement takes")
        self._spare_the_floor(size, keep)

    def _spare_the_floor(self, size: int, keep: int | None) -> None:
        """On a disk that is nearly full, sees to it that the outbox grows no more."""
        wanted = self._used_bytes - size
        while self._used_bytes > wanted and not room_of(self.layout.directory).is_above_floor:
            if not self._drop_oldest(keep):
                raise OSError(errno.ENOSPC, "there is too little free space on the disk")

    def _make_room_to_park(self, size: int) -> None:
        limit = (self._max_bytes or 0) * PARKED_SHARE
        while self._parked.size + size > limit:
            if not self._is_exact:
                self._recount()
            elif not self._drop_oldest_parked():
                break

    def _drop_oldest(self, keep: int | None) -> bool:
        """Drops the oldest entry that waits, but for `keep`; a parked one if none waits."""
        is_keep_seen = False
        while (key := self._oldest.pop()) is not None:
            number, _ = key
            if number == keep:
                if is_keep_seen:
                    break
                is_keep_seen = True
            elif (body := self.layout.waiting.read(number)) is not None:
                self.remove(number, body)
                self._lose(body)
                return True
        return self._drop_oldest_parked()

    def _drop_oldest_parked(self) -> bool:
        while (key := self._oldest_parked.pop()) is not None:
            number, serial = key
            body = self.layout.parked_of(serial).read(number)
            if body is not None:
                self.unpark(serial, number, body)
                self._lose(body)
                return True
        return False

    def _lose(self, body: bytes) -> None:
        with suppress(MalformedMeasurement):
            self.losses.add(from_json(body).timestamp.isoformat(), NO_ROOM)

    def _scan_waiting(self, most: int) -> list[Key]:
        return [(number, "") for number in self.layout.waiting.oldest(most)]

    def _scan_parked(self, most: int) -> list[Key]:
        keys = (
            (number, serial)
            for serial in self.layout.parked_serials()
            for number in self.layout.parked_of(serial)
        )
        return heapq.nsmallest(most, keys)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutboxBusy(path.parent) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
