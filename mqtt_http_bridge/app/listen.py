"""Listens to a GX for some seconds, as the relay would, to tell a person what is there."""

import queue
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.core import topics, venus
from mqtt_http_bridge.core.chargers import SETTLING_S
from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment
from mqtt_http_bridge.core.fleet import Fleet
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings
from mqtt_http_bridge.core.venus import (
    ChargerReading,
    Heartbeat,
    PortalSeen,
    PublishCompleted,
    Value,
)
from mqtt_http_bridge.core.views import ChargerView

LOGIN_S: Final = 20.0
"""A GX takes up to 6 s to refuse a login."""
ANSWER_S: Final = 8.0
"""How long a GX may take to tell its portal id and say everything: it takes a tenth of a second,
and a heartbeat every three."""
STOP_S: Final = 1.0


@dataclass(slots=True)
class GxHeard:
    """What one GX said."""

    fleet: Fleet
    is_answered: bool = False
    is_completed: bool = False
    ahead_s: float | None = None
    """How far its clock is ahead of ours, by its heartbeat."""
    chargers: tuple[ChargerView, ...] = ()


@dataclass(slots=True)
class Heard:
    """What was heard behind one broker."""

    is_connected: bool = False
    trouble: str = ""
    """Why there was no connection."""
    seen: list[str] = field(default_factory=list)
    """The portal ids that the broker told, in order."""
    gxs: dict[str, GxHeard] = field(default_factory=dict)


def listen(mqtt: MqttSettings, device: DeviceSettings) -> Heard:
    """Connects once, asks every GX for everything, and listens until all is said or time is up.

    Raises ConfigError if a file with certificates is none.
    """
    clock, events = SystemClock(), queue.SimpleQueue[Event]()
    broker = Broker(
        mqtt,
        # Not that of the installation: its service may be connected at the same time.
        client_id=f"mqtt-http-bridge-check-{secrets.token_hex(4)}",
        subscriptions=[(topics.DISCOVERY_TOPIC,)],
        wants=topics.is_interesting,
        now=clock.now,
        emit=events.put,
        draw=random.uniform,
    )
    broker.start()
    try:
        session = _Session(broker, mqtt, device)
        session.run(events)
    finally:
        broker.stop(STOP_S)
    # What has not been said by now is as good as never said.
    now = clock.now()
    now = now.at(now.monotonic_s + SETTLING_S)
    for gx in session.heard.gxs.values():
        gx.chargers = gx.fleet.views(now)
    return session.heard


class _Session:
    """One connection, used by one thread."""

    def __init__(self, broker: Broker, mqtt: MqttSettings, device: DeviceSettings) -> None:
        self.heard = Heard()
        self._broker = broker
        self._mqtt = mqtt
        self._device = device
        self._echo = f"mqtt-http-bridge {secrets.token_hex(4)}"

    def run(self, events: queue.SimpleQueue[Event]) -> None:
        deadline_s = time.monotonic() + LOGIN_S
        while not self._is_done:
            try:
                event = events.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                if not self.heard.is_connected:
                    self.heard.trouble = f"the broker has not answered within {LOGIN_S:.0f} s"
                return
            match event:
                case Connected():
                    self._connect()
                    deadline_s = time.monotonic() + ANSWER_S
                case Disconnected(_, reason):
                    self.heard.trouble = reason
                    return
                case Message():
                    self._hear(event)

    @property
    def _is_done(self) -> bool:
        gxs = self.heard.gxs
        is_all_said = all(gx.is_completed and gx.ahead_s is not None for gx in gxs.values())
        return bool(gxs) and is_all_said and set(gxs) <= set(self.heard.seen)

    def _connect(self) -> None:
        self.heard.is_connected = True
        for portal_id in self._mqtt.portal_ids:
            self._ask(portal_id)

    def _ask(self, portal_id: str) -> None:
        self.heard.gxs[portal_id] = GxHeard(Fleet(self._device))
        self._broker.subscribe(topics.subscriptions(portal_id, topics.SERVICES))
        self._broker.publish(topics.keepalive_topic(portal_id), venus.full_keepalive(self._echo))

    def _hear(self, message: Message) -> None:
        try:
            reading = venus.read(message.topic, message.payload)
        except MalformedMessage:
            return
        if reading is None:
            return
        if isinstance(reading, PortalSeen) and reading.portal_id not in self.heard.seen:
            self.heard.seen.append(reading.portal_id)
            if reading.portal_id not in self.heard.gxs and not self._mqtt.portal_ids:
                self._ask(reading.portal_id)
        gx = self.heard.gxs.get(reading.portal_id)
        if gx is None or message.retain:
            return
        gx.is_answered = True
        match reading:
            case ChargerReading(_, charger, path, said):
                gx.fleet.hear(charger, path, said, message.moment.monotonic_s)
            case PublishCompleted(_, echo):
                gx.is_completed = gx.is_completed or echo in (None, self._echo)
            case Heartbeat():
                gx.ahead_s = _ahead_s(message.payload, message.moment)


def _ahead_s(payload: bytes, now: Moment) -> float | None:
    said = venus.parse_payload(payload)
    if isinstance(said, Value) and isinstance(said.value, int | float):
        return said.value - now.utc.timestamp()
    return None
