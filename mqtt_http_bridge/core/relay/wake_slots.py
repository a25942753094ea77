"""Spreads the waking of announced GX devices over one interval; the first is woken at once.

When the first is announced, nobody knows how many will follow. So each gets the middle of the
largest gap that is left: 0, 1/2, 1/4, 3/4, 1/8, 5/8 ... of an interval.
"""

from mqtt_http_bridge.core.events import NEVER


class WakeSlots:
    """Hands out moments on the monotonic clock."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._began_s = -NEVER
        self._count = 0

    def next_s(self, now_s: float) -> float:
        """Returns the time to wake one more; `now_s` if none was woken for an interval."""
        if now_s >= self._began_s + self._interval_s:
            self._began_s, self._count = now_s, 0
        slot_s = self._began_s + self._interval_s * _mirrored(self._count)
        self._count += 1
        return max(now_s, slot_s)


def _mirrored(number: int) -> float:
    """The binary digits of `number`, reversed, after the point: 1, 2, 3 are 1/2, 1/4, 3/4."""
    fraction, weight = 0.0, 0.5
    while number:
        fraction += weight * (number & 1)
        number, weight = number >> 1, weight / 2
    return fraction
