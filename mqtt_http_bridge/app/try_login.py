"""Tries to log in to a broker, once or until it works."""

import queue
import random
import secrets
import time
from typing import Final

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.events import Connected, Disconnected, Event
from mqtt_http_bridge.core.settings import MqttSettings

LOGIN_S: Final = 20.0
"""A GX takes up to 6 s to refuse a login."""
LEARNS_S: Final = 30.0
"""The longest time that a GX's broker takes to learn a token from its web server."""
PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts: a GX accepts 20 refused logins in a row, and then refuses all."""
STOP_S: Final = 1.0


def login_failure(mqtt: MqttSettings, limit_s: float = LOGIN_S) -> BrokerFailure | None:
    """Logs in and out again; returns why that did not work, or None if it did.

    Raises ConfigError if a file with certificates is not valid.
    """
    events = queue.SimpleQueue[Event]()
    broker = Broker(
        mqtt,
        client_id=f"mqtt-http-bridge-check-{secrets.token_hex(4)}",
        subscriptions=(),
        wants=lambda topic: False,
        now=SystemClock().now,
        emit=events.put,
        draw=random.uniform,
    )
    ends_s = time.monotonic() + limit_s
    broker.start()
    try:
        while True:
            match events.get(timeout=max(0.0, ends_s - time.monotonic())):
                case Connected():
                    return None
                case Disconnected(_, failure):
                    return failure
    except queue.Empty:
        return failure_at(mqtt, Cause.TIMED_OUT, f"{limit_s:.0f} s")
    finally:
        broker.stop(STOP_S)


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
