"""Tests the connection to a real broker: which one it trusts, how it waits, what it passes on."""

import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTErrorCode

from mqtt_http_bridge.adapters.broker import Broker, bulk_reader
from mqtt_http_bridge.adapters.broker import client as client_module
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message
from mqtt_http_bridge.core.settings import MqttSettings, Secret
from mqtt_http_bridge.core.venus import superseded, topics
from mqtt_http_bridge.core.venus.keepalive import full_keepalive
from mqtt_http_bridge.core.venus.topic_cache import LEAST_ROOM, ROOM_PER_GX
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Login, Mosquitto, make_certificate
from tests.support.peer import SERVER_UNAVAILABLE, Peer

TIMEOUT_S = 20.0
STOP_S = 5.0
"""Seconds that the connection gets to end, which takes a moment."""

KEEPALIVE_TOPIC = f"R/{PORTAL_ID}/keepalive"
LOGIN = Login(user="mqtt-http-bridge", password="the right one")

Draws = list[tuple[float, float]]
_E = TypeVar("_E", bound=Event)


class Ear:
    """A Broker of ours, what it emits, and the waits it draws."""

    def __init__(
        self,
        settings: MqttSettings,
        wants: Callable[[str], bool],
        wait_s: float | None,
        subscriptions: Iterable[tuple[str, ...]] = (),
        speaker_of: Callable[[str], str] = lambda topic: "",
    ) -> None:
        self.draws: Draws = []
        self._wait_s = wait_s
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.broker = Broker(
            settings,
            client_id="ear",
            subscriptions=subscriptions,
            wants=wants,
            now=SystemClock().now,
            emit=self._events.put,
            draw=self._draw,
            speaker_of=speaker_of,
        )

    def hear(self, kind: type[_E], timeout_s: float = TIMEOUT_S) -> _E:
        """The next event, which has to be of this kind."""
        event = self._events.get(timeout=timeout_s)
        assert isinstance(event, kind), event
        return event

    def wait_for_connection(self) -> list[str]:
        """Lets failed attempts pass until one succeeds; why the others failed."""
        reasons = []
        while isinstance(event := self._events.get(timeout=TIMEOUT_S), Disconnected):
            reasons.append(str(event.failure))
        assert isinstance(event, Connected), event
        return reasons

    def hears_nothing(self, for_s: float) -> bool:
        """Tells whether nothing comes for so long."""
        try:
            self._events.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def _draw(self, low: float, high: float) -> float:
        self.draws.append((low, high))
        return low if self._wait_s is None else self._wait_s


@contextmanager
def listening(
    settings: MqttSettings,
    *,
    wants: Callable[[str], bool] = topics.is_interesting,
    wait_s: float | None = 0.0,
    subscriptions: Iterable[tuple[str, ...]] = (),
    speaker_of: Callable[[str], str] = lambda topic: "",
) -> Iterator[Ear]:
    """A started connection; it waits `wait_s` before each new attempt, None for the least."""
    ear = Ear(settings, wants, wait_s, subscriptions, speaker_of)
    ear.broker.start()
    try:
        yield ear
    finally:
        ear.broker.stop(TIMEOUT_S)
        # Some of its sockets paho closes only when it is deleted: let that be now.
        del ear.broker._client


def settings_for(mosquitto: Mosquitto) -> MqttSettings:
    """The settings for this broker, as it asks for them."""
    settings = MqttSettings(port=mosquitto.port, tls=mosquitto.certificate is not None)
    if mosquitto.login is None:
        return settings
    login = mosquitto.login
    return settings._replace(username=login.user, password=Secret(login.password))


