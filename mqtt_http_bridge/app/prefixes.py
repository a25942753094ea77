"""Looks for GX devices whose topics have a prefix from a bridge."""

import time
from typing import Final

from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.visit import visiting
from mqtt_http_bridge.core.events import Disconnected, Message
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus import topics

SEARCH_S: Final = 4.0
"""A GX that is awake has a heartbeat every 3 s; retained messages come at once."""
MOST_PREFIXES: Final = 8


def find_prefixes(mqtt: MqttSettings) -> dict[str, str]:
    """Returns each prefix below which the broker announces a GX, with its portal id.

    The empty prefix means none. Nothing is published.
    """
    found: dict[str, str] = {}
    inbox, ends_s = Inbox(), time.monotonic() + SEARCH_S
    with visiting(
        mqtt._replace(topic_prefix=""),
        inbox,
        subscriptions=[topics.PREFIX_SEARCH],
        wants=lambda topic: topics.sign_of_gx(topic) is not None,
    ):
        while len(found) < MOST_PREFIXES and (left_s := ends_s - time.monotonic()) > 0.0:
            event = inbox.get(left_s)
            if isinstance(event, Disconnected) and len(mqtt.hosts) == 1:
                break
            if isinstance(event, Message) and (sign := topics.sign_of_gx(event.topic)):
                found.setdefault(*sign)
    return found
