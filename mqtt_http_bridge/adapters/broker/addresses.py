"""Chooses which address of the broker to connect to next, and when.

A cluster has several nodes, and any of them will do. When one fails, the next is tried at once;
there is a wait only if all have failed lately. Each address has its own wait, which grows, so that
a node that refuses our login is left alone while the others are tried.
"""

from collections.abc import Sequence

from mqtt_http_bridge.adapters.broker.reconnect_delay import STEADY_S, Outcome, ReconnectDelay
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.settings import MqttSettings


class _Address:
    """Holds one address: its settings, and the time from which it may be tried again."""

    def __init__(self, settings: MqttSettings, draw: Draw) -> None:
        self.settings = settings
        self.due_s = -NEVER
        self._draw = draw
        self._delay = ReconnectDelay(draw)
        self._has_refused = False

    def note(self, outcome: Outcome, now_s: float) -> None:
        self._has_refused = outcome.failure.cause is Cause.LOGIN_REFUSED
        self.due_s = now_s + self._delay.after(outcome, now_s)

    def forgive(self) -> None:
        """Forgets its failures, except a refused login, which the broker counts, too."""
        if not self._has_refused:
            self.due_s = -NEVER
            self._delay = ReconnectDelay(self._draw)


class Addresses:
    """Holds all addresses of one broker, in the order of the config. For the broker's thread."""

    def __init__(self, each: Sequence[MqttSettings], draw: Draw) -> None:
        self._each = [_Address(settings, draw) for settings in each]
        self._at = 0

    def __len__(self) -> int:
        return len(self._each)

    @property
    def current(self) -> MqttSettings:
        """Returns the settings of the address to use now."""
        return self._each[self._at].settings

    def after(self, outcome: Outcome, now_s: float) -> float:
        """Moves on after a connection has ended; returns how many seconds to wait."""
        self._each[self._at].note(outcome, now_s)
        began_s = outcome.connected_s
        if began_s is not None and now_s - began_s >= STEADY_S:
            for number, address in enumerate(self._each):
                if number != self._at:
                    address.forgive()
        count = len(self._each)
        turns = [(self._at + step) % count for step in range(1, count + 1)]
        self._at = min(turns, key=lambda number: max(self._each[number].due_s, now_s))
        return max(0.0, self._each[self._at].due_s - now_s)
