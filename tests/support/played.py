"""Plays a service on virtual time, from the messages of its GX devices to what people are shown.

Use it for states of the status page: the relay, what judges the backend's answers and what watches
both are the real ones, so that no state says what the code could not. The broker, the backend and
the disk are played.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from mqtt_http_bridge.app.backend_observer import BackendObserver
from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.core.commands import Publish, Reconnect, Store
from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.plan import Job, Kind
from mqtt_http_bridge.core.delivery.refusal import Refusal
from mqtt_http_bridge.core.delivery.verdict import Fate
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Moment
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.solar_backend.verdict import judge
from mqtt_http_bridge.core.status.history import History
from mqtt_http_bridge.core.status.outbox_room import TYPICAL_BYTES, hours_of_room
from mqtt_http_bridge.core.venus.topics import keepalive_topic
from mqtt_http_bridge.core.views import GxOwed, OutboxView, ParkedView, StatusView
from tests.support.sunny_day import BOOTED_S, STEP_S, Roof, at
from tests.support.virtual import Virtual, is_full, settings

INTERVAL_S: Final = 30.0
HEARTBEAT_S: Final = 9.0
"""A GX sends one every 3 s: so few are enough to be measured, and played in less time."""
SAYS_S: Final = 1.0
"""So long before it is measured a charger says what has changed."""
ROOM_BYTES: Final = 64_000_000


@dataclass
class Plant:
    """One GX with its chargers."""

    portal_id: str
    name: str
    roofs: Sequence[Roof]
    is_silent: bool = False
    said: dict[int, dict[str, object]] = field(default_factory=dict)
    """By instance: the last sayings of each charger that is on the bus."""


@dataclass(frozen=True)
class Owed:
    """An entry of the outbox, or what is parked of one."""

    portal_id: str
    number: int
    timestamp: str
    since_s: float
    size: int


def stores_all(measurement: Measurement) -> Answer:
    """Answers as a backend that knows every charger."""
    return refusing({}, measurement)


def refusing(errors: Mapping[str, str], measurement: Measurement) -> Answer:
    """Answers as a backend that does not store the devices with these serials."""
    results = [
        {"device_identifier": each.serial, "status": "error", "error": errors[each.serial]}
        if each.serial in errors
        else {"device_identifier": each.serial, "status": "ok"}
        for each in measurement.devices
    ]
    status = 201 if len(errors) < len(results) else 404
    return Reply(status, json.dumps({"results": results}).encode())


class Played(Virtual):
    """A service that runs; times are seconds of the sunny day."""

    def __init__(
        self, plants: Sequence[Plant], begins_s: float, history: History | None = None
    ) -> None:
        """`history` is what it knows from before; without plants any GX that is told is relayed."""
        names = {plant.portal_id: plant.name for plant in plants}
        super().__init__(
            settings(*names, interval_s=INTERVAL_S, device={"cerbo_serial": names or None}),
            lambda monotonic_s: at(monotonic_s - BOOTED_S),
        )
        self.plants = plants
        self.now_s = BOOTED_S + begins_s
        self.answer_to: Callable[[Measurement], Answer] = stores_all
        self.says: Callable[[Roof, float], Mapping[str, object]] = Roof.sayings
        """Tells what a charger says at a time; nothing: it is off the bus."""
        self.waiting: list[Owed] = []
        self.parked: dict[str, tuple[Refusal, list[Owed]]] = {}
        self.is_connected = False
        self._number = 0
        self._event: Moment = self.moment(self.now_s)
        self._backend = BackendObserver(lambda: self._event)
        self._observer = RelayObserver(
            self.relay.view, self._event, history=history or History(STEP_S)
        )

    # --- time --------------------------------------------------------------------------------

    def begin(self) -> None:
        """The broker accepts us, and has kept the portal id of each GX."""
        self.connect()
        for plant in self.plants:
            self.tell_portal(plant.portal_id)

    @property
    def day_s(self) -> float:
        """The time of the day at which it stands."""
        return self.now_s - BOOTED_S

    def until(self, seconds: float) -> None:
        """Lets time pass until then; each GX speaks, and each charger before it is measured."""
        end_s = BOOTED_S + seconds
        while self.now_s < end_s:
            step_s = min(HEARTBEAT_S, end_s - self.now_s)
            self.at(self.now_s + step_s)
            for plant in self.plants:
                if not plant.is_silent and self.is_connected:
                    self.heartbeat(plant.portal_id)
                    self._say_changes(plant)

    def _say_changes(self, plant: Plant) -> None:
        for roof in plant.roofs:
            said = dict(self.says(roof, self.now_s - BOOTED_S))
            before = plant.said.get(roof.instance, {})
            new = {path: value for path, value in said.items() if before.get(path) != value}
            plant.said[roof.instance] = said
            if said:
                self.charger(new, instance=roof.instance, portal_id=plant.portal_id)
            else:
                for path in before:
                    topic = f"N/{plant.portal_id}/solarcharger/{roof.instance}/{path}"
                    self.say(topic, b"")

    def _publish_all(self, plant: Plant) -> None:
        """Answers a request for everything."""
        for roof in plant.roofs:
            said = dict(self.says(roof, self._event.monotonic_s - BOOTED_S))
            plant.said[roof.instance] = said
            self.charger(said, instance=roof.instance, portal_id=plant.portal_id)
        self.complete(self.last_echo(plant.portal_id), plant.portal_id)

    # --- what comes of it ----------------------------------------------------------------------

    def happen(self, event: Event, at_s: float) -> None:
        """Hands it in, and does what the commands say."""
        if isinstance(event, Connected | Disconnected):
            self.is_connected = isinstance(event, Connected)
        self._event, before_s = event.moment, self.now_s
        seen = len(self.done)
        super().happen(event, at_s)
        commands = [done.command for done in self.done[seen:]]
        self._observer.see(event, commands)
        for command in commands:
            self.now_s = at_s
            match command:
                case Store(measurement, portal_id):
                    self._send(measurement, portal_id)
                case Publish(topic) if is_full(command):
                    for plant in self.plants:
                        if topic == keepalive_topic(plant.portal_id) and not plant.is_silent:
                            self._publish_all(plant)
                case Reconnect():
                    self.disconnect()
                    self.connect()
        self.now_s = before_s

    def _send(self, measurement: Measurement, portal_id: str) -> None:
        """Sends it once, as the newest of its GX is."""
        self._number += 1
        serials = [device.serial for device in measurement.devices]
        answer = self.answer_to(measurement)
        verdict, exchange = judge(answer, serials), Exchange(serials)
        exchange.take_in(tuple(serials), verdict)
        timestamp = measurement.timestamp.isoformat()
        self._backend.note(answer, verdict)
        job = Job(Kind.LIVE, portal_id, self._number)
        self._backend.note_entry(job, exchange, timestamp)
        size = len(to_body(measurement))
        owed = Owed(portal_id, self._number, timestamp, self._event.monotonic_s, size)
        if Fate.OWED in exchange.fates.values():
            self.waiting.append(owed)
        for serial, refusal in exchange.refused.items():
            _, before = self.parked.get(serial, (refusal, []))
            self.parked[serial] = refusal, [*before, owed]

    # --- what is shown -------------------------------------------------------------------------

    def status(self, up_for_s: float) -> StatusView:
        """Tells how it stands now; it has run for so long, all the time as it was at first."""
        now = self.moment(self.now_s)
        self._observer.look(now)
        relay, backend = self._observer.latest, self._backend.latest
        # What was not played.
        more = round(up_for_s / INTERVAL_S) * len(self.plants) - relay.measurements
        if relay.measurements and more > 0:
            relay = relay._replace(measurements=relay.measurements + more)
            results = {**backend.results, "stored": backend.results.get("stored", 0) + more}
            backend = backend._replace(results=MappingProxyType(results))
        started = now.at(now.monotonic_s - up_for_s)
        return StatusView("1.0.0", started, now, relay, backend, self._outbox(now), INTERVAL_S)

    def _outbox(self, now: Moment) -> OutboxView:
        parked = {serial: _parked(serial, *each) for serial, each in self.parked.items()}
        kept = [*self.waiting, *(owed for _, those in self.parked.values() for owed in those)]
        size = sum(owed.size for owed in kept)
        gx = {}
        for portal_id in dict.fromkeys(owed.portal_id for owed in kept):
            mine = [owed for owed in self.waiting if owed.portal_id == portal_id]
            gx[portal_id] = GxOwed(
                waiting=len(mine),
                newest=max((owed.number for owed in mine), default=0),
                since_s=min((owed.since_s for owed in mine), default=float("inf")),
                parked=tuple(
                    parked[serial]
                    for serial, (_, those) in self.parked.items()
                    if those[0].portal_id == portal_id
                ),
            )
        puts = [(self._number - n, TYPICAL_BYTES) for n in range(len(self.plants))]
        return OutboxView(
            waiting=len(self.waiting),
            bytes=size,
            oldest=min((owed.timestamp for owed in self.waiting), default=None),
            parked=tuple(parked.values()),
            hours_of_room=hours_of_room(ROOM_BYTES, size, puts, INTERVAL_S),
            gx=MappingProxyType(gx),
            looked_s=now.monotonic_s,
        )

    @property
    def history(self) -> History:
        """The history of all that was measured."""
        return self._observer.history or History(STEP_S)


def _parked(serial: str, refusal: Refusal, those: Sequence[Owed]) -> ParkedView:
    return ParkedView(serial, len(those), refusal.said, refusal.cause.remedy, those[0].since_s)
