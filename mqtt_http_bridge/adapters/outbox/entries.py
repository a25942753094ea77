"""Reads the entries of a log, and gives them up. All methods but `lose` need the mutex."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.index import segment_of, slot_in, slot_of
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.losses import with_loss
from mqtt_http_bridge.adapters.outbox.reading import BAD_MEDIUM, unreadable
from mqtt_http_bridge.adapters.outbox.records import Entry, fields_of

DAMAGED: Final = "damaged"


class Entries:
    """Reads and gives up entries, for an Outbox, its writer, and the inspection from outside."""

    def __init__(self, log: Log) -> None:
        """Does not touch the disk."""
        self.log = log

    def take(self, number: int, portal_id: str) -> Entry | None:
        """Reads an entry; None if it is gone, or cannot be read now."""
        try:
            entry = self.read(number, portal_id)
        except OSError as error:
            self._cannot_read(self.segment_with(number, portal_id), error)
            return None
        if entry is None:
            self.lose([(number, portal_id)], DAMAGED)
        return entry

    def read(self, number: int, portal_id: str) -> Entry | None:
        """Reads an entry as it would be sent; None if it is gone. Raises OSError."""
        packed = self.log.index.find(number, portal_id)
        entry = self._stored(number, packed) if packed is not None else None
        if entry is None or entry.portal_id != portal_id:
            return None
        return replace(self._now(entry), body=self.log.body(entry))

    def _stored(self, number: int, packed: int) -> Entry | None:
        line = self.log.waiting.get(number)
        if line is not None:
            return records.entry_in(fields_of(line))
        return self.log.segments.entries(self._segment(packed)).get(number)

    def segment_with(self, number: int, portal_id: str) -> int:
        """Returns the number of the segment that an entry is in. The entry must exist."""
        return self._segment(self.log.index.find(number, portal_id) or 0)

    def _segment(self, packed: int) -> int:
        return segment_of(slot_in(packed), next(iter(self.log.segments.sizes), 0))

    def _now(self, entry: Entry) -> Entry:
        """Updates an entry: what was parked may be owed again."""
        portal = self.log.index.portals[entry.portal_id.encode()]
        is_free = entry.parked_serials and portal.owed.find(entry.number) is not None
        return replace(entry, parked_serials=(), reason="") if is_free else entry

    def is_in(self, slot: int, number: int, portal_id: str) -> bool:
        """Tells whether the current text of an entry is in the segment of this slot."""
        packed = self.log.index.find(number, portal_id)
        return packed is not None and slot_in(packed) == slot

    def _cannot_read(self, segment: int, error: OSError) -> None:
        """Logs that a segment cannot be read; gives up its entries once that has lasted."""
        self.log.faults.unreadable(segment, error)
        segments = self.log.segments
        is_lasting = error.errno in BAD_MEDIUM and segments.is_lasting(segment)
        if is_lasting and segments.is_alone(segment):
            self.log.segments.given_up.add(segment)
            self.lose_all_in(segment, unreadable(segment))

    # --- moving, and giving up -----------------------------------------------------------------

    def all_in(self, segment: int) -> list[Entry] | None:
        """Reads the entries whose current text is in a segment; None if it cannot be read now."""
        slot = slot_of(segment)
        try:
            entries = self.log.segments.entries(segment).values()
        except OSError as error:
            self._cannot_read(segment, error)
            return None
        return [entry for entry in entries if self.is_in(slot, entry.number, entry.portal_id)]

    def write_again(self, segment: int, entry: Entry) -> None:
        """Writes an entry again, as it is now, if it is still in this segment. Raises OSError."""
        with self.log.mutex:
            if self.is_in(slot_of(segment), entry.number, entry.portal_id):
                line = self.log.waiting.get(entry.number)
                latest = records.entry_in(fields_of(line)) if line is not None else None
                now = self._now(latest or entry)
                self.log.write(records.replaced(now) if now.is_final else records.put(now))

    def lose(self, entries: Iterable[tuple[int, str]], reason: str) -> None:
        """Gives entries up, and counts them."""
        with self.log.mutex:
            before = self.log.losses
            for number, portal_id in entries:
                packed = self.log.index.find(number, portal_id)
                if packed is not None:
                    self.count_lost(self._timestamp(number, packed), reason)
                    self.log.give_up(records.lost(number, portal_id, reason))
            if self.log.losses != before:
                self.log.note()

    def _timestamp(self, number: int, packed: int) -> str:
        with suppress(OSError):
            entry = self._stored(number, packed)
            return self.log.format.timestamp(entry.body) if entry is not None else ""
        return ""

    def count_lost(self, timestamp: str, reason: str) -> None:
        """Counts an entry as given up."""
        with self.log.mutex:
            self.log.losses = with_loss(self.log.losses, timestamp, reason)

    def lose_all_in(self, segment: int, reason: str) -> None:
        """Gives up all entries that are left in a segment."""
        slot = slot_of(segment)
        left = [entry for entry in self.log.index.entries() if self.is_in(slot, *entry)]
        self.lose(left, reason)
