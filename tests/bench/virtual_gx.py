"""Runs a GX and its relay in virtual time: only the core works, and nobody waits."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Command, Publish, Store
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.venus import topics
from tests.bench.traffic import HEARTBEAT_S, charger_values, payload

ANSWER_S = 0.001
"""Seconds that a GX takes to answer: no two have the same deadlines after that."""
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def moment(t_s: float) -> Moment:
    """The moment at the virtual second `t_s`, on whole microseconds as all moments are."""
    microseconds = round(t_s * 1_000_000)
    return Moment(microseconds / 1_000_000, START + timedelta(microseconds=microseconds))


class VirtualGx:
    """Portals with chargers that answer, beat and change, and the relay that listens."""

    def __init__(self, portals: Sequence[str], chargers: int, interval_s: float = 30.0) -> None:
        mqtt = MqttSettings(portal_ids=tuple(portals))
        settings = Settings(backend=None, outbox=OutboxSettings("outbox"), mqtt=mqtt)
        self.relay = Relay(settings)
        self.now_s = 0.0
        self.measurements = 0
        self.latest: Measurement | None = None
        self._portals = portals
        self.chargers = chargers
        """Chargers that each portal has; may be changed at any time."""
        self._turn = 0

    # --- time ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connects, and answers the first request of every portal."""
        self.happen(Connected(moment(self.now_s)))

    def reconnect(self) -> None:
        """Loses the connection and makes a new one."""
        self.happen(Disconnected(moment(self.now_s), BrokerFailure(Cause.LOST)))
        self.now_s += 1.0
        self.start()

    def let(self, seconds: float) -> None:
        """Lets so much time pass: a heartbeat every 3 s, in which each charger tells its power."""
        for _ in range(int(seconds / HEARTBEAT_S)):
            self._act_until(self.now_s + HEARTBEAT_S)
            self._turn += 1
            for portal in self._portals:
                self._say(portal, "heartbeat", 1)
                for instance in range(self.chargers):
                    power = 100.0 + self._turn % 977
                    self._say(portal, f"solarcharger/{instance}/Yield/Power", power)

    def _act_until(self, t_s: float) -> None:
        while self.relay.next_deadline_s() <= t_s:
            due_s = self.relay.next_deadline_s()
            self.now_s = due_s
            self.happen(Tick(moment(t_s).at(due_s)))
        self.now_s = t_s

    def until_next_measurement(self) -> float:
        """Lets time pass up to just before a measurement is due; when that is."""
        self.let(30.0 - HEARTBEAT_S)
        return self.now_s + HEARTBEAT_S + ANSWER_S

    def act_at(self, t_s: float) -> list[Measurement]:
        """Returns what is measured until `t_s`."""
        commands = self.relay.handle(Tick(moment(t_s)))
        return [each.measurement for each in commands if isinstance(each, Store)]

    # --- what happens ----------------------------------------------------------------------------

    def _say(self, portal: str, path: str, value: object) -> None:
        topic = f"N/{portal}/{path}"
        if topics.is_interesting(topic):  # The door drops what is not.
            self.happen(Message(moment(self.now_s), topic, payload(value)))

    def happen(self, event: Event) -> None:
        """Hands in an event, and answers what the relay asks for."""
        for command in self.relay.handle(event):
            self.carry_out(command)

    def carry_out(self, command: Command) -> None:
        """Notes a measurement, answers a request."""
        if isinstance(command, Store):
            self.measurements += 1
            self.latest = command.measurement
        if not isinstance(command, Publish) or b"suppress" in command.payload:
            return
        portal = command.topic.split("/")[1]
        self.now_s += ANSWER_S
        for instance in range(self.chargers):
            for path, value in charger_values(instance, self._turn, portal).items():
                self._say(portal, f"solarcharger/{instance}/{path}", value)
        echo = json.dumps(json.loads(command.payload)["keepalive-options"][0]).encode()
        self.happen(Message(moment(self.now_s), f"N/{portal}/full_publish_completed", echo))
