"""Keeps what is owed, and every change of it, on the disk or waiting for the disk.

The idea
========
An outbox in which each measurement is a file is easy to read, but expensive: a file system writes
about 100 KiB to the flash for each file that comes and goes. So this is a *log*, like that of a
database: nothing is ever changed in place. Each change is a line, appended at the end. Reading all
lines from the first to the last gives what is owed.

    put 17 {...}      measured                      17 is owed
    put 18 {...}                                    17, 18
    narrow 17 {...}   one device of two is stored   17 (with the other device), 18
    done 18           all of it is stored           17
    done 17                                         nothing: the segment may be removed

The lines are in *segments*, files of 256 KiB that are written to their full length when they are
made, and then filled (`segments`). So a flush writes only data, no size or block list. `records`
has the kinds of line, and how a damaged one is recognized; `cleaning` says how segments are
removed. In memory there is only an `index`: eight bytes for each entry, with its number, its
segment and its size. The texts stay on the disk until they are sent.

Written and flushed
===================
`write` gives a line to the operating system, which keeps it if this process is killed. `flush`
(fdatasync) puts it on the medium, which keeps it through a power cut; this may take tens of
milliseconds. So

- an entry is flushed before a sender sees it; one flush covers all entries that came meanwhile.
- `done` and `narrow` are written at once and flushed with the next entry. A power cut may undo
  them; then whatever was answered since the last entry is sent again, with the same bytes.

Each line of an entry replaces all earlier lines of that entry. So the order in which two lines
reach the disk does not matter, losing a line loses nothing else, and writing a line twice does no
harm. Everything below depends on this.

A disk that refuses
===================
A line is in one of three places:

    on the disk   written and flushed
    `unflushed`   written; a flush has not covered it yet
    `waiting`     in memory only: the disk refuses

                write                 flush
    waiting ------------> unflushed ---------> on the disk
       ^                      |
       +----------------------+  a write or a flush fails

When a write or a flush fails, nobody knows which part of `unflushed` is on the medium: Linux drops
the pages, and the next flush reports success. So all of it goes back to `waiting`, ahead of later
lines, and the relay goes on in memory. Every 5 s the writer looks whether the disk is back. If it
is, all waiting lines are written again, in order, into a new segment. `waiting` keeps only the
latest line of each entry, and none of an entry that came and went without reaching the disk.

The directory may then be a different one (a stick was swapped). In that case the entries in memory
are new to the log that was found, and get new numbers there (`_renumber`).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from mqtt_http_bridge.adapters.outbox import losses, records
from mqtt_http_bridge.adapters.outbox.clock import Boot, ClockNotes
from mqtt_http_bridge.adapters.outbox.fault_log import FaultLog
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.index import IN_MEMORY, Index, Where, slot_in, slot_of
from mqtt_http_bridge.adapters.outbox.reading import Found
from mqtt_http_bridge.adapters.outbox.records import Entry, EntryFormat, Fields, fields_of
from mqtt_http_bridge.adapters.outbox.segments import Segments
from mqtt_http_bridge.core.views import Loss

ClockChange = Callable[[ClockNotes, int], ClockNotes]
"""Makes new clock notes from the old ones and the number of the next entry."""
Key = int | bytes
"""Identifies lines that replace each other: an entry's number, or a line that frees a device."""


