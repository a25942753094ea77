"""Tests collecting messages in the kernel: what is read when, and that measurements stay fresh."""

import fcntl
import queue
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.broker import Broker, receive_batching
from mqtt_http_bridge.adapters.broker import broker as broker_module
from mqtt_http_bridge.adapters.broker import bulk_reader as bulk
from mqtt_http_bridge.adapters.broker.receive_batching import READ_BEFORE_S, ReceiveBatching
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.inbox import Call, Inbox, Stop
from mqtt_http_bridge.app.main_loop import run_loop
from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.commands import Command, Store
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment
from mqtt_http_bridge.core.relay import warm_up
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.relay.warm_up import WARM_UP_S
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus import topics
from tests.bench.virtual_gx import VirtualGx, moment
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Mosquitto, make_certificate
from tests.support.mqtt_packets import CONNACK, PINGRESP, publish
from tests.support.patience import wait_until
from tests.support.virtual import CHARGER, settings, value

TIMEOUT_S = 20.0
NOW = SystemClock().now
STATE = f"N/{PORTAL_ID}/solarcharger/0/State"
"""A topic of which each value is passed on, also of those that were read together."""


def ear(
    settings: MqttSettings,
    emit: Callable[[Event], None],
    *,
    now: Callable[[], Moment] = NOW,
    batch_s: float = 3600.0,
    subscriptions: Iterable[tuple[str, ...]] = (),
) -> Broker:
    """A connection, not started yet, that emits what is of interest."""
    return Broker(
        settings,
        client_id="ear",
        subscriptions=subscriptions,
        wants=topics.is_interesting,
        now=now,
        emit=emit,
        draw=lambda low, high: low,
        batch_s=batch_s,
    )


@pytest.fixture
def events() -> "queue.SimpleQueue[Event]":
    """Returns what the connection emits."""
    return queue.SimpleQueue()


