"""A stand-in for the GX: what dbus-flashmq publishes, played on a real broker.

It behaves as dbus-flashmq v25 does, seen from an MQTT client:

- One topic is retained: the portal id, under `system/0/Serial`. Nothing else comes unasked.
- `R/<portal>/keepalive` wakes it for 60 s. Unless the payload says `suppress-republish`, every
  known value follows in arbitrary order, and then `full_publish_completed`.
- While awake it publishes changes, and a heartbeat every 3 s. Then it stops, without a goodbye.
- A device that leaves gets a zero-length payload on each of its topics, asleep or awake.

Three things differ:

- A full publish counts against the limit of 3 for one second from its own moment on, where the real
  limit is renewed at fixed seconds. So the fourth in a burst is refused for certain.
- Every value is known right after a broker start, when the real one is still scanning.
- dbus-flashmq is part of the broker; this is a client of it. When the broker restarts, another
  client may get in first and its keepalive be lost. One that waits for `system/0/Serial` is safe;
  for any other, the test calls `wait_for_connection` before it lets that client in.
"""

import base64
import gzip
import json
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.mosquitto import Mosquitto

# The portal id in the recordings: they can be played without a second GX appearing.
PORTAL_ID = "c0619ab2f7e1"

AWAKE_S = 60.0
HEARTBEAT_S = 3.0
FULL_PUBLISHES_PER_SECOND = 3

RECONNECT_INTERVAL_S = 0.02
TIMEOUT_S = 10.0


def payload_of(value: object) -> bytes:
    """A value as dbus-flashmq prints it: compact, UTF-8, keys sorted; invalid numbers are null."""
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    return _compact_json({"value": value})


