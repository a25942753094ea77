"""The clocks of this machine, read in one place."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.events import Moment

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
"""None where there is none: on that system, sleep stops all clocks but UTC."""
_STEP_US: Final = 50_000
"""A wall clock that is off by more has been set; less comes from NTP slewing and our own reading.
"""


class SystemClock:
    """Moments on whole microseconds whose two clocks keep their distance until one is set.

    Two moments are therefore as far apart in UTC as they are on the monotonic clock, which makes
    a recording, that has one time per event, good for both. Any thread may call `now`.

    The monotonic clock is one that also runs while the machine sleeps, as UTC does: a night in
    suspend makes what was heard before as old as it is, and sets no clock. Waits run on another
    one, which stands still meanwhile: that is what `events.LONGEST_WAIT_S` is for.
    """

    def __init__(self) -> None:
        self._distance_us = _distance_us(_monotonic_us())

    @property
    def distance_s(self) -> float:
        """Seconds by which the wall clock is ahead of the monotonic one."""
        return self._distance_us / 1_000_000

    def now(self) -> Moment:
        """The present moment, in UTC to within 50 ms of what the wall clock shows."""
        monotonic_us = _monotonic_us()
        distance_us = _distance_us(monotonic_us)
        if abs(distance_us - self._distance_us) > _STEP_US:
            # Or the thread was held up between the two readings: the next two will tell.
            distance_us = _distance_us(_monotonic_us())
            if abs(distance_us - self._distance_us) > _STEP_US:
                self._distance_us = distance_us
        utc = _EPOCH + timedelta(microseconds=monotonic_us + self._distance_us)
        return Moment(monotonic_us / 1_000_000, utc)


def boot_id() -> str:
    """Returns the id of this boot of the machine; empty if it is not known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _monotonic_us() -> int:
    if _BOOT_CLOCK is None:
        return time.monotonic_ns() // 1000
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1000


def _distance_us(monotonic_us: int) -> int:
    return time.time_ns() // 1000 - monotonic_us