@pytest.fixture
def broker(
    mosquitto: Mosquitto, events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    """A connection that collects from its beginning, and reads by itself once an hour."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    broker = ear(MqttSettings(port=mosquitto.port), events.put)
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
        broker.read_by(NOW().monotonic_s)
        try:
            event = events.get(timeout=0.05)
        except queue.Empty:
            continue
        assert isinstance(event, Message)
        return event.payload
    raise TimeoutError


def test_what_is_collected_comes_when_it_is_asked_for(
    mosquitto: Mosquitto, broker: Broker, events: "queue.SimpleQueue[Event]"
) -> None:
    """Less than 16 KiB wakes nobody; `read_by` brings it."""
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, events)
        wait_until_batching(broker)
        while not events.empty():
            events.get()
        gx.publish_raw("solarcharger/0/State", b"collected")
        with pytest.raises(queue.Empty):
            events.get(timeout=0.2)
        while said(broker, events) != b"collected":
            pass


def test_a_burst_needs_nobody_to_ask(
    mosquitto: Mosquitto, broker: Broker, events: "queue.SimpleQueue[Event]"
) -> None:
    """More than 16 KiB is read at once: a burst does not back up in the broker."""
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, events)
        for _ in range(1000):
            gx.publish_raw("solarcharger/0/State", b"of a burst, with some length to it")
        heard = 0
        while heard < 500:
            heard += isinstance(events.get(timeout=TIMEOUT_S), Message)


@contextmanager
def subscribed(
    monkeypatch: pytest.MonkeyPatch, heard: "queue.SimpleQueue[Event]"
) -> Iterator[tuple[Broker, socket.socket]]:
    """A connection that collects what the other end says, and that end."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = ear(MqttSettings(port=listener.getsockname()[1]), heard.put)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            broker.subscribe(("N/#",))
            assert peer.recv(4096)[0] == 0x82
            wait_until_batching(broker)
            yield broker, peer
        broker.stop(TIMEOUT_S)
    del broker._client


def test_the_last_words_are_read_at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` reads what has come before it says goodbye, and says goodbye."""
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with subscribed(monkeypatch, heard) as (broker, peer):
        peer.sendall(publish(STATE.encode(), b"last words"))
        wait_until_arrived(peer)
        broker.stop(TIMEOUT_S)
        event = heard.get_nowait()
        assert isinstance(event, Message)
        assert event.payload == b"last words"
        assert peer.recv(4096) == b"\xe0\x00"


def test_a_keepalive_leaves_what_is_collected_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wakes the thread that sends it, but not the one that would handle the messages."""
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with subscribed(monkeypatch, heard) as (broker, peer):
        peer.sendall(publish(STATE.encode(), b"collected"))
        wait_until_arrived(peer)
        broker.publish(f"R/{PORTAL_ID}/keepalive", b"")
        assert peer.recv(4096)[0] == 0x30
        assert heard.empty()
        assert said(broker, heard) == b"collected"


def test_many_tls_records_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GX that sends each message as a record of its own is read as far as one that does not.

    Once as it is, at the end; and once with `loop_read` leaving off after every ten of them.
    """
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    payloads = [b"%d" % number for number in range(100)]

    def say_all(peer: ssl.SSLSocket) -> None:
        for payload in payloads:
            peer.sendall(publish(STATE.encode(), payload))
        wait_until_arrived(peer)

    with tls_listener(tmp_path) as (listener, pinned):
        port = listener.getsockname()[1]
        broker = ear(MqttSettings(port=port, tls=True, pinned_certificate=pinned), heard.put)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            broker.subscribe(("N/#",))
            assert peer.recv(4096)[0] == 0x82
            wait_until_batching(broker)
            with monkeypatch.context() as patch:
                patch.setattr(bulk, "MOST_BYTES", 10 * bulk.LEAST_COUNTED_BYTES)
                say_all(peer)
                broker.read_by(NOW().monotonic_s)
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


def wait_until_arrived(peer: socket.socket) -> None:
    """Returns when what was sent is in the other socket: the kernel may take its time for that."""
    wait_until(lambda: not any(fcntl.ioctl(peer, termios.TIOCOUTQ, b"1234")))


def wait_until_batching(broker: Broker) -> None:
    """Returns when the kernel collects."""
    wait_until(lambda: broker._batching.is_on)


def test_another_paho_is_read_by_itself(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a version that lacks what the bulk reader needs, paho reads; the log says so once."""
    monkeypatch.setattr(bulk, "NEEDED_OF_PAHO", (("_sock_recv",), ("_taken_out", "_older")))
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    broker = ear(MqttSettings(port=mosquitto.port), heard.put)
    broker.start()
    with StandInGx(mosquitto) as gx:
        connect(broker, gx, heard)
        gx.publish_raw("solarcharger/0/History/Daily/0/Yield", b"of no interest")
        gx.publish_raw("solarcharger/0/State", b"heard")
        while (event := heard.get(timeout=TIMEOUT_S)) and isinstance(event, Message):
            assert event.topic == STATE
            if event.payload == b"heard":
                break
    # It reads one packet at a time: what the kernel has collected would take it for ever.
    assert not broker._batching.is_on
    broker.stop(TIMEOUT_S)
    del broker._client
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"paho-mqtt {version('paho-mqtt')} lacks _taken_out, which")


def test_another_paho_reads_what_tls_has_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many messages in one record: the socket is ready for the first of them only."""
    monkeypatch.setattr(bulk, "NEEDED_OF_PAHO", (("_taken_out",),))
    monkeypatch.setattr(receive_batching, "LONGEST_UNBATCHED_S", TIMEOUT_S)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tls_listener(tmp_path) as (listener, pinned):
        port = listener.getsockname()[1]
        broker = ear(MqttSettings(port=port, tls=True, pinned_certificate=pinned), heard.put)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK + publish(STATE.encode(), b"said") * 10)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            assert taken(heard, 10) == [b"said"] * 10
            broker.stop(TIMEOUT_S)
    del broker._client


# --- while the kernel collects -------------------------------------------------------------------


class Peer:
    """A broker with one client, which collects and would read by itself in an hour."""

    def __init__(
        self, broker: Broker, listener: socket.socket, events: "queue.SimpleQueue[Event]"
    ) -> None:
        self.broker = broker
        self._listener = listener
        self._events = events
        self._sockets: list[socket.socket] = []
        self.accept()
        self.let_subscribe()

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

    def let_subscribe(self) -> None:
        """Hears that the client is in, and has it subscribe, after which it collects."""
        assert isinstance(self._events.get(timeout=TIMEOUT_S), Connected)
        self.broker.subscribe(("N/#",))
        assert self.socket.recv(4096)[0] == 0x82
        wait_until_batching(self.broker)

    def close(self) -> None:
        """Closes all connections."""
        for each in self._sockets:
            each.close()


@pytest.fixture
def peer(events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A connection that collects."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        broker = ear(MqttSettings(port=listener.getsockname()[1]), events.put)
        broker.start()
        peer = Peer(broker, listener, events)
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
    assert end.failure.cause is Cause.LOST


def test_the_next_connection_does_not_collect_at_once(
    peer: Peer, events: "queue.SimpleQueue[Event]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is young is read as things come, whatever the one before it did."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 3600.0)
    peer.socket.close()
    peer.accept()
    assert isinstance(events.get(timeout=TIMEOUT_S), Disconnected)
    assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
    peer.socket.sendall(publish(STATE.encode(), b"not collected"))
    message = events.get(timeout=TIMEOUT_S)
    assert isinstance(message, Message)
    assert message.payload == b"not collected"
    assert not peer.broker._batching.is_on


def test_a_connection_is_young_until_it_has_settled_after_a_subscription() -> None:
    """A young one is read as messages come, an older one when they have collected so long."""
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = MqttSettings(port=listener.getsockname()[1])
        broker = ear(settings, heard.put, now=clock.now, batch_s=0.1)
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.sendall(CONNACK)
            assert isinstance(heard.get(timeout=TIMEOUT_S), Connected)
            clock.now_s = 3600.0
            broker.subscribe(("N/#",))
            assert receive_batching.SETTLED_S > WARM_UP_S
            clock.now_s += receive_batching.SETTLED_S - 0.1
            peer.sendall(publish(STATE.encode(), b"young"))
            assert taken(heard, 1) == [b"young"]
            assert not broker._batching.is_on
            clock.now_s += 0.1
            wait_until_batching(broker)
            # Nobody asks: it is read in a tenth of a second.
            topics = [STATE.encode(), f"N/{PORTAL_ID}/solarcharger/0/Yield/Power".encode()]
            frames = [publish(topic, b"%d" % n) for n in (1, 2) for topic in topics]
            peer.sendall(b"".join(frames))
            # Of the power only the last: the first cannot be seen in any measurement.
            assert taken(heard, 3) == [b"1", b"2", b"2"]
            broker.subscribe(("N/#",))
            wait_until(lambda: not broker._batching.is_on)
            broker.stop(TIMEOUT_S)
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
    """Pings are sent and their answers read while the kernel collects; a dead broker is noticed."""
    ping, answer = b"\xc0\x00", b"\xd0\x00"
    monkeypatch.setattr(broker_module, "MQTT_KEEPALIVE_S", 2)
    peer.broker._batching._longest_s = 0.1
    peer.broker.drop()
    peer.accept()
    assert isinstance(events.get(timeout=TIMEOUT_S), Disconnected)
    peer.let_subscribe()
    for _ in range(2):
        assert peer.socket.recv(4096) == ping
        peer.socket.sendall(answer)
    assert events.empty()
    assert peer.socket.recv(4096) == ping
    end = events.get(timeout=TIMEOUT_S)
    assert isinstance(end, Disconnected)
    assert str(end.failure) == "the connection was lost (Keep alive timeout)"


def test_after_a_pause_what_has_come_counts_first(
    peer: Peer, events: "queue.SimpleQueue[Event]"
) -> None:
    """A process that was held up for a minute finds the answer to its ping before it misses it."""
    client = peer.broker._client
    peer.socket.sendall(PINGRESP)
    wait_until_arrived(peer.socket)
    client._ping_t = client._last_msg_out = time.monotonic() - 60.0
    peer.broker.read_by(NOW().monotonic_s)
    assert peer.socket.recv(4096) == b"\xc0\x00"
    assert events.empty()


# --- when what is collected is read --------------------------------------------------------------


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> Moment:
        return moment(self.now_s)


class BatchingAt(ReceiveBatching):
    """Collects for up to 3 s on a clock that a test sets, and counts who was woken."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.woken = 0
        super().__init__(3.0, lambda: self.now_s, self.wake)

    def wake(self) -> None:
        self.woken += 1

    def is_read_for_a_deadline(self) -> bool:
        """Reads now; whether that was for a deadline."""
        self.note_read(self.now_s)
        return self.is_reading_due(self.now_s)


@pytest.fixture
def batching() -> Iterator[BatchingAt]:
    """A connection that collects."""
    here, there = socket.socketpair()
    with here, there:
        batching = BatchingAt()
        batching.read_at_once()
        batching.now_s = 100.0
        batching.note_read(batching.now_s)
        batching.begin_or_end(here)
        assert batching.is_on
        yield batching


def test_the_kernel_is_told_when_to_begin_and_when_to_end() -> None:
    """It begins once everything that was asked for has had time to come, and only if it may."""
    here, there = socket.socketpair()
    with here, there:
        batching = BatchingAt()

        def least_bytes(now_s: float) -> int:
            batching.now_s = now_s
            batching.note_read(now_s)
            batching.begin_or_end(here)
            return here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

        assert least_bytes(3600.0) == 1
        batching.read_at_once()
        assert least_bytes(3600.0 + receive_batching.SETTLED_S - 0.1) == 1
        assert least_bytes(3600.0 + receive_batching.SETTLED_S) == receive_batching.BATCH_BYTES
        assert batching.woken == 0
        batching.read_at_once()
        assert batching.woken == 1  # It waits for more than what comes next may be.
        assert least_bytes(batching.now_s) == 1
        batching._longest_s = None
        assert least_bytes(9999.0) == 1


def test_a_wait_ends_before_something_is_due(batching: BatchingAt) -> None:
    """Until all has been read for it, once; before and after that it takes as long as it may."""
    assert batching.wait_s() == 3.0
    batching.read_by(110.0)
    assert batching.wait_s() == 3.0
    batching.now_s = 108.0
    assert not batching.is_read_for_a_deadline()
    assert batching.wait_s() == pytest.approx(2.0 - READ_BEFORE_S)
    batching.now_s = 110.0 - READ_BEFORE_S
    assert batching.wait_s() == batching.wait_s() == 0.0
    assert batching.is_read_for_a_deadline()
    assert not batching.is_read_for_a_deadline()
    assert batching.wait_s() == 3.0
    batching.read_by(111.0)
    assert batching.wait_s() == 1.0


def test_a_wait_that_was_ended_for_something_else_goes_on(batching: BatchingAt) -> None:
    """Its beginning counts: nothing is read later because a keepalive was sent."""
    assert batching.wait_s() == 3.0
    batching.now_s = 101.0
    assert batching.wait_s() == 2.0
    batching.now_s = 104.0
    assert batching.wait_s() == 0.0


def test_a_deadline_that_was_missed_is_read_for_at_once(batching: BatchingAt) -> None:
    """Everything that has come by then may still be in time for whoever is late as well."""
    batching.read_by(90.0)
    assert batching.wait_s() == 0.0
    assert batching.is_read_for_a_deadline()
    assert batching.wait_s() == 3.0


def test_who_waits_is_woken_for_a_deadline_before_the_end_of_the_wait_only(
    batching: BatchingAt,
) -> None:
    """The thread is not woken to hear that it may sleep on."""
    batching.wait_s()
    batching.read_by(130.0)
    batching.read_by(103.0 + READ_BEFORE_S)
    assert batching.woken == 0
    for _ in range(3):
        batching.read_by(102.9 + READ_BEFORE_S)
    assert batching.woken == 1


def test_where_nothing_is_collected_a_deadline_is_read_for_as_well() -> None:
    """There every message ends the wait; that none came has to be told before a deadline, too."""
    batching = BatchingAt()
    assert not batching.is_read_for_a_deadline()
    assert batching.wait_s() == receive_batching.LONGEST_UNBATCHED_S
    batching.read_by(0.5 + READ_BEFORE_S)
    assert batching.woken == 1
    assert batching.wait_s() == 0.5
    batching.now_s = 0.5
    assert batching.wait_s() == 0.0
    assert batching.is_read_for_a_deadline()
    assert batching.wait_s() == receive_batching.LONGEST_UNBATCHED_S


def test_a_system_that_does_not_collect(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and everything is read as it comes."""

    class Refusing(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError(92, "Protocol not available")

    batching = BatchingAt()
    batching.read_at_once()
    batching.note_read(100.0)
    with Refusing() as refusing:
        for _ in range(3):
            batching.begin_or_end(refusing)
    assert not batching.is_on
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("this system cannot collect messages")


def test_the_loop_tells_what_is_due_before_it_acts() -> None:
    """Before it carries anything out: a disk that takes its time must not make the next one old."""
    gx = VirtualGx([PORTAL_ID], 1)
    inbox = Inbox()
    inbox.put(Connected(moment(0.0)))
    told: list[str] = []

    def carry_out(command: Command) -> None:
        told.append(type(command).__name__)
        if len(told) == 4:
            inbox.put(Stop())

    run_loop(
        gx.relay,
        inbox,
        lambda: moment(0.0),
        carry_out,
        read_by=lambda due_s: told.append(f"due in {due_s:.0f} s"),
    )
    assert told == ["due in 10 s", "Log", "Publish", "ReadAtOnce"]


def test_what_is_due_is_told_once_the_inbox_is_empty() -> None:
    """Each message may change it, but nobody waits for it before the last one was handled."""
    inbox, told = Inbox(), list[float]()
    for t_s in (0.0, 1.0, 2.0):
        inbox.put(Connected(moment(t_s)))
    inbox.put(Call(lambda: None))

    def read_by(due_s: float) -> None:
        told.append(due_s)
        inbox.put(Stop())

    run_loop(
        Relay(settings(PORTAL_ID)), inbox, lambda: moment(2.0), lambda _: None, read_by=read_by
    )
    assert told == [2.0 + WARM_UP_S]


def test_no_measurement_is_older_for_a_disk_that_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that the GX said a second before each is in it: on a real connection, in real time."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    monkeypatch.setattr(warm_up, "WARM_UP_S", 0.5)
    clock, inbox, ages_s = SystemClock(), Inbox(), list[float]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mqtt = MqttSettings(port=listener.getsockname()[1])
        broker = ear(mqtt, inbox.put, now=clock.now, subscriptions=[("N/#",)])
        broker.start()
        peer, _ = listener.accept()
        with peer, saying_the_age(peer, clock) as started_s:
            relay = Relay(settings(PORTAL_ID, interval_s=2.5))

            def carry_out(command: Command) -> None:
                if isinstance(command, Store):
                    now, (device,) = clock.now(), command.measurement.devices
                    due_s = (
                        now.monotonic_s + (command.measurement.timestamp - now.utc).total_seconds()
                    )
                    ages_s.append(due_s - started_s - device.yield_power_w)
                    if len(ages_s) == 3:
                        inbox.put(Stop())
                    elif len(ages_s) == 1:
                        time.sleep(3.0)  # The next is due before this is over.

            run_loop(relay, inbox, clock.now, carry_out, read_by=broker.read_by)
        broker.stop(TIMEOUT_S)
    del broker._client
    # Half a second and some; 2.5 s more if the next deadline were told too late.
    assert max(ages_s) < 2.5


@contextmanager
def saying_the_age(peer: socket.socket, clock: SystemClock) -> Iterator[float]:
    """Within this, a charger tells ten times a second, as its power, how long it has been on.

    Gives the monotonic time at which it was switched on.
    """
    is_over, started_s = threading.Event(), clock.now().monotonic_s

    def age_s() -> float:
        return clock.now().monotonic_s - started_s

    def say(path: str, said: object) -> None:
        peer.sendall(publish(f"N/{PORTAL_ID}/solarcharger/0/{path}".encode(), value(said)))

    def talk() -> None:
        peer.sendall(CONNACK)
        for path, said in {**CHARGER, "Yield/Power": age_s()}.items():
            say(path, said)
        while not is_over.wait(0.1):
            say("Yield/Power", age_s())

    thread = threading.Thread(target=talk)
    thread.start()
    yield started_s
    is_over.set()
    thread.join(TIMEOUT_S)