# paho leaves the socket of a failed handshake to the garbage collector.
unclosed_by_paho = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture
def tls_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with a certificate for a name that it is not reached by, as on a GX."""
    with Mosquitto(certificate=make_certificate(tmp_path)) as mosquitto:
        yield mosquitto


def certificate_of(mosquitto: Mosquitto) -> str:
    """The file with the certificate of a broker that has one."""
    assert mosquitto.certificate is not None
    return str(mosquitto.certificate.certificate_file)


# --- messages ------------------------------------------------------------------------------------


def test_what_is_heard(mosquitto: Mosquitto) -> None:
    """Connected, then the messages subscribed to, whole, with the retain flag and their moment."""
    with StandInGx(mosquitto) as gx, listening(settings_for(mosquitto)) as ear:
        connected = ear.hear(Connected)
        ear.broker.subscribe((topics.DISCOVERY_TOPIC, f"N/{PORTAL_ID}/solarcharger/#"))
        ear.hear(Message)  # It may have come live; from now on the broker has it.
        ear.broker.subscribe((topics.DISCOVERY_TOPIC,))
        serial = ear.hear(Message)
        gx.publish_raw("solarcharger/0/Yield/Power", b"\xff\x00")
        power = ear.hear(Message)

    assert (serial.topic, serial.retain) == (f"N/{PORTAL_ID}/system/0/Serial", True)
    assert power.topic == f"N/{PORTAL_ID}/solarcharger/0/Yield/Power"
    assert (power.payload, power.retain) == (b"\xff\x00", False)
    assert connected.moment.monotonic_s <= serial.moment.monotonic_s <= power.moment.monotonic_s


def test_each_connection_begins_with_what_is_always_wanted(mosquitto: Mosquitto) -> None:
    """Nobody has to ask for it, the first time or after the broker was away."""
    wanted = [(f"N/{PORTAL_ID}/solarcharger/#",), (f"N/{PORTAL_ID}/multi/#",)]
    with listening(settings_for(mosquitto), wait_s=0.05, subscriptions=wanted) as ear:
        for _ in range(2):
            ear.wait_for_connection()
            with StandInGx(mosquitto) as gx:
                ear.broker.publish(KEEPALIVE_TOPIC, b"")
                gx.wait_for_keepalive(1)
                for service in ("solarcharger", "multi"):
                    gx.publish_raw(f"{service}/0/Pv/V", b'{"value":62.5}')
                    assert ear.hear(Message).topic == f"N/{PORTAL_ID}/{service}/0/Pv/V"
            mosquitto.stop()
            mosquitto.start()


def test_a_start_waits_until_the_subscriptions_are_out() -> None:
    """Whoever takes the processor from then on holds nothing up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

        def accept() -> None:
            connection, _ = server.accept()
            connection.sendall(ACCEPTED)
            accepted.put(connection)

        threading.Thread(target=accept, daemon=True).start()
        mqtt = MqttSettings(port=server.getsockname()[1])
        ear = Ear(mqtt, topics.is_interesting, 0.0, [("a/topic",)])
        ear.broker.start(TIMEOUT_S)
        with accepted.get(timeout=TIMEOUT_S) as connection:
            connection.setblocking(False)
            assert b"\x82\x0c\x00\x01\x00\x07a/topic\x00" in connection.recv(4096)
        ear.broker.stop(TIMEOUT_S)
        del ear.broker._client


def test_a_start_waits_no_longer_than_for_the_first_attempt(mosquitto: Mosquitto) -> None:
    """A broker that is not there is not waited for."""
    mosquitto.stop()
    ear = Ear(settings_for(mosquitto), topics.is_interesting, 60.0)
    began_s = time.monotonic()
    ear.broker.start(TIMEOUT_S)
    assert time.monotonic() - began_s < TIMEOUT_S / 2
    assert isinstance(ear.hear(Disconnected), Disconnected)
    ear.broker.stop(TIMEOUT_S)
    del ear.broker._client


def test_a_start_waits_as_long_as_it_was_told() -> None:
    """A broker that says nothing holds nobody up."""
    with Peer(b"") as peer:
        ear = Ear(MqttSettings(port=peer.port), topics.is_interesting, 60.0)
        began_s = time.monotonic()
        ear.broker.start(0.05)
        assert 0.05 <= time.monotonic() - began_s < TIMEOUT_S
        ear.broker.stop(TIMEOUT_S)
        del ear.broker._client


def test_what_is_not_worth_passing_on(mosquitto: Mosquitto) -> None:
    """Messages on other topics are dropped at the door."""
    with StandInGx(mosquitto) as gx, listening(settings_for(mosquitto)) as ear:
        ear.hear(Connected)
        ear.broker.subscribe((f"N/{PORTAL_ID}/solarcharger/#",))
        ear.broker.publish(KEEPALIVE_TOPIC, b"")
        gx.wait_for_keepalive(1)
        gx.publish_raw("solarcharger/0/History/Daily/0/Yield", b'{"value":1.0}')
        gx.publish_raw("solarcharger/0/Pv/V", b'{"value":62.5}')

        assert ear.hear(Message).topic.endswith("/Pv/V")


