"""Takes the messages that paho's own reader delivers, one by one.

With the bulk reader that is only what has another QoS than 0; with stock paho it is everything.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.venus.superseded import Received
from mqtt_http_bridge.core.venus.topics import below

SPOKE_EVERY_S: Final = 1.0
MOST_SPEAKERS: Final = 4096


class OneByOne:
    """Delivers wanted messages, and a sign of life of each speaker. For the broker's thread."""

    def __init__(
        self,
        *,
        wants: Callable[[str], bool],
        deliver: Callable[[list[Received]], None],
        speaker_of: Callable[[str], str] = lambda topic: "",
        prefix: str = "",
    ) -> None:
        """Takes the arguments of BulkClient, with the same meaning."""
        self._wants = wants
        self._deliver = deliver
        self._speaker_of = speaker_of
        self._prefix = prefix
        self._spoke_s: dict[str, float] = {}

    def take(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        """Takes one message; paho calls this."""
        try:
            topic = below(self._prefix, message.topic)
        except UnicodeDecodeError:
            return
        if not topic:
            return
        if self._wants(topic):
            self._deliver([(topic, bytes(message.payload), message.retain)])
        elif message.payload and not message.retain:
            self._deliver_life(topic, bytes(message.payload))

    def _deliver_life(self, topic: str, payload: bytes) -> None:
        speaker, now_s = self._speaker_of(topic), time.monotonic()
        if not speaker or now_s < self._spoke_s.get(speaker, -NEVER) + SPOKE_EVERY_S:
            return
        if len(self._spoke_s) >= MOST_SPEAKERS:
            self._spoke_s.clear()
        self._spoke_s[speaker] = now_s
        self._deliver([(speaker, payload, False)])