def close_client(client: mqtt.Client) -> None:
    """End a client's connection and its thread, and let go of its callbacks.

    Paho closes the sockets that wake its thread only when the client is deleted. Callbacks that
    lead back to the client's owner would leave that to the garbage collector, which may delete the
    sockets first and then warns of each.
    """
    client.disconnect()
    client.loop_stop()
    client.on_connect = client.on_connect_fail = client.on_disconnect = None
    client.on_subscribe = client.on_message = None


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message; the topic is the whole of it."""

    topic: str
    payload: bytes
    retain: bool = False


class StandInGx:
    """A GX on a broker; use it as a context manager, which connects it and takes it away.

    Every method may be called from any thread. `awake_s` and `heartbeat_s` are the GX's own 60 s
    and 3 s, to be shortened by tests; `echo=False` plays firmware before Venus OS 3.50, which does
    not answer `full-publish-completed-echo`; `seed` gives the order of values in a full publish.

    A broker that restarts takes dbus-flashmq with it: the stand-in is asleep afterwards, publishes
    the retained Serial again, and still has its services, which live on the D-Bus.
    """

    def __init__(
        self,
        broker: Mosquitto,
        *,
        portal_id: str = PORTAL_ID,
        awake_s: float = AWAKE_S,
        heartbeat_s: float = HEARTBEAT_S,
        echo: bool = True,
        seed: int = 0,
    ) -> None:
        self.portal_id = portal_id
        self._broker = broker
        # Guards everything below, and wakes whoever waits for a change of it.
        self._changed = threading.Condition()
        self._dbus_flashmq = DbusFlashmq(
            portal_id=portal_id, awake_s=awake_s, heartbeat_s=heartbeat_s, echo=echo, seed=seed
        )
        self._connected = False
        self._connections = 0
        self._frozen = False
        self._keepalives: list[bytes] = []
        self._foreign_publishes: list[tuple[str, bytes]] = []
        self._closing = threading.Event()
        self._scheduler = threading.Thread(
            target=self._run_scheduler, name=f"scheduler of {portal_id}", daemon=True
        )
        self._client = self._make_client()

    def __enter__(self) -> Self:
        self._client.connect_async(self._broker.host, self._broker.inside_port)
        self._client.loop_start()
        self._scheduler.start()
        try:
            self.wait_for_connection(1)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    # The devices on the D-Bus.

    def add(self, service: str, instance: int, values: Mapping[str, object]) -> None:
        """A service appears: all its topics in one burst while awake, nothing while asleep."""
        with self._changed:
            self._publish(self._dbus_flashmq.add(service, instance, values))

    def set(self, service: str, instance: int, path: str, value: object) -> None:
        """A value changes, or a path appears: one message while awake, and if it is a change."""
        with self._changed:
            self._publish(self._dbus_flashmq.set(service, instance, path, value))

    def remove(self, service: str, instance: int) -> None:
        """A service leaves: a zero-length payload on each of its topics, asleep or awake."""
        with self._changed:
            self._publish(self._dbus_flashmq.remove(service, instance))

    # What no well-behaved GX does.

    def publish_raw(self, topic_after_portal: str, payload: bytes) -> None:
        """Publish these bytes under `N/<portal>/`, asleep, awake or frozen, and remember nothing.

        Raises ConnectionError while the broker is away.
        """
        with self._changed:
            if not self._connected:
                raise ConnectionError("the stand-in has no broker: call wait_for_connection()")
            self._send(Message(f"N/{self.portal_id}/{topic_after_portal}", payload))

    def freeze(self) -> None:
        """From now on publish nothing and heed no keepalive, although the broker is alive."""
        with self._changed:
            self._frozen = True

    def thaw(self) -> None:
        """Go on. What changed or left meanwhile was never published; time has not stood still."""
        with self._changed:
            self._frozen = False

    def play(self, recording_path: Path, speed: float) -> None:
        """Publish a recording, message by message, `speed` times as fast as it was recorded.

        Returns when the last message is published, or when the stand-in is closed. Topics keep
        their portal id and messages their retain flag. What the recording client noted about its
        own connection is passed over. The stand-in goes on answering keepalives by itself: freeze
        it to have nothing but the recording.
        """
        started_at_s = time.monotonic()
        for recorded_s, message in _recorded_messages(recording_path):
            due_in_s = started_at_s + recorded_s / speed - time.monotonic()
            if self._closing.wait(max(0.0, due_in_s)):
                return
            with self._changed:
                if self._connected:
                    self._send(message)

    # What tests ask.

    @property
    def awake(self) -> bool:
        """Whether a keepalive came within the last `awake_s`."""
        with self._changed:
            return self._dbus_flashmq.awake

    @property
    def keepalives(self) -> list[bytes]:
        """The payload of every keepalive received so far, heeded or not."""
        with self._changed:
            return list(self._keepalives)

    @property
    def full_publishes(self) -> int:
        """How many keepalives were answered with every value."""
        with self._changed:
            return self._dbus_flashmq.full_publishes

    @property
    def foreign_publishes(self) -> list[tuple[str, bytes]]:
        """Topic and payload of everything that others published, but keepalives of this portal.

        Others are all clients of the broker but this stand-in; a second stand-in is one of them.
        """
        with self._changed:
            return list(self._foreign_publishes)

    @property
    def connections(self) -> int:
        """How many times the stand-in has become ready on a broker."""
        with self._changed:
            return self._connections

    def wait_for_keepalive(self, count: int, timeout_s: float = TIMEOUT_S) -> None:
        """Return when `count` keepalives have come in all and been answered. Or TimeoutError."""
        self._wait(lambda: len(self._keepalives) >= count, f"{count} keepalives", timeout_s)

    def wait_for_connection(self, count: int, timeout_s: float = TIMEOUT_S) -> None:
        """Return when the stand-in has become ready `count` times in all. Or TimeoutError."""
        self._wait(lambda: self._connections >= count, f"{count} connections", timeout_s)

    def wait_until_asleep(self, timeout_s: float = TIMEOUT_S) -> None:
        """Return when the last keepalive has run out. Or TimeoutError."""
        self._wait(lambda: not self._dbus_flashmq.awake, "sleep", timeout_s)

    def _wait(self, condition: Callable[[], bool], expected: str, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise TimeoutError(
                    f"stand-in {self.portal_id}: expected {expected} within {timeout_s:g} s, "
                    f"found {self._connections} connections, {len(self._keepalives)} keepalives"
                )

    # The broker's side, called on paho's thread.

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        # Paho's own delay is whole seconds. `_on_connect_fail` waits instead, and less.
        client.reconnect_delay_set(0, 0)
        return client

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        # `noLocal` keeps the stand-in's own messages from coming back to it as foreign ones.
        client.subscribe(
            "#",
            options=SubscribeOptions(
                noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
            ),
        )

    def _on_connect_fail(self, *_: object) -> None:
        self._closing.wait(RECONNECT_INTERVAL_S)

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._connected = True
            self._connections += 1
            # Only now: who sees the Serial may send a keepalive, and is heard.
            for message in self._dbus_flashmq.retained():
                self._send(message)
            self._changed.notify_all()

    def _on_disconnect(self, *_: object) -> None:
        with self._changed:
            self._connected = False
            self._dbus_flashmq.forget_clients()
            self._changed.notify_all()

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self._changed:
            if message.topic == f"R/{self.portal_id}/keepalive":
                self._handle_keepalive(payload)
            else:
                self._foreign_publishes.append((message.topic, payload))
            self._changed.notify_all()

    def _handle_keepalive(self, payload: bytes) -> None:
        self._keepalives.append(payload)
        if not self._frozen:
            self._publish(self._dbus_flashmq.keepalive(payload, time.monotonic()))

    def _publish(self, messages: Iterable[Message]) -> None:
        if self._connected and not self._frozen:
            for message in messages:
                self._send(message)

    def _send(self, message: Message) -> None:
        self._client.publish(message.topic, message.payload, qos=0, retain=message.retain)

    # Time, and the end.

    def _run_scheduler(self) -> None:
        with self._changed:
            while not self._closing.is_set():
                was_awake = self._dbus_flashmq.awake
                self._publish(self._dbus_flashmq.tick(time.monotonic()))
                if was_awake and not self._dbus_flashmq.awake:
                    self._changed.notify_all()
                self._changed.wait(self._until_next_deadline_s())

    def _until_next_deadline_s(self) -> float | None:
        deadline_s = self._dbus_flashmq.next_deadline_s()
        return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())

    def _close(self) -> None:
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._scheduler.join()
        close_client(self._client)


class DbusFlashmq:
    """What dbus-flashmq knows and says: events in, messages out. No thread, no socket.

    Times handed in are seconds of one monotonic clock; deadlines are, too.
    """

    def __init__(
        self, *, portal_id: str, awake_s: float, heartbeat_s: float, echo: bool, seed: int
    ) -> None:
        self.full_publishes = 0
        self._portal_id = portal_id
        self._awake_s = awake_s
        self._heartbeat_s = heartbeat_s
        self._echo = echo
        self._random = random.Random(seed)
        # Service and instance as in a topic, path, payload.
        self._services = {"system/0": {"Serial": payload_of(portal_id)}}
        self._asleep_at_s: float | None = None
        self._next_heartbeat_s: float | None = None
        self._full_publish_limit = _Limit(FULL_PUBLISHES_PER_SECOND)

    def forget_clients(self) -> None:
        """The broker has gone. What is on the D-Bus stays known, who listened does not."""
        self._asleep_at_s = None
        self._next_heartbeat_s = None
        self._full_publish_limit = _Limit(FULL_PUBLISHES_PER_SECOND)

    def retained(self) -> list[Message]:
        """What a broker that has just started is told unasked."""
        return [message for message in self._all_values() if message.retain]

    @property
    def awake(self) -> bool:
        """Whether changes are published."""
        return self._asleep_at_s is not None

    def next_deadline_s(self) -> float | None:
        """When `tick` will have something to do; None: not before the next keepalive."""
        deadlines_s = (self._asleep_at_s, self._next_heartbeat_s)
        return min((each for each in deadlines_s if each is not None), default=None)

    def tick(self, now_s: float) -> list[Message]:
        """Do what is due."""
        if self._asleep_at_s is not None and self._asleep_at_s <= now_s:
            self._asleep_at_s = None
        if self._next_heartbeat_s is not None and self._next_heartbeat_s <= now_s:
            return self._heartbeat(now_s)
        return []

    def keepalive(self, payload: bytes, now_s: float) -> list[Message]:
        """A full publish if one is asked for and within the limit; awake from now on either way."""
        messages: list[Message] = []
        if b"suppress-republish" not in payload and self._full_publish_limit.allows(now_s):
            messages += self._full_publish(_echo_in(payload))
        self._asleep_at_s = now_s + self._awake_s
        if self._next_heartbeat_s is None:
            messages += self._heartbeat(now_s)
        return messages

    def add(self, service: str, instance: int, values: Mapping[str, object]) -> list[Message]:
        """A service appears on the D-Bus. ValueError if it is there already."""
        name = f"{service}/{instance}"
        if name in self._services:
            raise ValueError(
                f"{name} is on the bus already: set() its values, or remove() it first"
            )
        self._services[name] = {_checked(path): payload_of(value) for path, value in values.items()}
        return self._audible(self._values_of(name))

    def set(self, service: str, instance: int, path: str, value: object) -> list[Message]:
        """A path of a service appears or changes. ValueError if there is no such service."""
        payload = payload_of(value)
        name = f"{service}/{instance}"
        values = self._present(name)
        if values.get(_checked(path)) == payload:
            return []
        values[path] = payload
        return self._audible([self._message(f"{name}/{path}", payload)])

    def remove(self, service: str, instance: int) -> list[Message]:
        """A service leaves the D-Bus. ValueError if there is no such service."""
        name = f"{service}/{instance}"
        messages = [self._message(f"{name}/{path}", b"") for path in self._present(name)]
        del self._services[name]
        # What is retained is never taken back.
        return self._shuffled(message for message in messages if not message.retain)

    def _present(self, name: str) -> dict[str, bytes]:
        if name not in self._services:
            raise ValueError(f"{name} is not on the bus: add() it first")
        return self._services[name]

    def _audible(self, messages: list[Message]) -> list[Message]:
        """What of this is published now. Retained topics are published even while asleep."""
        return [message for message in messages if self.awake or message.retain]

    def _full_publish(self, echo: str | None) -> list[Message]:
        self.full_publishes += 1
        completed: dict[str, object] = {"value": int(time.time())}
        if self._echo and echo is not None:
            completed["full-publish-completed-echo"] = echo
        return [
            *self._all_values(),
            self._message("full_publish_completed", _compact_json(completed)),
        ]

    def _heartbeat(self, now_s: float) -> list[Message]:
        """One heartbeat, and the next one planned; the first one due while asleep is the last."""
        if not self.awake:
            self._next_heartbeat_s = None
            return []
        self._next_heartbeat_s = now_s + self._heartbeat_s
        return [self._message("heartbeat", payload_of(int(time.time())))]

    def _all_values(self) -> list[Message]:
        return self._shuffled(
            message for name in self._services for message in self._values_of(name)
        )

    def _values_of(self, name: str) -> list[Message]:
        values = self._services[name].items()
        return self._shuffled(self._message(f"{name}/{path}", payload) for path, payload in values)

    def _shuffled(self, messages: Iterable[Message]) -> list[Message]:
        shuffled = list(messages)
        self._random.shuffle(shuffled)
        return shuffled

    def _message(self, topic_after_portal: str, payload: bytes) -> Message:
        return Message(
            topic=f"N/{self._portal_id}/{topic_after_portal}",
            payload=payload,
            retain=topic_after_portal == "system/0/Serial",
        )


class _Limit:
    """Allows so many in any one second; what it refuses does not count."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._allowed_at_s: deque[float] = deque(maxlen=per_second)

    def allows(self, now_s: float) -> bool:
        if len(self._allowed_at_s) == self._per_second and now_s < self._allowed_at_s[0] + 1.0:
            return False
        self._allowed_at_s.append(now_s)
        return True