@pytest.mark.parametrize("is_bulk", [True, False], ids=["bulk", "stock"])
def test_that_a_charger_speaks_is_passed_on(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, is_bulk: bool
) -> None:
    """Of what is of no interest, once for each charger; a goodbye and what is retained apart."""
    if not is_bulk:
        monkeypatch.setattr(client_module, "lacking_in", lambda client: ["_sock_recv"])
    subscriptions = [topics.subscriptions(PORTAL_ID, ("solarcharger",))]
    with (
        StandInGx(mosquitto) as gx,
        listening(
            settings_for(mosquitto), subscriptions=subscriptions, speaker_of=topics.speaker_of
        ) as ear,
    ):
        ear.hear(Connected)
        ear.broker.publish(KEEPALIVE_TOPIC, full_keepalive("echo"))
        gx.wait_for_keepalive(1)
        gx.publish_raw("solarcharger/0/Mode", b"")
        gx.publish_raw("solarcharger/0/Dc/0/Current", b'{"value":1.0}')
        topic = ""
        while not topic.endswith("/solarcharger/0/"):
            message = ear.hear(Message)
            topic = message.topic
        assert (message.retain, bool(message.payload)) == (False, True)
        gx.publish_raw("solarcharger/0/Pv/V", b'{"value":62.5}')
        assert ear.hear(Message).topic.endswith("/Pv/V")


def test_room_is_made_for_each_gx_that_is_subscribed_to(mosquitto: Mosquitto) -> None:
    """Its topics are remembered, by the reader and by who looks at what was read together."""
    gxs = LEAST_ROOM // ROOM_PER_GX + 7
    with listening(settings_for(mosquitto)) as ear:
        ear.hear(Connected)
        for number in range(gxs):
            ear.broker.subscribe((f"N/{number}/heartbeat",))
        client = ear.broker._client
        assert isinstance(client, bulk_reader.BulkClient)
        assert client._fates.room == gxs * ROOM_PER_GX
        assert superseded._FLEETING.room >= gxs * ROOM_PER_GX


def test_a_keepalive_goes_out(mosquitto: Mosquitto) -> None:
    """A keepalive reaches the GX as it is."""
    with StandInGx(mosquitto) as gx, listening(settings_for(mosquitto)) as ear:
        ear.hear(Connected)
        ear.broker.publish(KEEPALIVE_TOPIC, full_keepalive("echo"))
        gx.wait_for_keepalive(1)

        assert gx.keepalives == [full_keepalive("echo")]


@pytest.mark.parametrize(
    "topic",
    [
        f"W/{PORTAL_ID}/solarcharger/277/Mode",
        f"N/{PORTAL_ID}/solarcharger/277/Mode",
        f"R/{PORTAL_ID}/solarcharger/277/Mode",
        f"R/{PORTAL_ID}/system/0/Serial",
        f"W/{PORTAL_ID}/keepalive",
        f"R/{PORTAL_ID}/keepalive/",
        f"R/{PORTAL_ID}/a/keepalive",
        f"x/R/{PORTAL_ID}/keepalive",
        f"R/{PORTAL_ID}/keepalive\n",
        f"r/{PORTAL_ID}/keepalive",
        "R/+/keepalive",
        "R/#/keepalive",
        "R//keepalive",
        "",
    ],
)
def test_nothing_but_a_keepalive_goes_out(mosquitto: Mosquitto, topic: str) -> None:
    """Whatever asks for another topic to be published is wrong, and the GX never sees it."""
    with StandInGx(mosquitto) as gx, listening(settings_for(mosquitto)) as ear:
        ear.hear(Connected)
        with pytest.raises(ValueError, match="expected a keepalive topic"):
            ear.broker.publish(topic, b'{"value":4}')
        ear.broker.publish(KEEPALIVE_TOPIC, b"")
        gx.wait_for_keepalive(1)

        assert gx.foreign_publishes == []


