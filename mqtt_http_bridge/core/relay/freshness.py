"""Fresh or nothing: when what a GX has said is new enough to be measured.

A GX only reports changes, so a value may be hours old and still true. It is true as long as the GX
would have reported a change, and we know that it would from what else it sends: its heartbeat comes
every 3 s. So a measurement is made for a moment only if

- the connection stands;
- everything said up to a second before has been read. A process that hung (stopped, asleep,
  starved) finds it in the socket when it goes on, and knows nothing of it until then;
- the GX was *heard* within 10 s before.

When was it heard? A message that is read now has waited in the socket for an unknown time. We only
know that it was not there when the socket was last read empty: it came after that, perhaps right
after. So that moment counts: the start of the batch that the message belongs to.

    read empty                       message comes?            read       measurement
    |--------------------------------------------------------->|          |
    ^ "heard"                                        values are known     is "heard" 10 s before?

After a silence, what comes first is old: a network or broker that hung passes on everything that it
held back, in one burst and in order. So after more than 10 s of silence, only what comes a second
after the first message counts. If a connection ended in such a silence, the first second of the
next one does not count either: a broker that hung begins there with what it knew before.

Venus OS before 3.20 has no heartbeat, nor has a mirror that passes on chargers alone. Such a GX is
known by speaking for 10 s without one: it may be silent for 60 s, as long as a keepalive lasts.
"""

from typing import Final

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.connection import BrokerConnection

FRESH_S: Final = 10.0
"""Seconds since a GX was heard within which it may be measured: three heartbeats, and one that is
late."""
FRESH_WITHOUT_HEARTBEAT_S: Final = 60.0
BURST_S: Final = 1.0
"""Seconds within which messages that were held up arrive."""


class Freshness:
    """Tracks how recently one GX was heard, on a connection that is watched elsewhere."""

    def __init__(self, connection: BrokerConnection) -> None:
        self.heard_s = -NEVER
        """The earliest time at which its last message may have come: see above."""
        self._connection = connection
        self._first_s = NEVER
        """The first time it was heard on this connection."""
        self._heartbeat_s = -NEVER
        self.spoke_s = NEVER
        """The time at which its last word was read; infinity if there was none on this connection.
        """
        self._resumed_s = -NEVER
        """The time of the first word after a silence."""
        self._ended_in_silence = False
        """True if the last connection was dropped or lost after a long silence."""

    def end(self, now_s: float) -> None:
        """Notes that there is no connection from `now_s` on; there may have been one before."""
        if self._connection.is_connected and self.spoke_s < NEVER:
            self._ended_in_silence = now_s > self.spoke_s + self._patience_s

    def begin(self) -> None:
        """Notes that everything is requested again: what comes from now on was not held up."""
        self._first_s = self.spoke_s = NEVER
        self._resumed_s = -NEVER

    def hear(self, now_s: float, *, is_heartbeat: bool) -> float:
        """Notes that the GX spoke; returns the longest silence that may have come before."""
        if now_s > self.spoke_s + FRESH_S and now_s > self.spoke_s + self._patience_s:
            self._resumed_s = now_s
        if self._ended_in_silence:
            self._ended_in_silence = False
            self._resumed_s = now_s
        before_s, self.spoke_s = self.heard_s, now_s
        self.heard_s = max(before_s, min(now_s, self._connection.read_until_s))
        self._first_s = min(self._first_s, self.heard_s)
        if is_heartbeat:
            self._heartbeat_s = self.heard_s
        return self.heard_s - before_s

    @property
    def has_heartbeat(self) -> bool:
        """False once it has spoken for a while without one."""
        return self.heard_s < max(self._first_s, self._heartbeat_s) + FRESH_S

    def allows(self, at_s: float) -> bool:
        """Tells whether a measurement may be dated to `at_s`."""
        if not self._connection.is_connected or not self._connection.is_read_up_to(at_s):
            return False
        if self.heard_s < self._resumed_s + BURST_S:
            return False
        return at_s - self.heard_s <= self._patience_s

    @property
    def _patience_s(self) -> float:
        return FRESH_S if self.has_heartbeat else FRESH_WITHOUT_HEARTBEAT_S
