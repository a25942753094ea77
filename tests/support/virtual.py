"""Runs the relay on virtual time: use it for anything in the core that takes hours.

The driver plays the loop (a `Tick` at every deadline) and, where a test asks it to, the GX. It
carries no command out: a `Reconnect` is only noted, and the test decides what the world does.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Command, Publish, Store
from mqtt_http_bridge.core.events import (
    AllRead,
    Connected,
    Disconnected,
    Event,
    Message,
    Moment,
    Tick,
)
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.venus.topics import keepalive_topic

PORTAL = "c0619ab2f7e1"
OTHER_PORTAL = "c0619ab35133"
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
"""The UTC of the virtual second 0."""
HEARTBEAT_S = 3.0

CHARGER: Mapping[str, object] = MappingProxyType(
    {
        "Serial": "HQ2208AXN7V",
        "ProductName": "SmartSolar Charger MPPT 150/35",
        "CustomName": "Roof",
        "State": 3,
        "Pv/V": 62.5,
        "Yield/Power": 100.0,
        "Yield/System": 1274.25,
    }
)
"""The sayings of a charger on the paths that count, in the order of a full publish that is kind."""


def moment(t_s: float) -> Moment:
    """The moment at the virtual second `t_s`, on whole microseconds as all moments are."""
    microseconds = round(t_s * 1_000_000)
    return Moment(microseconds / 1_000_000, START + timedelta(microseconds=microseconds))


def seconds(at: datetime) -> float:
    """The virtual second of a point in UTC."""
    return (at - START) / timedelta(seconds=1)


def settings(
    *portal_ids: str,
    interval_s: float = 30.0,
    device: Mapping[str, Any] = MappingProxyType({}),
    **mqtt: Any,
) -> Settings:
    """Settings for the core alone; no portal id means that it has to be learnt."""
    return Settings(
        backend=None,
        outbox=OutboxSettings("outbox"),
        mqtt=MqttSettings(portal_ids=portal_ids, **mqtt),
        device=DeviceSettings(update_interval_s=interval_s, **device),
    )


def value(said: object) -> bytes:
    """The payload with which the GX says a value."""
    return json.dumps({"value": said}).encode()


def is_full(publish: Publish) -> bool:
    """Tells whether this keepalive asks for everything."""
    return b"suppress-republish" not in publish.payload


def echo_of(publish: Publish) -> str:
    """The echo that a request for everything asks for; an empty one asks for none."""
    if not publish.payload:
        return ""
    (option,) = json.loads(publish.payload)["keepalive-options"]
    echo: str = option["full-publish-completed-echo"]
    return echo


@dataclass(frozen=True, slots=True)
class Done:
    """A command, and the virtual second at which it came out."""

    at_s: float
    command: Command


class Virtual:
    """One relay in virtual time, which starts at second 0.

    As a rule each message counts as read when it comes. Where `tells_reads` is set, nothing does
    until `read_all` is called.
    """

    def __init__(self, settings: Settings, moment: Callable[[float], Moment] = moment) -> None:
        """`moment` gives the moment at a virtual second."""
        self.relay = Relay(settings)
        self.moment = moment
        self.tells_reads = False
        self.tap: Callable[[Event], object] = lambda event: None
        """Sees each event before the relay does."""
        self.now_s = 0.0
        self.done: list[Done] = []

    # --- time ------------------------------------------------------------------------------------

    def at(self, t_s: float) -> None:
        """Lets time pass until the second `t_s`; what is due by then is done when it is due."""
        while self.relay.next_deadline_s() <= t_s:
            due = self.moment(t_s).at(self.relay.next_deadline_s())
            self.happen(Tick(due), due.monotonic_s)
        self.now_s = t_s

    def let(self, seconds: float) -> None:
        """Lets so much time pass in which nothing happens but what is due."""
        self.at(self.now_s + seconds)

    def let_beat(self, seconds: float, *portal_ids: str, every_s: float = HEARTBEAT_S) -> None:
        """Lets so much time pass in which each GX sends its heartbeats, the last one at its end."""
        end_s = self.now_s + seconds
        beats = int(seconds / every_s)
        for beat in range(beats - 1, -1, -1):
            self.at(end_s - beat * every_s)
            for portal_id in portal_ids or (PORTAL,):
                self.heartbeat(portal_id)

    # --- what happens ----------------------------------------------------------------------------

    def connect(self) -> None:
        """The broker accepts us."""
        self.happen(Connected(self.moment(self.now_s), self.tells_reads), self.now_s)

    def read_all(self, until_s: float | None = None) -> None:
        """All that came by `until_s`, or by now, has been read."""
        until_s = self.now_s if until_s is None else until_s
        self.happen(AllRead(self.moment(self.now_s), until_s), self.now_s)

    def disconnect(self) -> None:
        """The connection ends."""
        failure = BrokerFailure(Cause.LOST)
        self.happen(Disconnected(self.moment(self.now_s), failure), self.now_s)

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """A message comes."""
        self.happen(Message(self.moment(self.now_s), topic, payload, retain), self.now_s)

    def tell_portal(self, portal_id: str = PORTAL, *, retain: bool = True) -> None:
        """The retained message with the portal id comes."""
        self.say(f"N/{portal_id}/system/0/Serial", value(portal_id), retain=retain)

    def heartbeat(self, portal_id: str = PORTAL) -> None:
        """One heartbeat comes."""
        self.say(f"N/{portal_id}/heartbeat", value(1_767_268_800))

    def charger(
        self,
        values: Mapping[str, object] = CHARGER,
        *,
        instance: int = 281,
        portal_id: str = PORTAL,
        service: str = "solarcharger",
    ) -> None:
        """A charger says `values`, one message each; CHARGER with a serial of each one's own."""
        if values is CHARGER and (instance, portal_id) != (281, PORTAL):
            values = {**CHARGER, "Serial": f"HQ-{portal_id}-{instance}"}
        for path, said in values.items():
            self.say(f"N/{portal_id}/{service}/{instance}/{path}", value(said))

    def charger_leaves(self, *, instance: int = 281, portal_id: str = PORTAL) -> None:
        """A charger leaves the bus: an empty payload on each of its topics."""
        for path in CHARGER:
            self.say(f"N/{portal_id}/solarcharger/{instance}/{path}", b"")

    def complete(self, echo: str | None, portal_id: str = PORTAL) -> None:
        """A full publish ends; `echo` is what its request asked for, if for anything."""
        members = {"value": 1_767_268_800} | ({"full-publish-completed-echo": echo} if echo else {})
        self.say(f"N/{portal_id}/full_publish_completed", json.dumps(members).encode())

    def answer(self, portal_id: str = PORTAL, *instances: int) -> None:
        """The GX answers our last request for everything, within no time."""
        for instance in instances or (281,):
            self.charger(instance=instance, portal_id=portal_id)
        self.complete(self.last_echo(portal_id), portal_id)

    # --- what came of it -------------------------------------------------------------------------

    def last_echo(self, portal_id: str = PORTAL) -> str:
        """The echo that our last request for everything asked this GX for."""
        topic = keepalive_topic(portal_id)
        for done in reversed(self.done):
            match done.command:
                case Publish(topic=found) as publish if found == topic and is_full(publish):
                    return echo_of(publish)
        raise AssertionError(f"{portal_id} was not asked for everything")

    def keepalives(self, portal_id: str = PORTAL) -> list[tuple[float, Publish]]:
        """Returns what was published to this GX so far."""
        return [
            (done.at_s, done.command)
            for done in self.done
            if isinstance(done.command, Publish)
            and done.command.topic == keepalive_topic(portal_id)
        ]

    def full_requests_s(self, portal_id: str = PORTAL) -> list[float]:
        """Returns when everything was asked for."""
        return [at_s for at_s, publish in self.keepalives(portal_id) if is_full(publish)]

    def measurements(self, name: str | None = None) -> list[Measurement]:
        """Returns what was measured so far, of all GX devices or of the one of this name."""
        found = [done.command.measurement for done in self.done if isinstance(done.command, Store)]
        return [found_one for found_one in found if name in (None, found_one.cerbo_serial)]

    def measured_s(self, name: str | None = None) -> list[float]:
        """The timestamps of the measurements, in virtual seconds."""
        return [seconds(measurement.timestamp) for measurement in self.measurements(name)]

    def log(self) -> list[str]:
        """The log so far."""
        return [done.command.text for done in self.done if isinstance(done.command, Log)]

    def reset(self) -> None:
        """Forgets what came out so far."""
        self.done.clear()

    def happen(self, event: Event, at_s: float) -> None:
        """Hands in `event`, which must not be before anything that was handed in already."""
        self.tap(event)
        self.done += [Done(at_s, command) for command in self.relay.handle(event)]


def connected(settings: Settings) -> Virtual:
    """A relay whose broker has just accepted it, at second 0."""
    virtual = Virtual(settings)
    virtual.connect()
    return virtual


def measuring(settings: Settings, *portal_ids: str) -> Virtual:
    """The same with every GX answered for as soon as it is asked, with one charger each.

    The first one is asked at second 0, several one after another within one interval.
    """
    virtual = connected(settings)
    for portal_id in portal_ids or (PORTAL,):
        while not virtual.full_requests_s(portal_id):
            virtual.let_beat(1.0, *portal_ids[: portal_ids.index(portal_id)], every_s=1.0)
        virtual.answer(portal_id)
    return virtual