def test_without_a_connection(mosquitto: Mosquitto) -> None:
    """Whatever is subscribed or published without a broker is of no effect, then or later."""
    mosquitto.stop()
    with listening(settings_for(mosquitto), wait_s=0.1) as ear:
        ear.hear(Disconnected)
        ear.broker.subscribe((topics.DISCOVERY_TOPIC,))
        ear.broker.publish(KEEPALIVE_TOPIC, b"")
        ear.broker.drop()
        mosquitto.start()
        ear.wait_for_connection()
        with StandInGx(mosquitto) as gx:
            ear.broker.publish(KEEPALIVE_TOPIC, b"the first")
            gx.wait_for_keepalive(1)

            assert gx.keepalives == [b"the first"]
            assert ear.hears_nothing(for_s=0.1)


# --- the connection ends -------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_the_broker_ends(mosquitto: Mosquitto, ending: str) -> None:
    """A broker that ends is noticed at once, and found again when it is back."""
    with listening(settings_for(mosquitto), wait_s=0.05) as ear:
        ear.hear(Connected)
        getattr(mosquitto, ending)()
        assert ear.hear(Disconnected).failure.cause is Cause.LOST
        refused = f"127.0.0.1:{mosquitto.port}: Connection refused"
        assert str(ear.hear(Disconnected).failure) == refused
        mosquitto.start()
        assert set(ear.wait_for_connection()) <= {refused}


def test_drop(mosquitto: Mosquitto) -> None:
    """A connection that we give up ends, and a new one takes its place."""
    with listening(settings_for(mosquitto)) as ear:
        ear.hear(Connected)
        ear.broker.drop()
        assert ear.hear(Disconnected).failure == BrokerFailure(Cause.GIVEN_UP)
        ear.hear(Connected)


