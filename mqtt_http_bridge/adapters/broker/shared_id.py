"""Finds out that another client has our client id: the broker throws off one for the other.

MQTT 3.1.1 ends a connection without a word, whatever the reason, and few brokers give one in MQTT 5
either. So it is tried. When the broker has let us in and cut us off several times in a row, a
connection is made under another id, for twice as long as the others lasted. If that is cut off as
well, it is not the id. If it holds, and the next one under our own id is cut off again, it is.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from mqtt_http_bridge.adapters.broker.reconnect_delay import Outcome
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause

SHORT_S: Final = 90.0
"""A connection that the broker ended so soon is one of those that are counted: other clients wait a
minute at most before they connect again."""
MOST_SHORT: Final = 3
"""So many in a row are one too many."""
AGAIN_AFTER: Final = 10
"""Connections until it is tried again, where nothing came out."""
LEAST_TRIAL_S: Final = 5.0
_TURN_S: Final = 0.2


class Trial(Enum):
    """The ways in which a connection under another id can go."""

    HELD = auto()
    CUT_OFF = auto()
    NONE = auto()
    """There was no such connection."""


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
        """Seconds for which that has to hold."""
        return max(LEAST_TRIAL_S, 2.0 * self._longest_s)

    def note(self, outcome: Outcome, now_s: float) -> None:
        """Takes in how a connection ended; what is known by now becomes its failure."""
        if outcome.connected_s is None:
            return  # It tells nothing of those that were made.
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
        """Takes in how it went."""
        self._trial = trial
        self._short = MOST_SHORT - AGAIN_AFTER


def tried(
    client: paho.Client, host: str, port: int, for_s: float, go_on: Callable[[], bool]
) -> Trial:
    """Connects `client`, sees for so long whether that holds, and says goodbye.

    `go_on` is asked all the time. Raises OSError.
    """
    client.connect(host, port, keepalive=int(2 * SHORT_S))
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
