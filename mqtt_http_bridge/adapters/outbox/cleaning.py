"""Makes room in a log: removes its oldest segments and, as a last resort, its oldest entries.

Segments are removed from the oldest on, never out of order, so the `done` of an entry never
disappears before its text. First, the entries of the oldest segment that are still owed are written
again at the end, under the same numbers, and flushed. So are those whose newer text waits in memory
because the disk refused: the disk may have none but the old one. The lock is held while an entry is
checked and written again, so that no `done` can come in between; it is released every few entries,
so that other threads get it.

Everything here is for the writer thread only, and may raise OSError.
"""

import errno
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final

from mqtt_http_bridge.adapters.outbox.index import IN_MEMORY, Where, bytes_in, slot_of
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.losses import DAMAGED, NO_ROOM, PARKED_NO_ROOM, REFUSED
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.requests import entries_to_drop
from mqtt_http_bridge.adapters.outbox.room import MEMORY_BYTES, PARKED_SHARE, Room
from mqtt_http_bridge.core.views import DROPPED

LINE_BYTES: Final = 256
"""The most bytes that a line takes besides the body."""
_SLICE: Final = 32
"""Lines to write before other threads get the lock."""
_BREATH_S: Final = 5e-5
"""Long enough for another thread that waits for the lock to get it."""
_FULL: Final = 7 / 8
"""If less than this share of the segments is owed, cleaning up may make room."""
_NEARLY: Final = 16
"""The next segment is made when less than one part in this many of the current one is left."""


def breathe() -> None:
    """Lets other threads get the lock."""
    time.sleep(_BREATH_S)


class Cleaning:
    """Keeps a log small by removing old segments and, if needed, the oldest entries."""

    def __init__(self, log: Log, before_step: Callable[[], None] = lambda: None) -> None:
        """Does not touch the disk. Calls `before_step` again and again during what takes long."""
        self._before_step = before_step
        self._log = log
        self._segments = log.segments
        self._known_room = 0
        """The bytes allowed when the room for parked entries was last checked."""

    def tidy(self) -> None:
        """Removes what is not needed any more; starts a new segment before the last one is full."""
        while self._is_untidy() and self._clean_oldest():
            pass
        with suppress(OSError):  # There may be no room; what is left of this one will do for now.
            self.make_room(next(reversed(self._segments.sizes.values())) // _NEARLY)
        self._bound_parked()

    def bring_in(self) -> None:
        """Writes everything that waits."""
        self.make_room(1)
        while size := self._log.write_waiting():
            self.make_room(size)
        self._log.flush()

    def make_room(self, size: int) -> None:
        """Makes sure that so many bytes fit into a segment, even if old entries have to go."""
        segments = self._segments
        if size <= segments.left:
            return
        room = segments.files.room()
        wanted = self._wanted_for(size, room)
        # Writing again what the oldest segment owes may take one more segment.
        kept = max([room.segment_bytes, *segments.sizes.values()])
        most, count = room.most_beside(wanted, kept), len(segments.sizes)
        for turn in range(4 + 4 * count):
            if room.used <= most or len(segments.sizes) < 2:
                break
            if turn > count or self._log.index.live_bytes() >= _FULL * sum(segments.sizes.values()):
                oldest = self._log.index.live_bytes(slot_of(next(iter(segments.sizes))))
                self._give_up(self._log.index.entries(), max(wanted, oldest), NO_ROOM)
            if not self._clean_oldest():
                break
            if size <= segments.left:
                return
            room = segments.files.room()
        if room.used > most:
            raise OSError(errno.ENOSPC, room.complaint(wanted + kept))
        self._roll(wanted)

    def _roll(self, size: int) -> None:
        """Starts a new segment. Only the last two may be unflushed: a start flushes no others."""
        if self._segments.is_behind:
            self._log.flush()
        self._segments.roll(size)

    def _wanted_for(self, size: int, room: Room) -> int:
        return room.segment_for(size, max(self._segments.sizes.values(), default=0))

    # --- segments ------------------------------------------------------------------------------

    def _is_untidy(self) -> bool:
        """Tells whether the oldest is to go: they take more than twice what is owed, and two."""
        segments, index = self._segments, self._log.index
        if len(segments.sizes) < 2:
            return False
        sizes, oldest = segments.sizes.values(), slot_of(next(iter(segments.sizes)))
        is_too_much = sum(sizes) > 2 * index.live_bytes() + 2 * max(sizes)
        return bool(segments.given_up) or is_too_much or not index.live_bytes(oldest)

    def _clean_oldest(self) -> bool:
        """Writes again what the oldest segment owes, and removes it, unless it cannot be read."""
        self._before_step()
        oldest = next(iter(self._segments.sizes))
        slot = slot_of(oldest)
        if self._log.index.live_bytes(slot) or self._log.waiting:
            try:
                needed = self._log.needed_in(oldest)
            except OSError as error:
                self._log.cannot_read(oldest, error)
                return False
            self._write_again(oldest, needed)
        self._log.flush()  # Or a power cut takes an entry whose newer line is not on the disk yet.
        if self._log.index.live_bytes(slot):
            self._log.lose_all_in(oldest, DAMAGED)
        self._segments.remove_oldest()
        return True

    def _write_again(self, oldest: int, entries: Iterable[Entry]) -> None:
        for place, entry in enumerate(entries, 1):
            size = len(entry.body) + LINE_BYTES
            if size > self._segments.left:  # This is no growth, as the oldest is removed.
                self._roll(self._wanted_for(size, self._segments.files.room()))
            self._log.write_again(oldest, entry)
            if place % _SLICE == 0:
                breathe()

    # --- entries -------------------------------------------------------------------------------

    def _bound_parked(self) -> None:
        """Gives up the oldest parked entries if they take more than their share of the room."""
        parked = self._log.index.parked_bytes
        if parked > PARKED_SHARE * self._known_room:
            self._known_room = self._segments.files.room().allowed
            over = parked - int(PARKED_SHARE * self._known_room)
            self._give_up(self._log.index.parked_entries(), over, PARKED_NO_ROOM)

    def bound_memory(self) -> None:
        """Gives up the oldest of the entries that are in memory only if they take too much."""
        over = self._log.index.live_bytes(IN_MEMORY) - MEMORY_BYTES
        if over > 0:
            self._give_up(self._log.entries_in_memory(), over, REFUSED)

    def _give_up(self, entries: Iterable[Where], size: int, reason: str) -> None:
        """Gives up so many of these entries, from the first on, that `size` bytes are freed."""
        chosen, index = list[Where](), self._log.index
        with self._log.mutex:
            for number, portal_id in entries:
                if size <= 0:
                    break
                if number not in self._log.in_flight:
                    chosen.append((number, portal_id))
                    size -= bytes_in(index.find(number, portal_id) or 0)
        self._lose(chosen, reason)

    def drop(self, requests: Collection[str]) -> list[int]:
        """Drops what a person requested; returns the numbers."""
        with self._log.mutex:
            dropped = entries_to_drop(requests, self._log.index)
        self._lose(dropped, DROPPED)
        self._log.flush()
        return [number for number, _ in dropped]

    def _lose(self, entries: Sequence[Where], reason: str) -> None:
        """Gives up entries and counts them; other threads get the lock in between."""
        for start in range(0, len(entries), _SLICE):
            self._before_step()
            self._log.lose(entries[start : start + _SLICE], reason)
            breathe()
