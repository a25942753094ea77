"""The beat: the moments at which one GX is measured, an interval apart for ever.

The first measurement sets them. A moment that could not be measured is *due*: it is made up for as
soon as that can be done truthfully, dated to then, and the beat goes on as it was. Of several that
passed by only one is due: there is only one present to be told of.
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
        """Nothing is to be measured any more."""
        self.next_s = NEVER
        self.is_due = False

    def strike(self) -> None:
        """The next moment has come, and is due until it has been measured."""
        self.next_s += self._interval_s
        self.is_due = True

    def measured(self, now_s: float) -> None:
        """Notes that what was due has been measured."""
        self.is_due = False
        if self.next_s == NEVER:
            self.next_s = now_s + self._interval_s
