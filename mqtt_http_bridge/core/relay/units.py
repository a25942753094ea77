"""Distinguishes units in one place on the bus, whether they were swapped or share it.

Only the serial distinguishes units. A unit that is unplugged clears its place with zero-length
payloads before another comes. But a driver may put another unit in the place of one that is still
there; or two drivers may use the same instance, and then two units speak on the same topics in
turns:

    one serial after another       a swap: the new one is held back until a full publish, asked for
                                   after it came, has told one serial and no other
    two serials in one publish,    two units: nothing that is said here can be told apart, until a
    or the old one back soon       full publish has told one serial, or the place is cleared
"""

from typing import Final

from mqtt_http_bridge.core.events import NEVER

BACK_WITHIN_S: Final = 600.0
"""A serial that is back this soon after another took its place was never away."""
MOST_SERIALS: Final = 8
"""The most serials to remember for one place: more than that is noise."""


class Units:
    """The serials that were reported in one place."""

    def __init__(self) -> None:
        self.rivals: frozenset[str] = frozenset()
        """The serials of the units that share the place; none if there is one unit or no unit."""
        self.is_swap_unsettled = False
        """True while the unit has taken over from another, and no full publish has confirmed it."""
        self._serial: str | None = None
        self._told_s: dict[str, float] = {}
        self._replaced_s: dict[str, float] = {}
        self._swapped_s = -NEVER

    @property
    def is_one_unit(self) -> bool:
        """Tells whether all that is said here is known to come from one unit."""
        return not self.rivals and not self.is_swap_unsettled

    def tell(self, serial: str, now_s: float) -> bool:
        """Notes a serial. Returns True if it replaces that of a unit that did not leave."""
        before, self._serial = self._serial, serial
        _note(self._told_s, serial, now_s)
        if before in (None, serial):
            return False
        _note(self._replaced_s, str(before), now_s)
        if now_s < self._replaced_s.pop(serial, -NEVER) + BACK_WITHIN_S:
            self._add_rivals({str(before), serial})
        self.is_swap_unsettled, self._swapped_s = True, now_s
        return True

    def _add_rivals(self, serials: set[str]) -> None:
        self.rivals = frozenset(sorted(self.rivals | serials)[:MOST_SERIALS])

    def tell_again(self, now_s: float) -> None:
        """Notes that the last serial, if any, was reported again."""
        if self._serial is not None:
            _note(self._told_s, self._serial, now_s)

    def settle(self, requested_s: float) -> bool:
        """Handles the end of a full publish requested at `requested_s`.

        Returns True if it has shown that only one of several units is left.
        """
        told = {serial for serial, told_s in self._told_s.items() if told_s >= requested_s}
        if len(told) > 1:
            self._add_rivals(told)
        if len(told) != 1:
            return False
        if requested_s >= self._swapped_s:
            self.is_swap_unsettled = False
        was_shared, self.rivals = bool(self.rivals), frozenset()
        return was_shared

    def lose_sight(self) -> None:
        """Notes that nobody listened for a while: the next unit to speak has not taken over."""
        self._serial = None
        self.is_swap_unsettled = False

    def clear(self) -> None:
        """Notes that the place was cleared: the next unit has it to itself."""
        self.lose_sight()
        self.rivals = frozenset()
        self._told_s.clear()
        self._replaced_s.clear()


def _note(times_s: dict[str, float], serial: str, now_s: float) -> None:
    """Notes a time, and forgets the oldest if there are too many."""
    times_s.pop(serial, None)
    times_s[serial] = now_s
    if len(times_s) > MOST_SERIALS:
        del times_s[next(iter(times_s))]