def test_growing_waits(mosquitto: Mosquitto) -> None:
    """Each failed attempt doubles the longest wait before the next, from 1 s up to 60 s."""
    mosquitto.stop()
    with listening(settings_for(mosquitto)) as ear:
        for _ in range(9):
            ear.hear(Disconnected)

    assert ear.draws[:8] == [(0.0, longest) for longest in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_a_short_connection_does_not_count(mosquitto: Mosquitto) -> None:
    """Connections that end at once, as when two clients share an id, do not shorten the waits."""
    with listening(settings_for(mosquitto)) as ear:
        for _ in range(4):
            ear.hear(Connected)
            ear.broker.drop()
            ear.hear(Disconnected)
        ear.hear(Connected)

    assert ear.draws == [(0.0, longest) for longest in (1, 2, 4, 8)]


# --- who is let in, and who is trusted -----------------------------------------------------------


def test_a_refused_login(mosquitto: Mosquitto) -> None:
    """It is tried again after at least a minute, doubling to 15: a GX counts these attempts."""
    mosquitto.stop()
    mosquitto.login = LOGIN
    mosquitto.start()
    wrong = settings_for(mosquitto)._replace(password=Secret("the wrong one"))
    with listening(wrong) as ear:
        failures = {ear.hear(Disconnected).failure for _ in range(7)}

    (failure,) = failures
    assert failure.cause is Cause.LOGIN_REFUSED
    assert str(failure) == f"127.0.0.1:{mosquitto.port}: login refused (Not authorized)"
    assert failure.remedy.startswith("compare mqtt.password")
    assert [shortest_s for shortest_s, _ in ear.draws[:6]] == [60, 120, 240, 480, 900, 900]
    assert all(shortest_s <= longest_s <= 1000 for shortest_s, longest_s in ear.draws)


def test_a_refused_login_is_spared(mosquitto: Mosquitto) -> None:
    """The wait is kept: there is no second attempt soon after the first; yet `stop` ends it."""
    mosquitto.stop()
    mosquitto.login = LOGIN
    mosquitto.start()
    with listening(MqttSettings(port=mosquitto.port), wait_s=None) as ear:
        assert "set mqtt.password to" in ear.hear(Disconnected).failure.remedy
        assert ear.hears_nothing(for_s=2.0)
        assert _seconds_to_stop(ear.broker) < STOP_S


def test_the_right_password_after_all(mosquitto: Mosquitto) -> None:
    """A login refused because of others' attempts works in the end."""
    mosquitto.stop()
    mosquitto.login = Login(user=LOGIN.user, password="not yet the right one")
    mosquitto.start()
    with listening(settings_for(mosquitto)._replace(password=Secret(LOGIN.password))) as ear:
        assert ear.hear(Disconnected).failure.cause is Cause.LOGIN_REFUSED
        mosquitto.stop()
        mosquitto.login = LOGIN
        mosquitto.start()
        ear.wait_for_connection()


def test_a_pinned_certificate(tls_mosquitto: Mosquitto) -> None:
    """The GX's own certificate, pinned, is trusted although it names no address."""
    settings = settings_for(tls_mosquitto)
    pinned = settings._replace(pinned_certificate=certificate_of(tls_mosquitto))
    with listening(pinned) as ear:
        ear.hear(Connected)


@unclosed_by_paho
def test_another_certificate_than_the_pinned_one(tls_mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Another certificate of the same name is not trusted."""
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other").certificate_file
    with listening(settings_for(tls_mosquitto)._replace(pinned_certificate=str(other))) as ear:
        failure = ear.hear(Disconnected).failure

    where = f"127.0.0.1:{tls_mosquitto.port}"
    assert failure.cause is Cause.CERTIFICATE_NOT_PINNED
    assert str(failure) == f"{where}: its certificate is not the pinned one"


@unclosed_by_paho
def test_tls_where_there_is_none(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The wrong port for TLS is called that."""
    certificate = make_certificate(tmp_path).certificate_file
    settings = settings_for(mosquitto)._replace(tls=True, pinned_certificate=str(certificate))
    with listening(settings) as ear:
        failure = ear.hear(Disconnected).failure

    assert failure.cause is Cause.NO_TLS
    assert "no TLS there" in str(failure)


def test_no_tls_where_there_is(tls_mosquitto: Mosquitto) -> None:
    """A broker that waits for TLS hangs up on a plain login, and the reason asks for it."""
    settings = settings_for(tls_mosquitto)._replace(tls=False, pinned_certificate=None)
    with listening(settings) as ear:
        failure = ear.hear(Disconnected).failure

    where = f"127.0.0.1:{tls_mosquitto.port}"
    assert failure.cause is Cause.HUNG_UP
    assert str(failure) == f"{where}: hung up without an answer"
    assert "mqtt.tls: true" in failure.remedy


@unclosed_by_paho
def test_an_unknown_authority(tls_mosquitto: Mosquitto) -> None:
    """Without a certificate to trust, the system's authorities decide, and know nothing of a GX."""
    with listening(settings_for(tls_mosquitto)) as ear:
        assert ear.hear(Disconnected).failure.cause is Cause.CERTIFICATE_NOT_TRUSTED


@unclosed_by_paho
def test_an_authority_and_an_address(tls_mosquitto: Mosquitto) -> None:
    """With mqtt.ca_file the name counts, and the GX's certificate has none for an address."""
    settings = settings_for(tls_mosquitto)._replace(ca_file=certificate_of(tls_mosquitto))
    with listening(settings) as ear:
        failure = ear.hear(Disconnected).failure

    assert "its certificate is not trusted: IP address mismatch" in str(failure)


def test_an_authority_and_the_right_name(tmp_path: Path) -> None:
    """With mqtt.ca_file a certificate for the name of the host is trusted."""
    with Mosquitto(certificate=make_certificate(tmp_path, common_name="localhost")) as mosquitto:
        settings = settings_for(mosquitto)
        trusting = settings._replace(hosts=("localhost",), ca_file=certificate_of(mosquitto))
        with listening(trusting) as ear:
            ear.hear(Connected)


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"\x30\x82\x01\x0a"], ids=["empty", "text", "binary"]
)
@pytest.mark.parametrize("key", ["pinned_certificate", "ca_file"])
def test_no_certificate(tmp_path: Path, key: str, content: bytes) -> None:
    """A file that holds no certificate is a wrong setting, and the error names it."""
    file = tmp_path / "gx.pem"
    file.write_bytes(content)
    files = {key: str(file)}
    with pytest.raises(ConfigError, match=f"mqtt.{key}: expected certificates in PEM, found none"):
        Ear(MqttSettings(tls=True, **files), topics.is_interesting, 0.0)  # type: ignore[arg-type]


# --- what is no broker ---------------------------------------------------------------------------


