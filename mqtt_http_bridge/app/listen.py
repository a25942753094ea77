"""Listens to a GX for some seconds, as the relay would, to show a person what is there."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.prefixes import find_prefixes
from mqtt_http_bridge.app.visit import visiting
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.events import (
    NEVER,
    Connected,
    Disconnected,
    Message,
    Moment,
    SubscriptionRefused,
)
from mqtt_http_bridge.core.relay.charger import SETTLING_S
from mqtt_http_bridge.core.relay.chargers import Chargers
from mqtt_http_bridge.core.relay.portals import MOST_PORTALS
from mqtt_http_bridge.core.relay.serials import Serials
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.keepalive import full_keepalive
from mqtt_http_bridge.core.venus.paths import SERVICES
from mqtt_http_bridge.core.venus.payloads import Value, parse
from mqtt_http_bridge.core.venus.readings import (
    ChargerReading,
    Heartbeat,
    PortalSeen,
    PublishCompleted,
    read,
)
from mqtt_http_bridge.core.views import ChargerView

LOGIN_S: Final = 20.0
"""A GX takes up to 6 s to refuse a login."""
OLD_GX_S: Final = 4.0
"""Seconds that a GX may take to answer before it is asked as Venus OS before 3.20 needs."""
ANSWER_S: Final = 8.0
"""Seconds that a GX may take to tell its portal id and all values; it needs a tenth of a second,
and three for a heartbeat."""


@dataclass(slots=True)
class GxHeard:
    """Holds what one GX said."""

    on_bus: Chargers
    is_answered: bool = False
    is_asked_plainly: bool = False
    """True if it did not answer a keepalive with options, and was sent an empty one."""
    is_old: bool = False
    """True if it answers only empty keepalives, and has no heartbeat: Venus OS before 3.20."""
    is_completed: bool = False
    is_retained: bool = False
    """True if the broker retains what one of its chargers said: this is a mirror, not a GX's own
    broker."""
    ahead_s: float | None = None
    """Its clock minus ours, in seconds, by its heartbeat."""
    chargers: tuple[ChargerView, ...] = ()


@dataclass(slots=True)
class Heard:
    """Holds what all GX devices behind one broker said."""

    is_connected: bool = False
    failure: BrokerFailure | None = None
    """The reason why there was no connection; None if there was one."""
    seen: list[str] = field(default_factory=list)
    """The portal ids that the broker announced, in order."""
    gxs: dict[str, GxHeard] = field(default_factory=dict)
    refused_topics: list[str] = field(default_factory=list)
    """Topic filters to which the broker will not let us subscribe."""
    unused_settings: list[str] = field(default_factory=list)
    """Settings in `device.serials` and `device.ignore` that fit no charger."""
    prefixes: dict[str, str] = field(default_factory=dict)
    """Prefixes below which the broker announces a GX, with its portal id; searched for only if
    nothing was heard."""
    ended: Moment | None = None
    """The end of listening: the moment for which the chargers are known."""


def listen(
    mqtt: MqttSettings,
    device: DeviceSettings,
    own_keys: Mapping[str, str] = MappingProxyType({}),
) -> Heard:
    """Connects once, asks every GX for everything, and listens until all is said or time is up.

    `own_keys` has the names of API keys by portal id; all other GX devices share one. Raises
    ConfigError if a file with certificates is none.
    """
    inbox = Inbox()
    subscriptions = [(topics.DISCOVERY_TOPIC,)]
    with visiting(mqtt, inbox, subscriptions=subscriptions, wants=topics.is_interesting) as broker:
        session = _Session(broker, mqtt, Serials(device, own_keys), device)
        session.run(inbox)
    if session.heard.is_connected and not session.is_any_told:
        session.heard.prefixes = find_prefixes(mqtt)
    # What has not come by now will not come any more.
    session.heard.ended = now = SystemClock().now()
    now = now.at(now.monotonic_s + SETTLING_S)
    for gx in session.heard.gxs.values():
        gx.on_bus.establish(-NEVER, now.monotonic_s)
        gx.chargers = gx.on_bus.views(now)
        gx.is_old = gx.is_old and gx.ahead_s is None and not gx.is_completed
    session.heard.unused_settings = session.unused_settings
    return session.heard


class _Session:
    """One connection, used by one thread."""

    def __init__(
        self, broker: Broker, mqtt: MqttSettings, serials: Serials, device: DeviceSettings
    ) -> None:
        self.heard = Heard()
        self._broker = broker
        self._mqtt = mqtt
        self._device = device
        self._serials = serials
        self._echo = f"mqtt-http-bridge {secrets.token_hex(4)}"

    @property
    def is_any_told(self) -> bool:
        """Tells whether the broker announced a GX, or one answered."""
        return bool(self.heard.seen) or any(gx.is_answered for gx in self.heard.gxs.values())

    @property
    def unused_settings(self) -> list[str]:
        """Returns the settings that fit no charger that was heard."""
        return self._serials.unused_settings()

    def run(self, inbox: Inbox) -> None:
        hosts = len(self._mqtt.hosts)
        deadline_s, plain_s = time.monotonic() + LOGIN_S * hosts, NEVER
        while not self._is_done:
            left_s = min(deadline_s, plain_s) - time.monotonic()
            event = inbox.get(left_s) if left_s > 0.0 else None
            if event is None:
                if plain_s < deadline_s:
                    plain_s = NEVER
                    self._ask_again()
                    continue
                if not self.heard.is_connected:
                    limit = f"{LOGIN_S * hosts:.0f} s"
                    self.heard.failure = failure_at(self._mqtt.each()[0], Cause.TIMED_OUT, limit)
                return
            match event:
                case Connected():
                    self._connect()
                    deadline_s = time.monotonic() + ANSWER_S
                    plain_s = time.monotonic() + OLD_GX_S
                case Disconnected(_, failure):
                    self.heard.failure = failure
                    hosts -= 1
                    if self.heard.is_connected or hosts == 0:
                        self.heard.is_connected = False
                        return
                case Message():
                    self._hear(event)
                case SubscriptionRefused(_, topics):
                    self.heard.refused_topics += topics

    @property
    def _is_done(self) -> bool:
        gxs = self.heard.gxs
        is_all_said = all(gx.is_completed and gx.ahead_s is not None for gx in gxs.values())
        # The other GX devices of a fleet are not asked, so only time ends the wait.
        return bool(gxs) and is_all_said and set(gxs) <= set(self.heard.seen)

    def _connect(self) -> None:
        self.heard.is_connected, self.heard.failure = True, None
        for portal_id in self._mqtt.own_portal_ids:
            self._ask(portal_id)

    def _ask(self, portal_id: str) -> None:
        self.heard.gxs[portal_id] = GxHeard(Chargers(portal_id, self._device, self._serials))
        self._broker.subscribe(topics.subscriptions(portal_id, SERVICES))
        self._broker.publish(topics.keepalive_topic(portal_id), full_keepalive(self._echo))

    def _ask_again(self) -> None:
        """Asks again every GX that has not answered, as Venus OS before 3.20 needs it.

        One that publishes may have had too many requests at once, and leaves some unanswered.
        """
        for portal_id, gx in self.heard.gxs.items():
            if not gx.is_completed:
                gx.is_asked_plainly = not gx.is_answered
                payload = full_keepalive(self._echo) if gx.is_answered else b""
                self._broker.publish(topics.keepalive_topic(portal_id), payload)

    def _hear(self, message: Message) -> None:
        try:
            reading = read(message.topic, message.payload)
        except MalformedMessage:
            return
        if reading is None:
            return
        if isinstance(reading, PortalSeen):
            self._note(reading.portal_id)
        gx = self.heard.gxs.get(reading.portal_id)
        if gx is not None and message.retain and isinstance(reading, ChargerReading):
            gx.is_retained = True
        # An announced GX has not spoken: any client can announce one.
        if gx is None or message.retain or isinstance(reading, PortalSeen):
            return
        gx.is_old = gx.is_old or (gx.is_asked_plainly and not gx.is_answered)
        gx.is_answered = True
        match reading:
            case ChargerReading(_, charger, path, said):
                gx.on_bus.hear(charger, path, said, message.moment.monotonic_s)
            case PublishCompleted(_, echo):
                gx.is_completed = gx.is_completed or echo in (None, self._echo)
            case Heartbeat():
                gx.ahead_s = _ahead_s(message.payload, message.moment)

    def _note(self, portal_id: str) -> None:
        """Notes an announced GX, if the relay would; asks it if it is one of ours."""
        seen = self.heard.seen
        if len(seen) >= MOST_PORTALS or portal_id in seen or not topics.is_portal_id(portal_id):
            return
        seen.append(portal_id)
        is_ours = not self._mqtt.portal_ids and self._mqtt.serves(portal_id)
        if portal_id not in self.heard.gxs and is_ours:
            self._ask(portal_id)


def _ahead_s(payload: bytes, now: Moment) -> float | None:
    said = parse(payload)
    if isinstance(said, Value) and isinstance(said.value, int | float):
        return said.value - now.utc.timestamp()
    return None
