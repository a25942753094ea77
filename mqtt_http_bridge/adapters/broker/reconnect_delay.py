"""Works out how long to wait before connecting to the broker again."""

from typing import Final

from mqtt_http_bridge.core.backoff import Draw, full_jitter_s, steady_jitter_s
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause

FIRST_WAIT_S: Final = 1.0
LONGEST_RECONNECT_WAIT_S: Final = 60.0
STEADY_S: Final = 30.0
"""After a connection that lasted this long, the next wait is short again. One that is cut off at
once, as by another client with our id, does not count."""
FIRST_REFUSED_WAIT_S: Final = 60.0
LONGEST_REFUSED_WAIT_S: Final = 900.0
"""A GX counts refused logins, 150 a day for all clients together (docs/gx.md): do not use them
up."""


class Outcome:
    """Records how one connection went; used by the broker's thread only."""

    def __init__(self) -> None:
        self.connected_s: float | None = None
        self.is_refused = False
        """True if the broker has answered the login and refused it."""
        self.is_cut_off = False
        """True if the broker, or something between, ended the connection after accepting the
        login."""
        self.failure = BrokerFailure(Cause.HUNG_UP)


class ReconnectDelay:
    """Decides the wait before the next connection by how the last ones went."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._failures = 0
        self._refusals = 0

    def after(self, outcome: Outcome, now_s: float) -> float:
        """Returns how many seconds to wait after a connection that has just ended."""
        if outcome.failure.cause is Cause.LOGIN_REFUSED:
            self._refusals += 1
            return steady_jitter_s(
                self._refusals,
                first_s=FIRST_REFUSED_WAIT_S,
                limit_s=LONGEST_REFUSED_WAIT_S,
                draw=self._draw,
            )
        if outcome.connected_s is not None:
            self._refusals = 0
            if now_s - outcome.connected_s >= STEADY_S:
                self._failures = 0
        self._failures += 1
        return full_jitter_s(
            self._failures, first_s=FIRST_WAIT_S, limit_s=LONGEST_RECONNECT_WAIT_S, draw=self._draw
        )
