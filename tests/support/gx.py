"""Plays a GX on a real broker: use it for whatever connects to one over MQTT.

What it publishes and when is in `tests.support.dbus_flashmq`, what its chargers say in
`tests.support.charger_values`. One thing differs from a GX: dbus-flashmq is part of the broker;
this is a client of it. When the broker restarts, another client may get in first and its keepalive
be lost. One that waits for `system/0/Serial` is safe; for any other, the test calls
`wait_for_connection` before it lets that client in.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support.dbus_flashmq import DbusFlashmq, Message
from tests.support.mosquitto import Mosquitto
from tests.support.recorded_messages import recorded_messages

# The portal id in the recordings: they can be played without a second GX appearing.
PORTAL_ID = "c0619ab2f7e1"

AWAKE_S = 60.0
HEARTBEAT_S = 3.0

RECONNECT_INTERVAL_S = 0.02
TIMEOUT_S = 60.0


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


class StandInGx:
    """A GX on a broker; use it as a context manager, which connects it and takes it away.

    Every method may be called from any thread. `awake_s` and `heartbeat_s` are the GX's own 60 s
    and 3 s, to be shortened by tests; `echo=False` plays firmware before Venus OS 3.50, which does
    not answer `full-publish-completed-echo`, `is_old` one before 3.20; `seed` gives the
    order of values in a full publish.

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
        is_old: bool = False,
    ) -> None:
        self.portal_id = portal_id
        self._broker = broker
        # Guards everything below, and wakes whoever waits for a change of it.
        self._changed = threading.Condition()
        self._dbus_flashmq = DbusFlashmq(
            portal_id=portal_id,
            awake_s=awake_s,
            heartbeat_s=heartbeat_s,
            echo=echo,
            seed=seed,
            is_old=is_old,
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
        for recorded_s, message in recorded_messages(recording_path):
            due_in_s = started_at_s + recorded_s / speed - time.monotonic()
            if self._closing.wait(max(0.0, due_in_s)):
                return
            with self._changed:
                if self._connected:
                    self._send(message)

    # What tests ask.

    @property
    def awake(self) -> bool:
        """Tells whether a keepalive came within the last `awake_s`."""
        with self._changed:
            return self._dbus_flashmq.awake

    @property
    def keepalives(self) -> list[bytes]:
        """The payload of every keepalive received so far, heeded or not."""
        with self._changed:
            return list(self._keepalives)

    @property
    def full_publishes(self) -> int:
        """Counts how many keepalives were answered with every value."""
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
        """Counts how many times the stand-in has become ready on a broker."""
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
