"""Says what is in an outbox at one moment."""

from typing import NamedTuple

from mqtt_http_bridge.adapters.outbox.index import Index, Portal, bytes_in, number_of
from mqtt_http_bridge.core.views import Loss


class ParkedContents(NamedTuple):
    """Holds what is parked of one device, and why."""

    serial: str
    reason: str
    entries: int
    oldest: int
    newest: int


class PortalContents(NamedTuple):
    """Holds what is owed of one GX; numbers are None if nothing is."""

    portal_id: str
    owed: int
    """The number of entries that are owed, without the parked ones."""
    oldest: int | None
    newest: int | None
    parked: tuple[ParkedContents, ...]
    newest_put: int
    """The number of the newest measurement, even if it has been sent; 0: not known."""
    bytes_put: int
    """The bytes of its line."""


class OutboxContents(NamedTuple):
    """Holds the state of the outbox at one moment."""

    portals: tuple[PortalContents, ...]
    bytes: int
    """The bytes of all lines, parked ones included, to within 32 bytes each."""
    highest: int
    """The highest number; an entry above it was measured later."""
    in_memory: int
    """Counts entries in memory only, also those that the writer has not handled yet."""
    fault: str | None
    """The error of the disk, if it refuses now."""
    losses: tuple[Loss, ...]


def portals_in(index: Index) -> tuple[PortalContents, ...]:
    """Returns what is owed of each GX; nothing may change meanwhile."""
    return tuple(_contents(key, portal) for key, portal in index.portals.items())


def _contents(key: bytes, portal: Portal) -> PortalContents:
    return PortalContents(
        portal_id=key.decode(),
        owed=len(portal.owed),
        oldest=portal.owed.oldest_after(0),
        newest=portal.owed.newest(),
        parked=tuple(
            ParkedContents(serial, p.reason, len(p), p.oldest_after(0) or 0, p.newest() or 0)
            for serial, p in portal.parked.items()
        ),
        newest_put=number_of(portal.newest_put),
        bytes_put=bytes_in(portal.newest_put),
    )
