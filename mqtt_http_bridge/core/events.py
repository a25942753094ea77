"""Names what can happen to the relay, each with the moment it happened."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mqtt_http_bridge.core.broker_failure import BrokerFailure

NEVER: Final = float("inf")
"""A deadline that never comes, in seconds on the monotonic clock."""
LONGEST_WAIT_S: Final = 10.0
"""The longest single wait for a moment. Waits stop while the machine sleeps, but moments do not:
after a sleep, one may be missed by this much.
"""


class Moment(NamedTuple):
    """One instant on both clocks.

    `monotonic_s` only grows, even while the machine sleeps, and is for deadlines and ages; `utc`
    has a time zone and is for people and for sending. Both count whole microseconds, so that
    differences of moments, and with them every posted timestamp, come out the same live and in a
    replay.
    """

    monotonic_s: float
    utc: datetime

    def at(self, monotonic_s: float) -> "Moment":
        """The moment at which the monotonic clock read `monotonic_s`, going by this one."""
        return Moment(monotonic_s, self.utc + timedelta(seconds=monotonic_s - self.monotonic_s))

    def not_before(self, monotonic_s: float) -> "Moment":
        """This moment, or the one at `monotonic_s` if that is later."""
        return self if self.monotonic_s >= monotonic_s else self.at(monotonic_s)


class Connected(NamedTuple):
    """The broker has accepted us; the topics known from the start are being subscribed to."""

    moment: Moment
    tells_reads: bool = False
    """True if AllRead events report how far everything has been read. If not, as in other people's
    recordings, each message counts as read the moment it came, and nothing is left unread.
    """
    where: str = ""
    """Host and port, where there are several to connect to."""


class Disconnected(NamedTuple):
    """A connection ended, or an attempt to make one failed."""

    moment: Moment
    failure: BrokerFailure


class Message(NamedTuple):
    """One PUBLISH from the broker, as it came."""

    moment: Moment
    topic: str
    payload: bytes
    retain: bool = False


class AllRead(NamedTuple):
    """Everything that had come on the connection by `until_s` has been read and handed over.

    What is handed over later came later: so this also limits how old a message can be.
    """

    moment: Moment
    until_s: float
    """On the monotonic clock, not after `moment`."""


class Tick(NamedTuple):
    """Time has passed and nothing else happened."""

    moment: Moment


class Dropped(NamedTuple):
    """The broker sent more than a limit far above what any GX sends; the excess was discarded."""

    moment: Moment
    packets: int = 0
    """Packets that were too large, or that needed an answer, unlike anything we asked for."""
    messages: int = 0
    """Messages too many to handle: what they said is not known."""


class SubscriptionRefused(NamedTuple):
    """The broker will not send us what these topic filters ask for."""

    moment: Moment
    topics: tuple[str, ...]


Event = Connected | Disconnected | Message | AllRead | Tick | Dropped | SubscriptionRefused
