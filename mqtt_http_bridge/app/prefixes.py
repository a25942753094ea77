"""Looks for GX devices whose topics have a prefix from a bridge."""

import queue
import random
import secrets
import time
from typing import Final

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.core.events import Disconnected, Event, Message
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus import topics

SEARCH_S: Final = 4.0
"""A GX that is awake has a heartbeat every 3 s; retained messages come at once."""
MOST_PREFIXES: Final = 8
STOP_S: Final = 1.0


def find_prefixes(mqtt: MqttSettings) -> dict[str, str]:
    """Returns each prefix below which the broker announces a GX, with its portal id.

    The empty prefix means none. Nothing is published.
    """
    found: dict[str, str] = {}
    events = queue.SimpleQueue[Event]()
    broker = Broker(
        mqtt._replace(topic_prefix=""),
        client_id=f"mqtt-http-bridge-check-{secrets.token_hex(4)}",
        subscriptions=[topics.PREFIX_SEARCH],
        wants=lambda topic: topics.sign_of_gx(topic) is not None,
        now=SystemClock().now,
        emit=events.put,
        draw=random.uniform,
    )
    broker.start()
    try:
        ends_s = time.monotonic() + SEARCH_S
        while len(found) < MOST_PREFIXES and (left_s := ends_s - time.monotonic()) > 0.0:
            event = events.get(timeout=left_s)
            if isinstance(event, Disconnected) and len(mqtt.hosts) == 1:
                break
            if isinstance(event, Message) and (sign := topics.sign_of_gx(event.topic)):
                found.setdefault(*sign)
    except queue.Empty:
        pass
    finally:
        broker.stop(STOP_S)
    return found
