"""Holds what the outbox takes and gives beside entries: their format, and its own state."""

from dataclasses import dataclass
from typing import Protocol

from mqtt_http_bridge.adapters.outbox.index import UNIT_BYTES, Portal, bytes_in, number_of
from mqtt_http_bridge.core.views import Loss


class EntryFormat(Protocol):
    """All that the outbox wants to know of the bytes it is given. Nothing of it raises."""

    def timestamp(self, body: bytes) -> str:
        """Reads the time of an entry, or of its beginning, as ISO 8601; empty if none is found."""

    def shifted(self, body: bytes, step_s: float) -> bytes:
        """Makes the same entry by a clock that shows so much more."""


@dataclass(frozen=True, slots=True)
class ParkedContents:
    """Holds what is parked of one device, and why."""

    serial: str
    reason: str
    count: int
    oldest: int
    newest: int


@dataclass(frozen=True, slots=True)
class PortalContents:
    """Holds what is owed of one GX; numbers are None where nothing is."""

    portal_id: str
    count: int
    """Of entries that are owed; those that are parked do not count."""
    bytes: int
    """Of the lines of all of them, parked ones too, to within 32 bytes each."""
    oldest: int | None
    newest: int | None
    parked: tuple[ParkedContents, ...]
    newest_put: int
    """The number of what was measured last, whatever has become of it; 0: nothing is known."""
    bytes_put: int
    """Of the line of that one."""


@dataclass(frozen=True, slots=True)
class OutboxContents:
    """Holds the state of the outbox at one moment."""

    portals: tuple[PortalContents, ...]
    highest: int
    """The highest number there is; an entry above it was measured later."""
    in_memory: int
    """Entries that only memory has, also those that the writer has not come to yet."""
    fault: str | None
    """The error of a disk that refuses at the moment."""
    losses: tuple[Loss, ...]


def portal_contents(key: bytes, portal: Portal) -> PortalContents:
    """Tells what is owed of one GX."""
    return PortalContents(
        portal_id=key.decode(),
        count=len(portal.owed),
        bytes=portal.units * UNIT_BYTES,
        oldest=portal.owed.oldest_after(0),
        newest=portal.owed.newest(),
        parked=tuple(
            ParkedContents(
                serial,
                portal.reasons[serial],
                len(numbers),
                numbers.oldest_after(0) or 0,
                numbers.newest() or 0,
            )
            for serial, numbers in portal.parked.items()
        ),
        newest_put=number_of(portal.newest_put),
        bytes_put=bytes_in(portal.newest_put),
    )
