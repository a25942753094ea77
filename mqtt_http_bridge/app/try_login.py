"""Tries to log in to a broker, once or until it works."""

import time
from typing import Final

from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.visit import visiting
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.events import Connected, Disconnected
from mqtt_http_bridge.core.settings import MqttSettings

LOGIN_S: Final = 20.0
"""A GX takes up to 6 s to refuse a login."""
LEARNS_S: Final = 30.0
"""The longest time that a GX's broker takes to learn a token from its web server."""
PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts: a GX accepts 20 refused logins in a row, and then refuses all."""


def login_failure(mqtt: MqttSettings) -> BrokerFailure | None:
    """Logs in and out again; returns why that did not work, or None if it did.

    Raises ConfigError if a file with certificates is not valid.
    """
    inbox, ends_s = Inbox(), time.monotonic() + LOGIN_S
    with visiting(mqtt, inbox):
        while (left_s := ends_s - time.monotonic()) > 0.0:
            match inbox.get(left_s):
                case Connected():
                    return None
                case Disconnected(_, failure):
                    return failure
    return failure_at(mqtt, Cause.TIMED_OUT, f"{LOGIN_S:.0f} s")


def failure_after_waiting(mqtt: MqttSettings) -> BrokerFailure | None:
    """Logs in with something that the broker may not know yet: retries for LEARNS_S while refused.

    Any other failure ends it at once.
    """
    ends_s = time.monotonic() + LEARNS_S
    pauses = iter(PAUSES_S)
    while True:
        failure = login_failure(mqtt)
        if failure is None or failure.cause is not Cause.LOGIN_REFUSED:
            return failure
        pause_s = next(pauses, PAUSES_S[-1])
        if time.monotonic() + pause_s > ends_s:
            return failure
        time.sleep(pause_s)
