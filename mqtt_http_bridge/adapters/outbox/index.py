"""Keeps in memory what is owed: eight bytes for each entry, by GX; parked entries by device.

The eight bytes hold the entry's number, the segment that its text is in, and the size of its line
in units of 32 bytes. The place within the segment is looked up when the entry is sent: finding a
line in 256 KiB takes a fraction of the time that sending it takes.

    number 35 bits | slot of the segment 16 bits | size 13 bits

The slot is the number of the segment modulo 65,535, plus 1: no more segments than that can exist at
one time. Slot 0 means memory: no segment has ever held a byte of the entry.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, repeat
from typing import Final

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.records import STATE_AFTER, Fields, State, number_in

Where = tuple[int, str]
"""The number and the GX of an entry."""
IN_MEMORY: Final = 0
"""The slot of entries that no segment has ever held."""
UNIT_BYTES: Final = 32
_SLOTS: Final = (1 << 16) - 1
_MOST_UNITS: Final = (1 << 13) - 1
_MOST_BYTES: Final = _MOST_UNITS * UNIT_BYTES
_NUMBER_SHIFT: Final = 29
_SLOT_SHIFT: Final = 13


def slot_of(segment: int) -> int:
    """Returns the slot of the segment with this number."""
    return segment % _SLOTS + 1


def segment_of(slot: int, oldest: int) -> int:
    """Returns the number of the segment in a slot, given the `oldest` one."""
    return oldest + (slot - slot_of(oldest)) % _SLOTS


def slot_in(packed: int) -> int:
    """Reads the slot of a packed entry."""
    return packed >> _SLOT_SHIFT & _SLOTS


def number_of(packed: int) -> int:
    """Reads the number of a packed entry."""
    return packed >> _NUMBER_SHIFT


def bytes_in(packed: int) -> int:
    """Reads the size of a packed entry, in bytes."""
    return (packed & _MOST_UNITS) * UNIT_BYTES


class Numbers:
    """Holds packed entries in the order of their numbers."""

    __slots__ = ("_packed", "reason")

    def __init__(self) -> None:
        self._packed = array("Q")
        self.reason = ""
        """The reason why they are parked, if they are."""

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[int]:
        """Yields the numbers in order; nothing may change meanwhile."""
        return (packed >> _NUMBER_SHIFT for packed in self._packed)

    def add(self, packed: int) -> None:
        """Adds an entry whose number is not there yet."""
        numbers = self._packed
        if not numbers or packed > numbers[-1]:
            numbers.append(packed)
        else:
            numbers.insert(bisect_left(numbers, packed), packed)

    def find(self, number: int) -> int | None:
        """Returns the packed entry with this number."""
        place = self._place(number)
        if place < len(self._packed) and self._packed[place] >> _NUMBER_SHIFT == number:
            return self._packed[place]
        return None

    def pop(self, number: int) -> int | None:
        """Removes the entry with this number and returns it."""
        packed = self.find(number)
        if packed is not None:
            del self._packed[self._place(number)]
        return packed

    def oldest_after(self, number: int, limit: int = records.NUMBER_LIMIT) -> int | None:
        """Returns the lowest number above this one, but none above the limit."""
        place = self._place(number + 1)
        found = self._packed[place] >> _NUMBER_SHIFT if place < len(self) else None
        return found if found is not None and found <= limit else None

    def newest(self, limit: int = records.NUMBER_LIMIT) -> int | None:
        """Returns the highest number up to the limit."""
        place = self._place(limit + 1)
        return self._packed[place - 1] >> _NUMBER_SHIFT if place else None

    def _place(self, number: int) -> int:
        return bisect_left(self._packed, number << _NUMBER_SHIFT)


class Portal:
    """Holds what is owed of one GX, and what is parked of its devices."""

    def __init__(self) -> None:
        self.newest_put = 0
        """The newest measurement, packed, even if it has been sent."""
        self.owed = Numbers()
        self.parked: dict[str, Numbers] = {}

    def find(self, number: int) -> int | None:
        """Returns the packed entry with this number, owed or parked."""
        each = (numbers.find(number) for numbers in (self.owed, *self.parked.values()))
        return next((packed for packed in each if packed is not None), None)

    def park(self, packed: int, serials: tuple[str, ...], reason: str) -> None:
        """Adds an entry that is parked for these devices."""
        for serial in dict.fromkeys(serials):
            numbers = self.parked.setdefault(serial, Numbers())
            numbers.add(packed)
            numbers.reason = reason

    def pop_parked(self, number: int) -> int:
        """Removes an entry from all devices for which it is parked; returns it packed, or 0."""
        found = 0
        for serial, numbers in list(self.parked.items()):
            found = numbers.pop(number) or found
            if not numbers:
                del self.parked[serial]
        return found


class Index:
    """Holds what is owed and parked of all GX devices, and how much of it is in each segment."""

    def __init__(self) -> None:
        self.portals: dict[bytes, Portal] = {}
        self._units: dict[int, int] = defaultdict(int)
        """By slot of the segment, without those in which nothing is owed."""
        self._parked_units = 0
        """Kept for the writer, which asks at each turn: with 1,000 GX devices, adding them up took
        40 % of its time."""
        self.next_number = 1
        """One more than the highest number seen."""

    def apply(self, fields: Fields, slot: int, size: int) -> bool:
        """Applies a line of `size` bytes in the segment of `slot`; tells if it is an entry's."""
        number, state = number_in(fields), STATE_AFTER.get(fields[0])
        if state is None or number is None or (state is not State.GONE and len(fields) < 4):
            self._take_free(fields)
            return False
        portal = self.portals.get(fields[2])
        if number >= self.next_number:
            if records.is_leap(number, self.next_number):
                return False
            self.next_number = number + 1
        elif portal is not None:
            self._remove(portal, number)
        if state is State.GONE:
            return True
        if portal is None:
            if not records.is_portal_id(fields[2]):
                return True
            portal = self.portals[fields[2]] = Portal()
        units = -(-size // UNIT_BYTES) if size < _MOST_BYTES else _MOST_UNITS
        packed = number << _NUMBER_SHIFT | slot << _SLOT_SHIFT | units
        self._units[slot] += units
        if number > portal.newest_put >> _NUMBER_SHIFT:
            portal.newest_put = packed  # Usually its first line; later ones may be cut.
        if state is State.OWED:
            portal.owed.add(packed)
        else:
            portal.park(packed, *records.parked_in(fields))
            self._parked_units += units
        return True

    def _remove(self, portal: Portal, number: int) -> None:
        packed = portal.owed.pop(number)
        if packed is None:
            packed = portal.pop_parked(number)
            self._parked_units -= packed & _MOST_UNITS
        slot = slot_in(packed)
        self._units[slot] -= packed & _MOST_UNITS
        if not self._units[slot]:
            del self._units[slot]

    def _take_free(self, fields: Fields) -> None:
        portal = self.portals.get(fields[2])
        if fields[0] == b"free" and portal is not None and len(fields) > 3:
            self._free(portal, records.serial_in(fields))

    def _free(self, portal: Portal, serial: str) -> None:
        for number in list(portal.parked.get(serial, ())):
            packed = portal.pop_parked(number)
            self._parked_units -= packed & _MOST_UNITS
            portal.owed.add(packed)

    def find(self, number: int, portal_id: str) -> int | None:
        """Returns the packed entry; None if nothing of it is owed."""
        portal = self.portals.get(portal_id.encode())
        return portal.find(number) if portal is not None else None

    def is_owed(self, first: int, before: int) -> bool:
        """Tells whether any entry is owed, not only parked, from `first` up to `before`."""
        owed = (portal.owed for portal in self.portals.values())
        return any(numbers.oldest_after(first - 1, before - 1) is not None for numbers in owed)

    def entries(self) -> Iterator[Where]:
        """Yields number and GX of all entries, lowest number first; nothing may change then."""
        portals = self.portals.items()
        yield from _in_order((k, n) for k, p in portals for n in (p.owed, *p.parked.values()))

    def parked_entries(self) -> Iterator[Where]:
        """Yields the same of those that are parked."""
        portals = self.portals.items()
        yield from _in_order((k, n) for k, p in portals for n in p.parked.values())

    @property
    def parked_bytes(self) -> int:
        """Returns the bytes of parked lines."""
        return self._parked_units * UNIT_BYTES

    def live_bytes(self, slot: int | None = None) -> int:
        """Returns how many bytes of lines are owed, in one segment or in all."""
        units = sum(self._units.values()) if slot is None else self._units.get(slot, 0)
        return units * UNIT_BYTES


def _in_order(each: Iterable[tuple[bytes, Numbers]]) -> Iterator[Where]:
    found = merge(*(zip(numbers, repeat(key.decode())) for key, numbers in each))
    return (where for where, _ in groupby(found))
