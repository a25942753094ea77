"""What can happen to the relay, each with the moment it happened."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks.

    `monotonic_s` only grows and is for deadlines and ages; `utc` is aware and is for people and
    the wire. Both count whole microseconds, so that differences of moments, and with them every
    posted timestamp, come out the same live and in a replay.
    """

    monotonic_s: float
    utc: datetime

    def at(self, monotonic_s: float) -> "Moment":
        """The moment at which the monotonic clock read `monotonic_s`, going by this one."""
        return Moment(monotonic_s, self.utc + timedelta(seconds=monotonic_s - self.monotonic_s))

    def not_before(self, monotonic_s: float) -> "Moment":
        """This moment, or the one at `monotonic_s` if that is later."""
        return self if self.monotonic_s >= monotonic_s else self.at(monotonic_s)


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted us; what is known from the start is being subscribed to."""

    moment: Moment


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended, or an attempt to make one failed; `reason` is for people."""

    moment: Moment
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """One PUBLISH from the broker, as it came."""

    moment: Moment
    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed and nothing else happened."""

    moment: Moment


Event = Connected | Disconnected | Message | Tick
