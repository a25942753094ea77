"""Defines what delivery has to know about the outbox: which entries there are, by number."""

from typing import Protocol


class Owed(Protocol):
    """Says what is owed and parked now: at once, and without ever raising."""

    def newest(self, portal_id: str) -> int | None:
        """Returns the newest entry that is owed of a GX."""

    def oldest_after(self, portal_id: str, number: int = 0) -> int | None:
        """Returns the oldest entry that is owed of a GX and has a higher number than `number`."""

    def parked_after(self, portal_id: str, serial: str, number: int = 0) -> int | None:
        """Returns the oldest entry after `number` that is parked of a device."""
