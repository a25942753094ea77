"""The kernel gathers messages: what is read when, and that no measurement is older for it."""

import queue
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.broker import Broker, bulk
from mqtt_http_bridge.adapters.broker import broker as broker_module
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.inbox import Inbox, Item, Stop
from mqtt_http_bridge.app.loop import CATCH_UP_S, run_loop
from mqtt_http_bridge.core import venus
from mqtt_http_bridge.core.commands import Command, Store
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.site import WARM_UP_S
from tests.bench.virtual_gx import VirtualGx, moment
from tests.gx import PORTAL_ID, StandInGx
from tests.mosquitto import Mosquitto, make_certificate
from tests.test_bulk import CONNACK, publish

TIMEOUT_S = 20.0
STATE = f"N/{PORTAL_ID}/solarcharger/0/State"
"""A topic of which each value is passed on, also of those that were read together."""


def ear(settings: MqttSettings, events: "queue.SimpleQueue[Event]") -> Broker:
    """A connection, not started yet, that emits what is of interest."""

    def emit_gathered(messages: list[Message]) -> None:
        for message in messages:
            events.put(message)

    return Broker(
        settings,
        client_id="ear",
        wants=venus.is_interesting,
        now=SystemClock().now,
        emit=events.put,
        draw=lambda low, high: low,
        emit_gathered=emit_gathered,
    )


@pytest.fixture
def mosquitto() -> Iterator[Mosquitto]:
    """A broker."""
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def events() -> "queue.SimpleQueue[Event]":
    """What the connection emits."""
    return queue.SimpleQueue()


@pytest.fixture
def broker(
    mosquitto: Mosquitto, events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    """A connection that gathers from its beginning, and reads by itself once an hour."""
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(broker_module, "GATHER_S", 3600.0)
    broker = ear(MqttSettings(port=mosquitto.port), events)
    broker.start()
    yield broker
    broker.stop(TIMEOUT_S)
    del broker._client


def connect(broker: Broker, gx: StandInGx, events: "queue.SimpleQueue[Event]") -> None:
    """Subscribes, and returns when the broker passes on what the GX says."""
    assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
    broker.subscribe((f"N/{PORTAL_ID}/solarcharger/#",))
    gx.publish_raw("solarcharger/0/State", b"first")
    broker.publish(f"R/{PORTAL_ID}/keepalive", b"")
    # Written after SUBSCRIBE, and answered by the broker in order.
    gx.wait_for_keepalive(1)


def said(broker: Broker, events: "queue.SimpleQueue[Event]") -> bytes:
    """The payload of the next message, asked for until it is there."""
    for _ in range(int(TIMEOUT_S * 20)):
        broker.catch_up()
        try:
            event = events.get(timeout=0.05)
        except queue.Empty:
            continue
        assert isinstance(event, Message)
        return event.payload
    raise TimeoutError


def test_what_is_gathered_comes_when_it_is_asked_for(
    mosquitto: Mosquitto, broker: Broker, events: "queue.SimpleQueue[Event]"
) -> None:
    """Less than 16 KiB wakes nobody; `catch_up` brings it."""
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, events)
        gx.publish_raw("solarcharger/0/State", b"gathered")
        while said(broker, events) != b"gathered":
            pass


def test_a_burst_needs_nobody_to_ask(
    mosquitto: Mosquitto, broker: Broker, events: "queue.SimpleQueue[Event]"
) -> None:
    """What is more than 16 KiB is read at once: a burst does not back up in the broker."""
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, events)
        for _ in range(1000):
            gx.publish_raw("solarcharger/0/State", b"of a burst, with some length to it")
        heard = 0
        while heard < 500:
            heard += isinstance(events.get(timeout=TIMEOUT_S), Message)