ACCEPTED = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        ACCEPTED[:3],
        b"\x20\x00",
        b"\x30\xff\xff\xff\xff\xff",
        b"\x00" * 100,
    ],
)
def test_no_broker_at_all(says: bytes) -> None:
    """Something else on the port, whatever it says, is trouble that is tried again."""
    with (
        Peer(says, hangs_up=True) as peer,
        listening(MqttSettings(port=peer.port)) as ear,
    ):
        assert ear.hear(Disconnected).failure.remedy
        assert ear.hear(Disconnected).failure.remedy

    assert ear.draws[0] == (0.0, 1.0)


def test_a_broker_in_trouble() -> None:
    """A refusal that has nothing to do with the login is tried again soon."""
    with (
        Peer(SERVER_UNAVAILABLE) as peer,
        listening(MqttSettings(port=peer.port)) as ear,
    ):
        failure = ear.hear(Disconnected).failure

    assert failure.cause is Cause.UNAVAILABLE
    assert "Server unavailable" in str(failure)
    assert "password" not in failure.remedy
    assert ear.draws[0] == (0.0, 1.0)


class ChokesOnFrames(paho.Client):
    """paho up to 2.1, which meets a PUBLISH that is cut short with an error of `struct`."""

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        raise struct.error


def test_a_frame_that_paho_chokes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the connection, as it does with a newer paho, and not the thread."""
    monkeypatch.setattr(bulk_reader, "NEEDED_OF_PAHO", (("_not_of_this_paho",),))
    monkeypatch.setattr(paho, "Client", ChokesOnFrames)
    with Peer(b"") as peer, listening(MqttSettings(port=peer.port)) as ear:
        failure = ear.hear(Disconnected).failure

    assert failure.cause is Cause.NOT_MQTT


# --- the end -------------------------------------------------------------------------------------


def _seconds_to_stop(broker: Broker, limit_s: float = STOP_S) -> float:
    started_s = time.monotonic()
    broker.stop(limit_s)
    return time.monotonic() - started_s


def test_a_goodbye() -> None:
    """The last thing that a broker hears is a DISCONNECT, so that it need not guess."""
    with Peer(ACCEPTED) as peer, listening(MqttSettings(port=peer.port)) as ear:
        ear.hear(Connected)
        assert _seconds_to_stop(ear.broker) < STOP_S
        assert peer.heard.get(timeout=TIMEOUT_S).endswith(b"\xe0\x00")
        assert ear.hears_nothing(for_s=0.0)


def test_the_end_before_the_broker_answers() -> None:
    """A broker that has taken the connection and says nothing does not hold the end up."""
    with Peer(b"") as peer, listening(MqttSettings(port=peer.port)) as ear:
        assert _seconds_to_stop(ear.broker) < STOP_S


def test_the_end_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A goodbye that came too early to be said is said after all: the broker need not guess."""
    with Peer(b"") as peer:
        ear = Ear(MqttSettings(port=peer.port), topics.is_interesting, 0.0)
        broker = ear.broker
        stop = threading.Thread(target=broker.stop, args=[TIMEOUT_S])
        connect = broker._client.connect

        def connect_late(host: str, port: int, keepalive: int) -> MQTTErrorCode:
            stop.start()
            broker._stopping.wait(TIMEOUT_S)
            return connect(host, port, keepalive)

        monkeypatch.setattr(broker._client, "connect", connect_late)
        broker.start()
        assert peer.heard.get(timeout=TIMEOUT_S).endswith(b"\xe0\x00")
        stop.join(TIMEOUT_S)
        assert not broker._thread.is_alive()
        monkeypatch.undo()
        del broker._client


@unclosed_by_paho
def test_the_end_within_a_tls_handshake() -> None:
    """A handshake that does not go on is left behind after the time given."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        ear = stack.enter_context(listening(MqttSettings(port=port, tls=True)))
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b"\x16"
            assert _seconds_to_stop(ear.broker, 0.5) < STOP_S


def test_the_end_between_two_attempts(mosquitto: Mosquitto) -> None:
    """A wait for the next attempt is cut short."""
    mosquitto.stop()
    with listening(settings_for(mosquitto), wait_s=60.0) as ear:
        ear.hear(Disconnected)
        assert _seconds_to_stop(ear.broker) < STOP_S
        assert ear.hears_nothing(for_s=0.0)


def test_the_end_before_the_start(mosquitto: Mosquitto) -> None:
    """A connection that was never started can be stopped."""
    Ear(settings_for(mosquitto), topics.is_interesting, 0.0).broker.stop(STOP_S)
