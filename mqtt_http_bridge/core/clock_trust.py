"""Decides when the clock of this machine is trusted: until then nothing is sent.

A machine without a battery for its clock starts with the time it last had: seconds or days behind,
until the network corrects it. A measurement sent with such a time stays wrong for ever; one that is
still in the outbox is corrected when the clock is set.

    what is known                                   the clock
    ----------------------------------------------  ------------------------------------------------
    the kernel says that it is synchronised         is trusted
    the backend's Date is within 5 s of it          is trusted
    the backend's Date is further from it           has ten minutes to be set, told; then it counts
                                                    as it is, told
    the backend answers, and tells no Date          the same
    no connection to the backend                    is not trusted, and nothing could be sent anyway
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mqtt_http_bridge.core.events import LONGEST_WAIT_S, Moment
from mqtt_http_bridge.core.log import Log

AGREES_S: Final = 5.0
PATIENCE_S: Final = 600.0
_FIRST_WAIT_S: Final = 2.0
_RESOLUTION: Final = timedelta(seconds=1)
"""The resolution of a Date, which is cut off to whole seconds."""


class Asked(NamedTuple):
    """Holds when the backend was asked for its time, and what it answered."""

    began: Moment
    ended: Moment
    date: datetime | None
    is_answered: bool
    """True if something came back, even without a Date."""

    @property
    def ahead_s(self) -> float | None:
        """Returns how far this clock is at least ahead of the backend's; None without a Date."""
        if self.date is None:
            return None
        # The backend read its clock between the question and the answer: the best match counts.
        if self.ended.utc < self.date:
            return (self.ended.utc - self.date).total_seconds()
        # No sum of dates: an odd backend may be in the last second of the year 9999.
        return max(0.0, (self.began.utc - self.date - _RESOLUTION).total_seconds())


class ClockTrust:
    """Keeps what is known about the clock. Keep asking until it trusts the clock."""

    def __init__(self) -> None:
        self.is_trusted = False
        self.wait_s = _FIRST_WAIT_S
        """Seconds to wait before the backend is asked again."""
        self._ends_s: float | None = None
        """The time until which to wait for the clock to be set."""

    def hear_kernel(self, *, is_synchronised: bool) -> list[Log]:
        """Notes what the kernel says; returns what to log."""
        if not is_synchronised:
            return []
        return self._trust("the clock has been synchronised: sending what was measured")

    def hear_backend(self, asked: Asked) -> list[Log]:
        """Notes what the backend says about its time; returns what to log."""
        now_s, ahead_s = asked.ended.monotonic_s, asked.ahead_s
        if ahead_s is not None and abs(ahead_s) <= AGREES_S:
            return self._trust("the clock agrees with the backend's: sending what was measured")
        if not asked.is_answered:
            self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)
            return []
        self.wait_s = _FIRST_WAIT_S
        if self._ends_s is None:
            self._ends_s = now_s + PATIENCE_S
            return [
                Log.warning(
                    f"{_difference(ahead_s)}: waiting up to 10 min for it to be set: {_WAITING}"
                )
            ]
        if now_s < self._ends_s:
            return []
        self.is_trusted = True
        return [
            Log.warning(
                f"{_difference(ahead_s)}: it was not set in time, and is used as it is: {_MEND}"
            )
        ]

    def _trust(self, text: str) -> list[Log]:
        self.is_trusted = True
        return [] if self._ends_s is None else [Log.info(text)]


_WAITING: Final = "nothing is sent until then, measuring goes on"
_MEND: Final = "set the clock of this machine; is NTP on?"


def _difference(ahead_s: float | None) -> str:
    if ahead_s is None:
        return "cannot tell whether the clock of this machine is right"
    side = "ahead of" if ahead_s > 0.0 else "behind"
    return f"the clock of this machine is {abs(ahead_s):.0f} s {side} the backend's"
