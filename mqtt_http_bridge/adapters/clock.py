"""Reads the clocks of this machine, in one place."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.events import Moment

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
"""None if there is none: on such a system, sleep stops every clock except UTC."""
_STEP_US: Final = 50_000
"""A wall clock that is off by more was set; less comes from NTP slewing, or from reading two
clocks."""


class SystemClock:
    """Returns moments in whole microseconds; their two clocks keep their distance until one is set.

    So two moments are as far apart in UTC as they are on the monotonic clock, and a recording,
    which has one time per event, is right for both. Any thread may call `now`.

    The monotonic clock also runs while the machine sleeps, as UTC does: after a night in suspend,
    what was heard before is a night older, and no clock has been set. Waits use another clock,
    which stops meanwhile; `events.LONGEST_WAIT_S` is there for that.
    """

    def __init__(self) -> None:
        self._distance_us = _distance_us(_monotonic_us())

    @property
    def distance_s(self) -> float:
        """Returns the wall clock minus the monotonic clock, in seconds."""
        return self._distance_us / 1_000_000

    def now(self) -> Moment:
        """Returns the present moment, in UTC to within 50 ms of the wall clock."""
        monotonic_us = _monotonic_us()
        distance_us = _distance_us(monotonic_us)
        if abs(distance_us - self._distance_us) > _STEP_US:
            # Or the thread was held up between the two readings; the next two will show which.
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
