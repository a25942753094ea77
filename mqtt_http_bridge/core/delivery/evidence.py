"""Remembers for which devices the backend stored something, and in which order: it was up then.

Also remembers when it last failed by chance, that is, on something that it stored when it was sent
again. Such a backend will sooner or later fail twice on a healthy device, so there it takes more
evidence to blame a device.
"""

from typing import Final

from mqtt_http_bridge.core.events import NEVER

CHANCE_S: Final = 3600.0
"""Seconds for which a failure by chance is remembered."""


class Evidence:
    """Counts what is stored. A moment is the count at that moment."""

    def __init__(self) -> None:
        self.moment = 0
        self._chance_s = -NEVER
        self._latest: dict[str, int] = {}
        """The moments at which something was last stored of a device, for the last two devices:
        enough to name one other than any given one."""

    def note_stored(self, serial: str) -> None:
        """Notes that the backend has stored a report of this device."""
        self.moment += 1
        self._latest.pop(serial, None)
        self._latest[serial] = self.moment
        while len(self._latest) > 2:
            del self._latest[next(iter(self._latest))]

    def note_chance(self, now_s: float) -> None:
        """Notes that the backend has stored something that it failed on before."""
        self._chance_s = now_s

    def has_chance_failures(self, now_s: float) -> bool:
        """Tells whether the backend has failed by chance recently."""
        return now_s < self._chance_s + CHANCE_S

    def has_another_since(self, moment: int, serial: str) -> bool:
        """Tells whether something of another device was stored after `moment`."""
        return any(at > moment for other, at in self._latest.items() if other != serial)
