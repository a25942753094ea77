"""The outbox of the service: the calls for other threads."""

import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.clock import Boot, ClockNotes
from mqtt_http_bridge.adapters.outbox.contents import OutboxContents, portals_in
from mqtt_http_bridge.adapters.outbox.disk_waits import WAITS
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.incoming import Incoming
from mqtt_http_bridge.adapters.outbox.index import Numbers, Portal
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.records import Entry, EntryFormat
from mqtt_http_bridge.adapters.outbox.room import Room
from mqtt_http_bridge.adapters.outbox.writer import Writer
from mqtt_http_bridge.core.settings import OutboxSettings

MOST_WAITING: Final = 20_000
"""The most lines that may wait for a disk that refuses. With more, senders stop, because a restart
would send all those entries again. Entries that are in memory only take less than half of it."""


class Outbox:
    """Serves one thread that stores and several that send; its own thread writes to the disk."""

    def __init__(self, settings: OutboxSettings, entry_format: EntryFormat, boot: Boot) -> None:
        """Takes over the directory and reads it. Raises OutboxBusy if another process has it."""
        self.directory = Path(settings.directory)
        self._log = Log(LogFiles(self.directory, settings.max_bytes), entry_format, boot)
        self._mutex = self._log.mutex
        self._incoming = Incoming()
        self._news = threading.Condition(threading.Lock())
        self._changes = 0
        self.writer = Writer(self._log, self._incoming, self.wake)
        self.progress = self.writer.progress
        """It shows a watchdog that the writer makes progress."""
        self.disk_until_s = WAITS.until_s
        """It returns until when a watchdog should excuse those who wait for the disk."""
        self.writer.begin()
        thread_start.start(self.writer)

    def close(self) -> None:
        """Writes what it can to the disk, logs what it cannot, and releases the directory."""
        self._incoming.wake(is_closing=True)
        self.writer.join()

    # --- for the thread that measures: nothing here ever waits ----------------------------------

    def store(self, body: bytes, *, portal_id: str, is_clock_trusted: bool) -> None:
        """Queues a measurement; senders see it once it is on the disk.

        `body` has no line feed in it. Raises ValueError for one that has, or an odd portal id.
        """
        if b"\n" in body or not body or not records.is_portal_id(portal_id.encode()):
            found = f"{portal_id!r} and {body[:40]!r}"
            raise ValueError(f"expected a portal id and one line, found {found}")
        self._incoming.add(Entry(0, portal_id, body, is_final=is_clock_trusted))
        self._log.faults.look()

    def note_clock_step(self, step_s: float) -> None:
        """Queues that the clock was set: times stored since the start, untrusted, are wrong."""
        self._incoming.add(lambda clock, next_number: clock.set_by(step_s, next_number))

    def trust_clock(self) -> None:
        """Queues that the clock is trusted: the times of stored entries do not change any more."""
        self._incoming.add(ClockNotes.trusted)

    def flush(self, timeout_s: float) -> bool:
        """Waits until everything queued so far is handled; for a thread that has the time."""
        goal = self._incoming.added
        with self._news:
            return self._news.wait_for(lambda: self.writer.taken_in >= goal, timeout_s)

    # --- for the threads that send -------------------------------------------------------------

    def wait(self, seen: int, timeout_s: float) -> int:
        """Waits for a change (an entry is there, a retry is wanted) after the change `seen`.

        Returns the number of the last change: what to pass the next time.
        """
        with self._news:
            self._news.wait_for(lambda: self._changes != seen, timeout_s)
            return self._changes

    def wake(self) -> None:
        """Ends every `wait`."""
        with self._news:
            self._changes += 1
            self._news.notify_all()

    def portal_ids(self) -> list[str]:
        """Names the GX devices that have or had anything owed."""
        with self._mutex:
            return [key.decode() for key in self._log.index.portals]

    def newest(self, portal_id: str) -> int | None:
        """Returns the newest entry that is owed of a GX."""
        with self._mutex:
            return self._portal(portal_id).owed.newest(self.writer.offered)

    def oldest_after(self, portal_id: str, number: int = 0) -> int | None:
        """Returns the oldest entry that is owed of a GX and has a higher number than `number`."""
        with self._mutex:
            return self._portal(portal_id).owed.oldest_after(number, self.writer.offered)

    def parked_after(self, portal_id: str, serial: str, number: int = 0) -> int | None:
        """Returns the oldest entry after `number` that is parked of a device."""
        with self._mutex:
            return self._portal(portal_id).parked.get(serial, Numbers()).oldest_after(number)

    def _portal(self, portal_id: str) -> Portal:
        """Returns what may be sent of a GX: nothing, if a restart would send too much again."""
        is_too_much = len(self._log.waiting) > MOST_WAITING
        found = None if is_too_much else self._log.index.portals.get(portal_id.encode())
        return found or Portal()

    def take(self, portal_id: str, number: int) -> Entry | None:
        """Returns an entry to be sent; None if it is gone, or cannot be read now.

        `settle` or `park` has to follow, even if nothing has changed. Until then the entry is not
        given up.
        """
        with self._mutex:
            entry = self._log.take(number, portal_id)
            if entry is not None:
                self._log.in_flight[number] = entry
            return entry

    def settle(self, entry: Entry, owed_body: bytes | None) -> None:
        """Keeps only what is still owed of an entry, or nothing. A kill -9 does not undo this."""
        self.park(entry, owed_body, (), "")

    def park(self, entry: Entry, body: bytes | None, serials: Collection[str], reason: str) -> None:
        """Keeps only `body` of an entry, and parks it for these devices, if any.

        None: nothing of it is owed any more.
        """
        with self._mutex:  # An entry may get another number; see `_renumber` of the log.
            left = replace(entry, body=body or b"", parked_serials=tuple(serials), reason=reason)
            self._log.in_flight.pop(entry.number, None)
            is_same = (left.body, left.parked_serials) == (entry.body, entry.parked_serials)
            if is_same or self._log.index.find(entry.number, entry.portal_id) is None:
                return  # A person may have dropped it meanwhile.
            done = records.done(entry.number, entry.portal_id)
            self._log.tell(done if body is None else records.replaced(left))

    def unpark(self, portal_id: str, serial: str) -> None:
        """Makes everything that is parked of a device owed again, at once."""
        self._log.tell(records.free(portal_id, serial))
        self.wake()

    # --- for those who look: these may wait for the disk, so the main thread keeps away ---------

    @property
    def retry_requests(self) -> int:
        """Counts the requests to retry what is parked."""
        return self.writer.retry_requests

    @property
    def unwritten(self) -> int:
        """Returns how many measurements are in memory only, at most; it never waits."""
        return self._incoming.added - self.writer.taken_in + len(self._log.waiting)

    def view(self) -> OutboxContents:
        """Returns the state of the outbox."""
        self._log.faults.look()
        queued = self._incoming.waiting
        with self._mutex:
            return OutboxContents(
                portals=portals_in(self._log.index),
                bytes=self._log.index.live_bytes(),
                highest=self._log.index.next_number - 1,
                in_memory=len(self._log.held()) + queued,
                fault=self._log.faults.fault,
                losses=self._log.losses,
            )

    def room(self) -> Room | None:
        """Returns how much room there is; None if the disk does not say. Reads the disk."""
        with suppress(OSError):
            return self._log.segments.files.room()
        return None

    def count_damaged(self) -> int | None:
        """Counts the damaged parts that are kept for a person; None if the disk does not say."""
        with suppress(OSError):
            return len(self._log.segments.files.damaged_sizes())
        return None

    def timestamp(self, portal_id: str, number: int) -> str | None:
        """Reads the time of an entry, as it would be sent; None if it cannot be read now."""
        return self._log.timestamp(number, portal_id) or None
