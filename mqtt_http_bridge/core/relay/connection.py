"""Watches the connection to the broker: is it alive, and how far has it been read.

Each kind of trouble is logged once until a GX is heard, and then its end. How often intermittent
trouble may be logged is decided in `core.log_limit`.

Silence is judged by what has been read, not by the clock: a process that was stopped for a minute
has heard nothing for a minute, and then finds everything in the socket. So before judging by some
moment, ask `is_read_up_to`; if the answer is no, judge once everything has been read.
"""

from typing import Final

from mqtt_http_bridge.core.backoff import ceiling_s
from mqtt_http_bridge.core.broker_failure import BrokerFailure
from mqtt_http_bridge.core.commands import Command, Reconnect
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log

READ_WITHIN_S: Final = 1.0
"""To judge by a moment, everything must have been read up to this many seconds before it. Reading
ahead of each deadline takes less time, and in a measurement nobody notices the last second."""
DEAF_S: Final = 30.0
"""A connection that has had a heartbeat is dead after this many seconds of silence: they come every
3 s."""
FIRST_FRESH_START_S: Final = 300.0
"""Seconds of silence until the first fresh start if no heartbeat has come. Silence proves nothing
then, and MQTT's own ping watches the connection; a fresh start may still help, the first one after
this time, then less and less often."""
LONGEST_FRESH_START_S: Final = 3600.0
DISCOVERY_S: Final = 10.0
"""The portal id is retained and comes at once, except while the GX starts up."""
HELD_S: Final = 300.0
"""A connection that lasted this many seconds is not one of many that were cut off."""
_ABOUT: Final = "broker"