class Log:
    """Keeps what is owed in one directory. "Writer only" means: only for the writer thread."""

    def __init__(
        self, files: LogFiles, entry_format: EntryFormat, boot: Boot | None = None
    ) -> None:
        """Does not touch the disk yet. Without a `boot`, the clock notes of the log stay."""
        self.faults = FaultLog(files.directory)
        self.segments = Segments(files, self.faults, self._head)
        self.mutex = self.segments.mutex
        self.format = entry_format
        self.index = Index()
        self.clock = ClockNotes(boot or Boot("", 0.0))
        self.losses: tuple[Loss, ...] = ()
        self.in_flight: dict[int, Entry] = {}
        """The entries being sent, which may not be given up."""
        self.is_on_disk = False
        self.waiting: dict[Key, bytes] = {}
        self.unflushed: dict[Key, bytes] = {}
        self._has_boot = boot is not None
        self._log_id = ""

    # --- lines ---------------------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """Adds a new entry, and gives it its number. Writer only."""
        with self.mutex:
            entry.number = self.index.next_number
            self.tell(records.put(entry))

    def tell(self, line: bytes) -> None:
        """Writes a line to the disk, or keeps it in memory if the disk refuses."""
        with self.mutex:
            if not self.attempt(lambda: self.write(line)):
                self._keep(line)

    def write(self, line: bytes) -> None:
        """Writes a line to the disk. Raises OSError."""
        with self.mutex:
            self._take_in(line, slot_of(self.segments.write(line)), self.unflushed)

    def _keep(self, line: bytes) -> None:
        """Keeps a line in memory. An entry with a line in a segment still belongs to that one."""
        fields = fields_of(line)
        slot = self._slot(records.number_in(fields) or 0, fields[2].decode())
        self._take_in(line, slot, self.waiting)

    def _take_in(self, line: bytes, slot: int, lines: dict[Key, bytes]) -> None:
        """Adds a line to these and to the index. The end of what only memory had leaves nothing."""
        fields = fields_of(line)
        key = _key(fields)
        self.waiting.pop(key, None)
        self.unflushed.pop(key, None)  # Keep them in the order of writing.
        if slot != IN_MEMORY or records.STATE_AFTER.get(fields[0]) is not records.State.GONE:
            lines[key] = line
        self.index.apply(fields, slot, len(line))

    def _slot(self, number: int, portal_id: str) -> int:
        return slot_in(self.index.find(number, portal_id) or IN_MEMORY)

    def set_clock(self, change: ClockChange) -> None:
        """Notes that the clock was set, or is trusted. Writer only."""
        with self.mutex:
            self.clock = change(self.clock, self.index.next_number)
            self.note()

    def note(self) -> None:
        """Writes the notes that belong to no entry. They are also at the start of each segment."""
        with self.mutex, suppress(OSError):  # If there is no room, the next segment gets them.
            if self.is_on_disk:
                self.segments.write(self._head())

    def _head(self) -> bytes:
        return (
            records.head(self._log_id, self.index.next_number)
            + records.note(b"clock", self.clock.to_text())
            + records.note(b"losses", losses.losses_text(self.losses))
        )

    def flush(self) -> None:
        """Flushes what was written before, or goes on in memory. Writer only; raises OSError."""
        with self.mutex:
            covered = list(self.unflushed.items())
        try:
            self.segments.flush()
        except OSError as error:
            self.fail(error)
            raise
        with self.mutex:
            for key, line in covered:
                if self.unflushed.get(key) is line:
                    del self.unflushed[key]

    # --- entries -------------------------------------------------------------------------------

    def take(self, number: int, portal_id: str) -> Entry | None:
        """Reads an entry; None if it is gone, or cannot be read now."""
        with self.mutex:
            try:
                entry = self.read(number, portal_id)
            except OSError as error:
                self.cannot_read(self.segment_with(number, portal_id), error)
                return None
            if entry is None:
                self.lose([(number, portal_id)], losses.DAMAGED)
            return entry

    def read(self, number: int, portal_id: str) -> Entry | None:
        """Reads an entry as it would be sent; None if it is gone. Raises OSError."""
        if self.index.find(number, portal_id) is None:
            return None
        entry = self._in_memory(number)
        if entry is None:
            entry = self.segments.entries(self.segment_with(number, portal_id)).get(number)
        if entry is None or entry.portal_id != portal_id:
            return None
        return replace(self._now(entry), body=self.body(entry))

    def _in_memory(self, number: int) -> Entry | None:
        line = self.waiting.get(number)
        return records.entry_in(fields_of(line)) if line is not None else None

    def _now(self, entry: Entry) -> Entry:
        """Updates an entry: what was parked may be owed again."""
        portal = self.index.portals[entry.portal_id.encode()]
        is_free = entry.parked_serials and portal.owed.find(entry.number) is not None
        return replace(entry, parked_serials=(), reason="") if is_free else entry

    def body(self, entry: Entry) -> bytes:
        """Returns the bytes to send, with the times corrected for clock steps since."""
        shift_s = 0.0 if entry.is_final else self.clock.shift_of(entry.number)
        return self.format.shifted(entry.body, shift_s) if shift_s else entry.body

    def segment_with(self, number: int, portal_id: str) -> int:
        """Returns the number of the segment that an entry is in, if any has it."""
        return self.segments.number_of(self._slot(number, portal_id))

    def needed_in(self, segment: int) -> list[Entry]:
        """Reads the entries that would be lost with a segment. Raises OSError."""
        with self.mutex:
            texts = self.segments.entries(segment)
            held = {e.number: e for e in self.held() if self._is_in(segment, e)}
            return [e for e in (texts | held).values() if self._is_needed(segment, e)]

    def _is_needed(self, segment: int, entry: Entry) -> bool:
        """Tells whether the only text of an entry that the disk has may be in this segment."""
        return self._is_in(segment, entry) or (
            entry.number in self.waiting
            and self.index.find(entry.number, entry.portal_id) is not None
        )

    def _is_in(self, segment: int, entry: Entry) -> bool:
        return self._slot(entry.number, entry.portal_id) == slot_of(segment)

    def write_again(self, segment: int, entry: Entry) -> None:
        """Writes an entry again, as it is now, if the segment is still needed. Raises OSError."""
        with self.mutex:
            if self._is_needed(segment, entry):
                now = self._now(self._in_memory(entry.number) or entry)
                self.write(records.replaced(now) if now.is_final else records.put(now))

    def cannot_read(self, segment: int, error: OSError) -> None:
        """Logs that a segment cannot be read; gives up its entries once that has lasted.

        One that is not there means that this is not the log that was read: it is read again.
        """
        if isinstance(error, FileNotFoundError):
            self.fail(error)
            return
        self.faults.unreadable(segment, error)
        if self.segments.is_lost(segment, error):
            self.lose_all_in(segment, losses.unreadable(segment))

    def lose_all_in(self, segment: int, reason: str) -> None:
        """Gives up the entries that are left in a segment, and not in memory."""
        with self.mutex:
            slot, entries = slot_of(segment), self.index.entries()
            lost = [e for e in entries if self._slot(*e) == slot and e[0] not in self.waiting]
            self.lose(lost, reason)

    def lose(self, entries: Iterable[Where], reason: str) -> None:
        """Gives entries up, and counts them."""
        with self.mutex:
            before = self.losses
            for number, portal_id in entries:
                if self.index.find(number, portal_id) is not None:
                    self.count_lost(self.timestamp(number, portal_id), reason)
                    self._give_up(records.lost(number, portal_id, reason))
            if self.losses != before:
                self.note()

    def timestamp(self, number: int, portal_id: str) -> str:
        """Reads the time of an entry; empty if it cannot be read now."""
        with self.mutex, suppress(OSError):
            entry = self.read(number, portal_id)
            return self.format.timestamp(entry.body) if entry is not None else ""
        return ""

    def count_lost(self, timestamp: str, reason: str) -> None:
        """Counts an entry as given up."""
        with self.mutex:
            self.losses = losses.with_loss(self.losses, timestamp, reason)

    def _give_up(self, line: bytes) -> None:
        """Notes that an entry is lost. With no room for the line, its segment is removed anyway."""
        if not self.is_on_disk:
            self._keep(line)
            return
        try:
            self.write(line)
        except OSError:
            self.index.apply(fields_of(line), IN_MEMORY, 0)

    # --- a disk that refuses -------------------------------------------------------------------

    def attempt(self, action: Callable[[], object]) -> bool:
        """Runs an action on the disk, or goes on in memory if the disk refuses; returns which."""
        if self.is_on_disk:
            try:
                action()
            except OSError as error:
                self.fail(error)
        return self.is_on_disk

    def fail(self, error: Exception) -> None:
        """Goes on in memory. The files stay open, because the writer may be flushing them."""
        with self.mutex:
            self.is_on_disk = False
            first = {k: line for k, line in self.unflushed.items() if k not in self.waiting}
            self.waiting, self.unflushed = first | self.waiting, {}
            self.faults.refused(error)

    def held(self) -> list[Entry]:
        """Returns the entries whose latest text may be in memory only."""
        entries = (records.entry_in(fields_of(line)) for line in self.waiting.values())
        return [entry for entry in entries if entry is not None]

    def only_held(self) -> list[Entry]:
        """Returns those of which the disk may not have an earlier text either."""
        puts = {n for n, line in self.waiting.items() if fields_of(line)[0] == b"put"}
        return [e for e in self.held() if e.number in puts or self.is_only_in_memory(e)]

    def entries_in_memory(self) -> Iterator[Where]:
        """Yields the entries that only memory has, the oldest first; nothing may change then."""
        for entry in sorted(self.held(), key=lambda entry: entry.number):
            if self.is_only_in_memory(entry):
                yield entry.number, entry.portal_id

    def is_only_in_memory(self, entry: Entry) -> bool:
        """Tells whether no segment has ever held a byte of an entry."""
        return self._slot(entry.number, entry.portal_id) == IN_MEMORY

    def write_waiting(self) -> int:
        """Writes the waiting lines; returns 0, or the bytes of room that the next line needs.

        When it returns 0, the disk has everything that memory has. Writer only; raises OSError.
        """
        with self.mutex:
            for line in list(self.waiting.values()):
                if len(line) > self.segments.left:
                    return len(line)
                self.write(line)
            self.is_on_disk = True
            self.note()
            return 0

    def reopen(self) -> None:
        """Reads the directory if it may be a different one, and adds what is in memory.

        Writer only. Raises OSError, and OutboxBusy if another process has the directory.
        """
        if self.segments.is_known():
            self.segments.close_tails()
            return
        found = self.segments.open()
        self.faults.found(found)
        with self.mutex:
            if self._log_id and found.log_id in ("", self._log_id):
                found.index.next_number = max(found.index.next_number, self.index.next_number)
                self.index = found.index
                self.losses = max(self.losses, found.losses, key=_count)
            else:
                self._renumber(found.index.next_number)
                self.look(found)
                self._log_id = found.log_id or os.urandom(8).hex()
            for line in list(self.waiting.values()):
                self._keep(line)
            for bad in found.unreadable:
                reason = f"{losses.unreadable(bad.segment)}: at most so many"
                loss = Loss(max(1, len(bad.numbers)), "", "", (reason,))
                self.losses = losses.bounded((*self.losses, loss))

    def _renumber(self, first: int) -> None:
        """Makes the entries in memory new ones, from the number `first` on, for another log.

        An entry that is being sent gets its new number. One that was only in the log that is gone
        gets none, so that its sender's verdict finds nothing.
        """
        held = self.held()
        numbers = {entry.number: number for number, entry in enumerate(held, first)}
        new = [replace(e, number=numbers[e.number], body=self.body(e)) for e in held]
        self.waiting = {entry.number: records.put(entry) for entry in new}
        for entry in self.in_flight.values():
            entry.number = numbers.get(entry.number, 0)
        self.in_flight = {entry.number: entry for entry in self.in_flight.values()}

    def look(self, found: Found) -> None:
        """Sets what was read, so that entries can be read; adds what was lost and noted before."""
        self.segments.know(found)
        self.index, self.losses = found.index, losses.bounded((*found.losses, *self.losses))
        before, self.clock, next_number = self.clock, found.clock, self.index.next_number
        if self._has_boot:
            self.clock = self.clock.started(before.boot, next_number, self.index.is_owed)
        if before.is_trusted:  # These came while the log could not be read.
            self.clock = self.clock.trusted(next_number)


def _key(fields: Fields) -> Key:
    return records.number_in(fields) or b" ".join(fields)


def _count(losses: tuple[Loss, ...]) -> int:
    return sum(loss.count for loss in losses)