def _compact_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
    ).encode()


def _echo_in(keepalive: bytes) -> str | None:
    """The text to echo, of `{"keepalive-options": [{"full-publish-completed-echo": "text"}]}`.

    The last one counts. What cannot be read is as good as an empty keepalive.
    """
    try:
        options = json.loads(keepalive)["keepalive-options"]
    except (ValueError, TypeError, KeyError):
        return None
    echo = None
    for option in options if isinstance(options, list) else ():
        if isinstance(option, dict):
            echo = option.get("full-publish-completed-echo")
    return echo if isinstance(echo, str) else None


def _checked(path: str) -> str:
    if not path or path.startswith("/") or path.endswith("/"):
        raise ValueError(f"path {path!r}: expected it as in a topic, like 'Pv/V'")
    return path


def _recorded_messages(path: Path) -> Iterator[tuple[float, Message]]:
    """Each message of a recording with its time, in seconds since the recording started."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if "topic" in record:
                yield (
                    record["t"],
                    Message(
                        topic=record["topic"],
                        payload=_recorded_payload(record),
                        retain=record["retain"],
                    ),
                )


def _recorded_payload(record: Mapping[str, str]) -> bytes:
    if "payload_base64" in record:
        return base64.b64decode(record["payload_base64"])
    return record["payload"].encode()


@dataclass(frozen=True, kw_only=True)
class TrackerValues:
    """What one tracker of a multi-tracker charger says."""

    name: str | None
    voltage_v: float
    power_w: float
    enabled: bool = True


# Those of the recorded MPPT RS: no name on the third, nothing connected to the fourth.
FOUR_TRACKERS = (
    TrackerValues(name="Barn east", voltage_v=310.32, power_w=1458.0),
    TrackerValues(name="Barn west", voltage_v=290.88, power_w=1271.0),
    TrackerValues(name="", voltage_v=303.88, power_w=659.0),
    TrackerValues(name=None, voltage_v=0.71, power_w=0.0, enabled=False),
)


def single_tracker(
    *,
    serial: str | None = "HQ2211AAAA1",
    product_name: str | None = "BlueSolar Charger MPPT 150/45 rev3",
    custom_name: str | None = "South roof",
    state: int | None = 252,
    voltage_v: float | None = 62.47999954223633,
    power_w: float | None = 64.52999877929688,
    total_kwh: float | None = 20.760000228881836,
    old_firmware: bool = False,
) -> dict[str, object]:
    """The values of a charger with one tracker, on VE.Direct.

    None is published as null. Old firmware knows neither `NrOfTrackers` nor `CustomName`.
    """
    values = _charger(
        serial=serial,
        product_name=product_name,
        state=state,
        power_w=power_w,
        total_kwh=total_kwh,
        battery_voltage_v=52.41999816894531,
    )
    values |= {"Mgmt/Connection": "VE.Direct", "ProductId": 41074, "Pv/V": voltage_v}
    if not old_firmware:
        values |= {"CustomName": custom_name, "NrOfTrackers": 1}
    return values


def multi_tracker(
    trackers: Sequence[TrackerValues] = FOUR_TRACKERS,
    *,
    serial: str | None = "1234567 HQ2233RS45X",
    product_name: str | None = "SmartSolar MPPT RS 450/200",
    custom_name: str | None = "MPPT RS barn",
    state: int | None = 3,
    total_kwh: float | None = 18250.48046875,
) -> dict[str, object]:
    """The values of a charger with several trackers, on VE.Can: there is no `Pv/V`.

    None is published as null. The charger's power is the sum of its trackers'.
    """
    values = _charger(
        serial=serial,
        product_name=product_name,
        state=state,
        power_w=sum(tracker.power_w for tracker in trackers),
        total_kwh=total_kwh,
        battery_voltage_v=53.11,
    )
    values |= {"Mgmt/Connection": "VE.Can", "ProductId": 41233}
    values |= {"CustomName": custom_name, "NrOfTrackers": len(trackers)}
    for number, tracker in enumerate(trackers):
        values |= _tracker(number, tracker)
    return values


def _charger(
    *,
    serial: str | None,
    product_name: str | None,
    state: int | None,
    power_w: float | None,
    total_kwh: float | None,
    battery_voltage_v: float,
) -> dict[str, object]:
    """What every charger says, some of it of no interest to anybody here."""
    return {
        "Connected": 1,
        "Dc/0/Current": 1.2000000476837158,
        "Dc/0/Voltage": battery_voltage_v,
        "DeviceOffReason": 0,
        "ErrorCode": 0,
        "FirmwareVersion": 356,
        "HardwareVersion": None,
        "History/Daily/0/Consumption": None,
        "History/Daily/0/MaxPower": 251.0,
        "History/Daily/0/Yield": 0.3400000035762787,
        "History/Overall/DaysAvailable": 31,
        "Link/NetworkMode": 13,
        "Mode": 1,
        "MppOperationMode": 2,
        "ProductName": product_name,
        "Serial": serial,
        "State": state,
        "Yield/Power": power_w,
        "Yield/System": total_kwh,
        "Yield/User": total_kwh,
    }


def _tracker(number: int, tracker: TrackerValues) -> dict[str, object]:
    return {
        f"Pv/{number}/Enabled": int(tracker.enabled),
        f"Pv/{number}/MppOperationMode": 2 if tracker.enabled else 0,
        f"Pv/{number}/Name": tracker.name,
        f"Pv/{number}/P": tracker.power_w,
        f"Pv/{number}/V": tracker.voltage_v,
        f"History/Daily/0/Pv/{number}/MaxPower": tracker.power_w,
    }
