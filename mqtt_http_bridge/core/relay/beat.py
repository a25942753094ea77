"""Keeps the moments at which one GX is measured, one interval apart.

The first measurement sets the rhythm. A moment that could not be measured is *due*: it is made up
for as soon as that can be done truthfully, with the time of that later moment, and the rhythm stays
as it was. If several moments have passed, only one measurement is due, because it can only describe
the present.
"""

from mqtt_http_bridge.core.events import NEVER


class Beat:
    """Keeps the rhythm in which one GX is measured, on the monotonic clock."""

    def __init__(self, interval_s: float) -> None:
        self.next_s = NEVER
        """The next moment; infinity until something has been measured."""
        self.is_due = True
        """True while a measurement is due and not made; so is the very first one."""
        self._interval_s = interval_s

    def end(self) -> None:
        """Stops: nothing is to be measured any more."""
        self.next_s = NEVER
        self.is_due = False

    def strike(self) -> None:
        """Notes that the next moment has come; it is due until it has been measured."""
        self.next_s += self._interval_s
        self.is_due = True

    def measured(self, now_s: float) -> None:
        """Notes that the measurement that was due has been made."""
        self.is_due = False
        if self.next_s == NEVER:
            self.next_s = now_s + self._interval_s