def test_the_last_words_are_read_at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` reads what has come before it says goodbye, and says goodbye."""
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(broker_module, "GATHER_S", 3600.0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = ear(MqttSettings(port=listener.getsockname()[1]), heard)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            # On the loopback it is in the other socket when this returns.
            peer.sendall(publish(STATE.encode(), b"last words"))
            broker.stop(TIMEOUT_S)
            event = heard.get_nowait()
            assert isinstance(event, Message)
            assert event.payload == b"last words"
            assert peer.recv(4096) == b"\xe0\x00"
    del broker._client


def test_many_tls_records_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GX that sends each message as a record of its own is read as far as one that does not.

    Once as it is, at the end; and once with `loop_read` leaving off after every ten of them.
    """
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(broker_module, "GATHER_S", 3600.0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    payloads = [b"%d" % number for number in range(100)]

    def say_all(peer: ssl.SSLSocket) -> None:
        for payload in payloads:
            peer.sendall(publish(STATE.encode(), payload))

    with tls_listener(tmp_path) as (listener, pinned):
        port = listener.getsockname()[1]
        broker = ear(MqttSettings(port=port, tls=True, pinned_certificate=pinned), heard)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            wait_until_gathering(broker)
            with monkeypatch.context() as patch:
                patch.setattr(bulk, "MOST_BYTES", 10 * bulk.LEAST_COUNTED_BYTES)
                say_all(peer)
                assert heard.empty()
                broker.catch_up()
                assert taken(heard, 100) == payloads
            say_all(peer)
            broker.stop(TIMEOUT_S)
            assert taken(heard, 100) == payloads
            assert peer.recv(4096) == b"\xe0\x00"
    del broker._client


@contextmanager
def tls_listener(directory: Path) -> Iterator[tuple[ssl.SSLSocket, str]]:
    """A server that speaks TLS, and the certificate by which it is known."""
    certificate = make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    with (
        socket.create_server(("127.0.0.1", 0)) as plain,
        context.wrap_socket(plain, server_side=True) as listener,
    ):
        yield listener, str(certificate.certificate_file)


def taken(events: "queue.SimpleQueue[Event]", count: int) -> list[bytes]:
    """The payloads of the next messages."""
    messages = [events.get(timeout=TIMEOUT_S) for _ in range(count)]
    return [message.payload for message in messages if isinstance(message, Message)]


def wait_until_gathering(broker: Broker) -> None:
    """Returns when the kernel gathers."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not broker._is_gathering and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert broker._is_gathering


def test_another_paho_is_read_by_itself(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a version that was not tested, stock paho reads, and the log says so once."""
    monkeypatch.setattr(bulk, "TESTED_VERSIONS", frozenset({"1.0"}))
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    broker = ear(MqttSettings(port=mosquitto.port), heard)
    broker.start()
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, heard)
        gx.publish_raw("solarcharger/0/History/Daily/0/Yield", b"of no interest")
        gx.publish_raw("solarcharger/0/State", b"heard")
        while (event := heard.get(timeout=TIMEOUT_S)) and isinstance(event, Message):
            assert event.topic == STATE
            if event.payload == b"heard":
                break
    # It reads one packet at a time: what the kernel has gathered would take it for ever.
    assert not broker._is_gathering
    broker.stop(TIMEOUT_S)
    del broker._client
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"paho-mqtt {bulk.paho_version()} is not one of those tested (1.0)")


def test_another_paho_reads_what_tls_has_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many messages in one record: the socket is ready for the first of them only."""
    monkeypatch.setattr(bulk, "TESTED_VERSIONS", frozenset())
    monkeypatch.setattr(broker_module, "LOOP_TIMEOUT_S", TIMEOUT_S)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tls_listener(tmp_path) as (listener, pinned):
        port = listener.getsockname()[1]
        broker = ear(MqttSettings(port=port, tls=True, pinned_certificate=pinned), heard)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK + publish(STATE.encode(), b"said") * 10)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            assert taken(heard, 10) == [b"said"] * 10
            broker.stop(TIMEOUT_S)
    del broker._client


# --- while the kernel gathers --------------------------------------------------------------------


class Peer:
    """A broker with one client, which gathers and would read by itself in an hour."""

    def __init__(self, broker: Broker, listener: socket.socket) -> None:
        self.broker = broker
        self._listener = listener
        self._sockets: list[socket.socket] = []
        self.accept()
        wait_until_gathering(broker)

    @property
    def socket(self) -> socket.socket:
        """The latest connection."""
        return self._sockets[-1]

    def accept(self) -> None:
        """Lets the client in."""
        accepted, _ = self._listener.accept()
        self._sockets.append(accepted)
        accepted.settimeout(TIMEOUT_S)
        assert accepted.recv(4096)[0] == 0x10
        accepted.sendall(CONNACK)

    def close(self) -> None:
        """Closes all connections."""
        for each in self._sockets:
            each.close()


@pytest.fixture
def peer(events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A connection that gathers."""
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(broker_module, "GATHER_S", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        broker = ear(MqttSettings(port=listener.getsockname()[1]), events)
        broker.start()
        peer = Peer(broker, listener)
        assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
        yield peer
        broker.stop(TIMEOUT_S)
        peer.close()
    del broker._client


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_the_end_of_a_connection_wakes(
    peer: Peer, events: "queue.SimpleQueue[Event]", is_reset: bool
) -> None:
    """However little came before it, the end of a connection is noticed at once, and told last."""
    said = [] if is_reset else [b"last words"]
    for payload in said:
        peer.socket.sendall(publish(STATE.encode(), payload))
    if is_reset:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
    else:
        peer.socket.shutdown(socket.SHUT_WR)
    *messages, end = [events.get(timeout=TIMEOUT_S) for _ in range(len(said) + 1)]
    assert [m.payload for m in messages if isinstance(m, Message)] == said
    assert isinstance(end, Disconnected)
    assert end.reason.startswith("the connection was lost")


def test_the_next_connection_does_not_gather_at_once(
    peer: Peer, events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is young is read as things come, whatever the one before it did."""
    monkeypatch.setattr(broker_module, "SETTLED_S", 3600.0)
    peer.socket.close()
    peer.accept()
    assert isinstance(events.get(timeout=TIMEOUT_S), Disconnected)
    assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
    peer.socket.sendall(publish(STATE.encode(), b"not gathered"))
    message = events.get(timeout=TIMEOUT_S)
    assert isinstance(message, Message)
    assert message.payload == b"not gathered"
    assert not peer.broker._is_gathering


def test_what_is_gathered_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a young connection hears ends the main thread's wait; what was gathered can wait."""
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    gathered: queue.SimpleQueue[list[Message]] = queue.SimpleQueue()
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = Broker(
            MqttSettings(port=listener.getsockname()[1]),
            client_id="ear",
            wants=venus.is_interesting,
            now=clock.now,
            emit=heard.put,
            draw=lambda low, high: low,
            emit_gathered=gathered.put,
        )
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            assert broker_module.SETTLED_S > WARM_UP_S
            clock.now_s = broker_module.SETTLED_S - 0.1
            peer.sendall(publish(STATE.encode(), b"young"))
            assert isinstance(heard.get(timeout=TIMEOUT_S), Message)
            assert not broker._is_gathering
            clock.now_s = broker_module.SETTLED_S
            wait_until_gathering(broker)
            # Nobody asks: it is read after GATHER_S.
            power = f"N/{PORTAL_ID}/solarcharger/0/Yield/Power".encode()
            frames = [
                publish(topic, b"%d" % n) for n in (1, 2) for topic in (STATE.encode(), power)
            ]
            peer.sendall(b"".join(frames))
            # Of the power only the last: the first cannot be seen in any measurement.
            assert [m.payload for m in gathered.get(timeout=TIMEOUT_S)] == [b"1", b"2", b"2"]
            broker.stop(TIMEOUT_S)
    assert heard.empty()
    del broker._client


def test_what_is_too_much_for_one_write_goes_out(peer: Peer) -> None:
    """A broker that reads slowly gets everything, as soon as it has read what came before."""
    payload = b"x" * 20_000_000
    peer.broker.publish(f"R/{PORTAL_ID}/keepalive", payload)
    got = 0
    while got < len(payload):
        chunk = peer.socket.recv(65_536)
        assert chunk
        got += len(chunk)


def test_the_keepalive_of_mqtt(
    peer: Peer, events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings are sent and their answers read while the kernel gathers; a dead broker is noticed."""
    ping, answer = b"\xc0\x00", b"\xd0\x00"
    monkeypatch.setattr(broker_module, "MQTT_KEEPALIVE_S", 2)
    monkeypatch.setattr(broker_module, "GATHER_S", 0.1)
    peer.broker.drop()
    peer.accept()
    assert isinstance(events.get(timeout=TIMEOUT_S), Disconnected)
    assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
    wait_until_gathering(peer.broker)
    for _ in range(2):
        assert peer.socket.recv(4096) == ping
        peer.socket.sendall(answer)
    assert events.empty()
    assert peer.socket.recv(4096) == ping
    end = events.get(timeout=TIMEOUT_S)
    assert isinstance(end, Disconnected)
    assert end.reason == "the connection was lost (Keep alive timeout)"


# --- the loop asks in time -----------------------------------------------------------------------


class Clock:
    """A clock that a wait moves on: `get` returns what is there, or lets the time pass."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> Moment:
        return moment(self.now_s)


class VirtualInbox(Inbox):
    """An inbox in virtual time: a wait lasts until what comes next, or until its time is over."""

    def __init__(self, clock: Clock, coming: list[tuple[float, Item]]) -> None:
        super().__init__()
        self._clock = clock
        self.coming = coming

    def __bool__(self) -> bool:
        return bool(self.coming) and self.coming[0][0] <= self._clock.now_s

    def get(self, timeout_s: float | None = None) -> Item | None:
        end_s = self._clock.now_s + (float("inf") if timeout_s is None else timeout_s)
        self._clock.now_s = min([end_s, *(max(s, self._clock.now_s) for s, _ in self.coming[:1])])
        return self.coming.pop(0)[1] if self else None


def test_what_was_said_a_second_before_the_deadline_is_in_the_measurement() -> None:
    """The loop asks a quarter of a second before, and what then comes is measured."""
    gx = VirtualGx([PORTAL_ID], 1)
    gx.start()
    clock = Clock()
    asked_s: list[float] = []
    ticks_s: list[float] = []
    measured_w: list[float] = []
    inbox = VirtualInbox(clock, [(40.0, Stop())])

    def catch_up() -> None:
        """The broker emits what was said a second before the deadline."""
        asked_s.append(clock.now_s)
        at_s = clock.now_s + 0.01
        topic = f"N/{PORTAL_ID}/solarcharger/0/Yield/Power"
        message = Message(moment(at_s), topic, b'{"value":%.1f}' % (1000 + len(asked_s)))
        inbox.coming.insert(0, (at_s, message))

    def carry_out(command: Command) -> None:
        if isinstance(command, Store):
            (device,) = command.measurement.devices
            heard = [s for s in asked_s if s + 0.01 <= ticks_s[-1]]
            assert heard[-1] <= ticks_s[-1] < heard[-1] + 1.0
            measured_w.append(device.yield_power_w - len(heard))

    def tap(event: Event) -> None:
        if isinstance(event, Tick):
            ticks_s.append(event.moment.monotonic_s)

    run_loop(gx.relay, inbox, clock.now, carry_out, tap, catch_up=catch_up)
    assert asked_s[0] == pytest.approx(ticks_s[0] - CATCH_UP_S)
    assert len(asked_s) == len(ticks_s)
    assert measured_w == [1000.0]


def test_without_gathering_nobody_is_asked() -> None:
    """A loop without `catch_up` waits for its deadlines and for nothing else."""
    clock = Clock()
    inbox = VirtualInbox(clock, [(0.0, Connected(moment(0.0))), (35.0, Stop())])
    gx = VirtualGx([PORTAL_ID], 1)
    run_loop(gx.relay, inbox, clock.now, lambda command: None)
    assert clock.now_s == 35.0
