"""Finds out whether another client uses our client id: the broker disconnects one for the other.

MQTT 3.1.1 ends a connection without giving a reason, and with MQTT 5 few brokers give one either.
So it is tested. When the broker has accepted us and cut us off several times in a row, a connection
is made under another id, for twice as long as the others lasted. If that one is cut off as well,
the id is not the cause. If it holds, and the next one under our own id is cut off again, the id is
the cause.
"""

import logging
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from mqtt_http_bridge.adapters.broker.client import NOT_MQTT
from mqtt_http_bridge.adapters.broker.reconnect_delay import Outcome
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import MqttSettings

log = logging.getLogger(__name__)

SHORT_S: Final = 90.0
"""A connection that the broker ended within this time counts: other clients wait at most a minute
before they connect again."""
MOST_SHORT: Final = 3
"""After this many in a row, another id is tried."""
AGAIN_AFTER: Final = 10
"""After this many more connections it is tried again, if it showed nothing."""
LEAST_TRIAL_S: Final = 5.0
_TURN_S: Final = 0.2


class Trial(Enum):
    """Lists the possible results of a connection under another id."""

    HELD = auto()
    CUT_OFF = auto()
    NONE = auto()
    """No such connection was made."""


class SharedId:
    """Judges how the connections ended, one after another. For the broker's thread."""

    def __init__(self) -> None:
        self._short = 0
        self._longest_s = 0.0
        self._trial = Trial.NONE

    @property
    def is_to_be_tried(self) -> bool:
        """Tells whether the next connection should be one under another id."""
        return self._trial is Trial.NONE and self._short >= MOST_SHORT

    @property
    def trial_s(self) -> float:
        """Returns how many seconds it has to hold."""
        return max(LEAST_TRIAL_S, 2.0 * self._longest_s)

    def note(self, outcome: Outcome, now_s: float) -> None:
        """Notes how a connection ended; if the cause is known, it becomes the failure."""
        if outcome.connected_s is None:
            return  # It says nothing about the connections that were made.
        lasted_s = now_s - outcome.connected_s
        if not outcome.is_cut_off or lasted_s >= SHORT_S:
            self._short, self._longest_s, self._trial = 0, 0.0, Trial.NONE
            return
        self._short += 1
        self._longest_s = max(self._longest_s, lasted_s)
        if self._trial is Trial.HELD:
            outcome.failure = BrokerFailure(Cause.TAKEN_OVER)
        elif self._trial is Trial.CUT_OFF:
            outcome.failure = BrokerFailure(Cause.CUT_OFF)

    def take_in(self, trial: Trial) -> None:
        """Notes how the connection under another id went."""
        self._trial = trial
        self._short = MOST_SHORT - AGAIN_AFTER


def tried(
    make_client: Callable[[], paho.Client],
    to: MqttSettings,
    for_s: float,
    go_on: Callable[[], bool],
) -> Trial:
    """Connects another client, and tests whether the connection holds for this long.

    `go_on` is called again and again; False ends the test.
    """
    try:
        return _tried(make_client(), to, for_s, go_on)
    except (OSError, ConfigError, *NOT_MQTT) as error:
        log.debug("no connection under another client id: %r", error)
        return Trial.NONE


def _tried(client: paho.Client, to: MqttSettings, for_s: float, go_on: Callable[[], bool]) -> Trial:
    client.connect(to.host, to.port, keepalive=int(2 * SHORT_S))
    until_s = time.monotonic() + for_s
    while go_on():
        if client.loop(_TURN_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return Trial.CUT_OFF
        if time.monotonic() >= until_s:
            trial = Trial.HELD if client.is_connected() else Trial.NONE
            break
    else:
        trial = Trial.NONE
    client.disconnect()
    client.loop(0.0)
    return trial
