"""The connection to the broker: is it alive, and what is there to tell about it.

A connection that comes and goes is told once per kind of trouble and once when it is over.
"""

from typing import Final

from mqtt_http_bridge.core.commands import Command, Log, Reconnect
from mqtt_http_bridge.core.events import Moment

DEAF_S: Final = 30.0
"""Heartbeats come every 3 s: a connection on which nothing comes for so long is dead."""
DISCOVERY_S: Final = 10.0
"""The portal id is retained and comes at once, except while the GX starts up."""
STEADY_S: Final = 600.0
"""A connection that held so long ends the last trouble: the next one is told anew."""

NEVER: Final = float("inf")


class Link:
    """Watches one connection. Owned by one thread, as is the relay that holds it."""

    def __init__(self) -> None:
        self.deaf_reconnects = 0
        """How often a connection was dropped because nothing came."""
        self.trouble = ""
        """Why the last connection ended, until there is another."""
        self._connected_s = NEVER
        self._heard_s = -NEVER
        self._is_portal_known = False
        self._watch_due_s = NEVER
        self._is_ever_connected = False
        self._told: set[str] = set()
        self._is_recovery_owed = False

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and not let go since."""
        return self._connected_s < NEVER

    def connect(self, now_s: float, *, is_portal_known: bool) -> list[Command]:
        """The broker accepted us."""
        self.trouble = ""
        self._connected_s = now_s
        self._is_portal_known = is_portal_known
        self._watch_due_s = now_s + (DEAF_S if is_portal_known else DISCOVERY_S)
        if self._is_ever_connected:
            return []
        self._is_ever_connected = True
        return [Log.info("connected to the broker")]

    def disconnect(self, now_s: float, reason: str) -> list[Command]:
        """The connection ended, or could not be made."""
        if now_s - self._connected_s >= STEADY_S:
            self._told.clear()
        self.trouble = reason
        self._connected_s = self._watch_due_s = NEVER
        return self._tell(f"no connection to the broker: {reason}: will keep trying")

    def hear(self, now_s: float) -> list[Command]:
        """A GX said something of its own accord."""
        self._heard_s = now_s
        if not self._is_recovery_owed:
            return []
        self._is_recovery_owed = False
        return [Log.info("the broker and the GX are heard again")]

    def find_portal(self, now_s: float) -> None:
        """The portal id has been learnt: from now on the GX should be heard."""
        self._is_portal_known = True
        self._watch_due_s = now_s + DEAF_S

    def next_deadline_s(self) -> float:
        """When `act` is to be called; infinity if nothing will ever be due."""
        return self._watch_due_s

    def act(self, now: Moment) -> list[Command]:
        """Looks after the connection at a deadline."""
        if not self._is_portal_known:
            self._watch_due_s = NEVER
            return self._tell(
                "the broker has not told a portal id yet: waiting for the GX to start up."
                " If it is up, is this broker a GX? If so, set mqtt.portal_id"
            )
        deaf_since_s = max(self._heard_s, self._connected_s)
        if now.monotonic_s < deaf_since_s + DEAF_S:
            self._watch_due_s = deaf_since_s + DEAF_S
            return []
        self._watch_due_s = NEVER
        self.deaf_reconnects += 1
        return [
            *self._tell(f"connected, but nothing heard for {DEAF_S:.0f} s: connecting anew"),
            Reconnect(),
        ]

    def _tell(self, trouble: str) -> list[Command]:
        if trouble in self._told:
            return []
        self._told.add(trouble)
        self._is_recovery_owed = True
        return [Log.warning(trouble)]