class BrokerConnection:
    """Watches one connection. Owned by one thread, as is the relay that holds it."""

    def __init__(self) -> None:
        self.deaf_reconnects = 0
        """Connections dropped because nothing came."""
        self.failure: BrokerFailure | None = None
        """The reason why the last connection ended, until there is a new one; a reason that is
        about many connections stays until the next one has lasted for a while.
        """
        self.read_until_s = -NEVER
        """Everything that had arrived on this connection by then has been read and handled;
        infinity if messages carry the moment they came."""
        self._connected_s = NEVER
        self._heard_s = -NEVER
        self._has_heartbeat = False
        """True once a heartbeat came on this connection, of any GX."""
        self._fresh_starts = 0
        """Fresh starts in a row that brought nothing."""
        self._is_silence_watched = False
        self._is_silence_unjudged = False
        self._discovery_due_s = NEVER
        self._is_ever_connected = False
        self._told: set[str] = set()
        self._is_recovery_owed = False
        self._at = ""

    @property
    def is_connected(self) -> bool:
        """True from when the broker accepts us until the connection ends."""
        return self._connected_s < NEVER

    @property
    def connected_s(self) -> float:
        """Returns the time since which it is connected; infinity while it is not."""
        return self._connected_s

    def is_read_up_to(self, at_s: float) -> bool:
        """Tells whether everything said up to a second before `at_s` has been read."""
        return self.read_until_s >= at_s - READ_WITHIN_S

    def connect(
        self, now_s: float, *, tells_reads: bool, is_portal_known: bool, where: str = ""
    ) -> list[Command]:
        """Notes that the broker accepted us; `where` names the address, if there are several."""
        self._at = f" at {where}" if where else ""
        if self.failure is not None and not self.failure.is_repeated:
            self.failure = None
        self._connected_s = now_s
        self._has_heartbeat = False
        self.read_until_s = now_s if tells_reads else NEVER
        self._is_silence_watched = True
        self._is_silence_unjudged = False
        self._discovery_due_s = NEVER if is_portal_known else now_s + DISCOVERY_S
        if self._is_ever_connected:
            return []
        self._is_ever_connected = True
        return [Log.info(f"connected to the broker{self._at}")]

    def disconnect(self, failure: BrokerFailure) -> list[Command]:
        """Notes that the connection ended, or could not be made."""
        self.failure = failure
        self._connected_s = self._discovery_due_s = NEVER
        self._is_silence_watched = False
        self.read_until_s = -NEVER
        return self._tell(
            f"no connection to the broker: {failure}: will keep trying: {failure.remedy}",
            kind=f"no connection to the broker: {failure.cause.name} {failure.host}:{failure.port}",
        )

    # --- what is heard and read --------------------------------------------------------------

    def hear(self, now_s: float, *, is_heartbeat: bool) -> list[Command]:
        """Notes that a GX said something on its own."""
        self._heard_s = now_s
        self._fresh_starts = 0
        self._has_heartbeat |= is_heartbeat
        if self.failure is not None and now_s >= self._connected_s + HELD_S:
            self.failure = None
        if not self._is_recovery_owed or self.failure is not None:
            return []
        self._is_recovery_owed = False
        self._told.clear()
        text = f"the broker{self._at} and the GX are heard again"
        return [Log.info(text, about=_ABOUT, is_end=True)]

    def find_portal(self) -> None:
        """Notes that a portal id has been learnt."""
        self._discovery_due_s = NEVER

    def note_read(self, until_s: float) -> None:
        """Notes that everything that had arrived by `until_s` has been handled."""
        if self.is_connected:
            self.read_until_s = max(self.read_until_s, until_s)

    def judge(self, now: Moment) -> list[Command]:
        """Catches up on a deadline at which too little had been read."""
        if not self._is_silence_unjudged:
            return []
        self._is_silence_watched = True
        self._is_silence_unjudged = False
        return self.act(now)

    # --- what is due -------------------------------------------------------------------------

    def next_deadline_s(self) -> float:
        """Returns the time at which to call `act`; infinity if nothing will ever be due."""
        return min(self._silence_due_s, self._discovery_due_s)

    def act(self, now: Moment) -> list[Command]:
        """Looks after the connection at a deadline."""
        commands: list[Command] = []
        if self._discovery_due_s <= now.monotonic_s:
            self._discovery_due_s = NEVER
            commands += self._tell(
                "the broker has not named a GX yet: waiting for the GX to start. If it is up,"
                " and this is its broker, set mqtt.portal_id to its VRM portal ID",
                kind="the broker has not named a GX",
            )
        if self._silence_due_s <= now.monotonic_s:
            commands += self._look_into_silence(now.monotonic_s)
        return commands

    @property
    def _silent_since_s(self) -> float:
        return max(self._heard_s, self._connected_s)

    @property
    def _silence_due_s(self) -> float:
        """Returns when a silence that lasts until then is too long; infinity for never."""
        return self._silent_since_s + self._patience_s if self._is_silence_watched else NEVER

    @property
    def _patience_s(self) -> float:
        if self._has_heartbeat:
            return DEAF_S
        return ceiling_s(
            self._fresh_starts + 1, first_s=FIRST_FRESH_START_S, limit_s=LONGEST_FRESH_START_S
        )

    def _look_into_silence(self, now_s: float) -> list[Command]:
        self._is_silence_watched = False
        if not self.is_read_up_to(now_s):
            self._is_silence_unjudged = True
            return []
        self.deaf_reconnects += 1
        if self._has_heartbeat:
            return [
                *self._tell(
                    f"connected, but nothing heard for {DEAF_S:.0f} s: reconnecting:"
                    " check that the GX is on",
                    kind="connected, but nothing heard",
                ),
                Reconnect(),
            ]
        self._fresh_starts += 1
        return [
            *self._tell(
                "connected, but no GX is heard: reconnecting from time to time: check that the"
                " GX is on, and that mqtt.portal_id is its own",
                kind="connected, but no GX is heard",
            ),
            Reconnect(),
        ]

    def _tell(self, trouble: str, *, kind: str) -> list[Command]:
        if kind in self._told:
            return []
        self._told.add(kind)
        self._is_recovery_owed = True
        return [Log.warning(trouble, kind=kind, about=_ABOUT)]
