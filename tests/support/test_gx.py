"""Tests that the stand-in GX behaves as the real one is known to, on a real broker."""

import gzip
import json
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.charger_values import TrackerValues, multi_tracker, single_tracker
from tests.support.dbus_flashmq import DbusFlashmq, Message, payload_of
from tests.support.gx import PORTAL_ID, StandInGx, close_client
from tests.support.mosquitto import (
    Certificate,
    Login,
    Mosquitto,
    ProgramFailed,
    ProgramMissing,
    make_certificate,
)

TIMEOUT_S = 10.0

SERIAL = "system/0/Serial"
COMPLETED = "full_publish_completed"
HEARTBEAT = "heartbeat"
FENCE = "fence"

FULL = b""
SUPPRESS = b'{ "keepalive-options" : ["suppress-republish"] }'
ECHO = b'{ "keepalive-options" : [ {"full-publish-completed-echo": "abc"} ] }'


class Received(NamedTuple):
    """A message, its topic without `N/<portal>/`."""

    path: str
    payload: bytes
    retain: bool


class Listener:
    """A client on the broker's port that keeps all it hears from one GX, in order."""

    def __init__(
        self,
        broker: Mosquitto,
        *,
        login: Login | None = None,
        certificate: Certificate | None = None,
        portal_id: str = PORTAL_ID,
    ) -> None:
        self._broker = broker
        self._portal_id = portal_id
        self._changed = threading.Condition()
        self._received: list[Received] = []
        self._answer: ReasonCode | None = None
        self._subscriptions = 0
        self._fences = 0
        # A refused client that tries again would keep its thread, and the test, for a second.
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        if login is not None:
            self._client.username_pw_set(login.user, login.password)
        if certificate is not None:
            self._client.tls_set_context(_context_trusting(certificate))

    def __enter__(self) -> Self:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        self._wait(lambda: self._answer is not None)
        if self.answer == "Success":
            self.wait_for_subscription(1)
        return self

    def __exit__(self, *_: object) -> None:
        close_client(self._client)

    @property
    def answer(self) -> str:
        """Returns what the broker said to the last connection attempt, as paho names it."""
        return str(self._answer)

    def keepalive(self, payload: bytes) -> None:
        """Ask the GX to publish."""
        self.publish(f"R/{self._portal_id}/keepalive", payload)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish anything."""
        self._client.publish(topic, payload)

    def take(self) -> list[Received]:
        """All that was heard since the last time."""
        with self._changed:
            taken, self._received = self._received, []
        return taken

    def take_until(self, path: str) -> list[Received]:
        """Wait for a message on this path and take all up to now."""
        self._wait(lambda: any(received.path == path for received in self._received))
        return self.take()

    def take_all_published(self, gx: StandInGx) -> list[Received]:
        """All that the GX has published up to now, and not a message more.

        Messages of one client arrive in order, so a last one of our own marks the end.
        """
        gx.publish_raw(FENCE, b"")
        return [received for received in self.take_until(FENCE) if received.path != FENCE]

    def wait_for_subscription(self, count: int) -> None:
        """Return when the broker has taken the subscription for the count-th time."""
        self._wait(lambda: self._subscriptions >= count)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, TIMEOUT_S):
                raise TimeoutError(f"not within {TIMEOUT_S:g} s; heard {self._received}")

    def _on_connect(
        self, client: mqtt.Client, _userdata: object, _flags: object, reason: ReasonCode, _: object
    ) -> None:
        if not reason.is_failure:
            client.subscribe(f"N/{self._portal_id}/#")
        with self._changed:
            self._answer = reason
            self._changed.notify_all()

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscriptions += 1
            self._changed.notify_all()

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        path = message.topic.removeprefix(f"N/{self._portal_id}/")
        with self._changed:
            self._received.append(Received(path, bytes(message.payload), bool(message.retain)))
            self._changed.notify_all()


def _context_trusting(certificate: Certificate) -> ssl.SSLContext:
    """Takes this very certificate and no other; the name in it is not looked at."""
    context = ssl.create_default_context(cafile=certificate.certificate_file)
    context.check_hostname = False
    return context


def _without_heartbeats(messages: Iterable[Received]) -> list[Received]:
    """The rest. How many heartbeats fall into a test depends on how fast the machine is."""
    return [message for message in messages if message.path != HEARTBEAT]


def _paths(messages: Iterable[Received]) -> list[str]:
    return [message.path for message in _without_heartbeats(messages)]


# A charger small enough to be written out in an assertion, and how its values look on the wire.
CHARGER = {"Pv/V": 62.54, "State": 252, "Serial": "HQ2211AAAA1"}
CHARGER_PUBLISHED = {
    Received("solarcharger/277/Pv/V", b'{"value":62.54}', False),
    Received("solarcharger/277/State", b'{"value":252}', False),
    Received("solarcharger/277/Serial", b'{"value":"HQ2211AAAA1"}', False),
}
CHARGER_GONE = {Received(path, b"", False) for path, _, _ in CHARGER_PUBLISHED}
PORTAL_ID_PAYLOAD = f'{{"value":"{PORTAL_ID}"}}'.encode()


@pytest.fixture
def gx(mosquitto: Mosquitto) -> Iterator[StandInGx]:
    """A sleeping GX with one small charger, `solarcharger/277`."""
    with StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, CHARGER)
        yield gx


@pytest.fixture
def listener(mosquitto: Mosquitto, gx: StandInGx) -> Iterator[Listener]:
    """A client that has heard the retained Serial and nothing else."""
    del gx  # it only has to be there first
    with Listener(mosquitto) as listener:
        assert [message.path for message in listener.take_until(SERIAL)] == [SERIAL]
        yield listener


def _wake(gx: StandInGx, listener: Listener, payload: bytes = FULL) -> None:
    """Send the first keepalive and let everything that follows it pass by."""
    listener.keepalive(payload)
    gx.wait_for_keepalive(1)
    listener.take_all_published(gx)


class TestAsleep:
    """Without a keepalive."""

    def test_the_portal_id_is_retained(self, mosquitto: Mosquitto, gx: StandInGx) -> None:
        """A client that comes later gets the id at once, marked as retained."""
        with Listener(mosquitto) as first:
            first.take_until(SERIAL)
            with Listener(mosquitto) as second:
                assert second.take_until(SERIAL) == [Received(SERIAL, PORTAL_ID_PAYLOAD, True)]
        assert gx.keepalives == []

    def test_nothing_else_is_published(self, gx: StandInGx, listener: Listener) -> None:
        """Neither changes, nor new services, nor heartbeats."""
        gx.set("solarcharger", 277, "Pv/V", 70.5)
        gx.add("solarcharger", 278, CHARGER)
        assert listener.take_all_published(gx) == []
        assert not gx.awake

    def test_a_device_that_leaves_is_heard(self, gx: StandInGx, listener: Listener) -> None:
        """The zero-length payloads come even to those who asked for nothing."""
        gx.remove("solarcharger", 277)
        assert set(listener.take_all_published(gx)) == CHARGER_GONE

    def test_a_device_that_returns_is_not(self, gx: StandInGx, listener: Listener) -> None:
        """It comes with the next full publish."""
        gx.remove("solarcharger", 277)
        listener.take_all_published(gx)
        gx.add("solarcharger", 277, CHARGER)
        assert listener.take_all_published(gx) == []
        listener.keepalive(FULL)
        assert set(listener.take_until(COMPLETED)) >= CHARGER_PUBLISHED


class TestFullPublish:
    """An empty keepalive, or one with other options."""

    def test_every_value_comes_before_completed(self, gx: StandInGx, listener: Listener) -> None:
        """All services' values, not retained, then the end mark, then the first heartbeat."""
        gx.add("multi", 1, {"Pv/0/V": 310.32})
        listener.keepalive(FULL)
        gx.wait_for_keepalive(1)
        *values, completed, heartbeat = listener.take_all_published(gx)
        assert set(values) == {
            *CHARGER_PUBLISHED,
            Received("multi/1/Pv/0/V", b'{"value":310.32}', False),
            Received(SERIAL, PORTAL_ID_PAYLOAD, False),
        }
        assert len(values) == len(set(values))
        assert completed.path == COMPLETED
        assert heartbeat.path == HEARTBEAT
        assert gx.keepalives == [FULL]
        assert gx.full_publishes == 1

    def test_the_order_is_arbitrary_but_repeatable(self) -> None:
        """Two seeds, two orders; one seed, one order."""
        orders = [_order_of_full_publish(seed) for seed in (1, 1, 2)]
        assert orders[0] == orders[1]
        assert orders[0] != orders[2]
        assert sorted(orders[0]) == sorted(orders[2])

    def test_nothing_but_the_portal_id_stays_behind(
        self, mosquitto: Mosquitto, gx: StandInGx, listener: Listener
    ) -> None:
        """Values are not retained: a later client has to ask for itself."""
        _wake(gx, listener)
        with Listener(mosquitto) as late:
            late.take_until(SERIAL)
            assert _without_heartbeats(late.take_all_published(gx)) == []

    @pytest.mark.parametrize(
        ("keepalive", "answer"),
        [
            pytest.param(FULL, {}, id="empty"),
            pytest.param(ECHO, {"full-publish-completed-echo": "abc"}, id="echo"),
            pytest.param(b"not JSON", {}, id="not JSON"),
            pytest.param(b"\xff", {}, id="not UTF-8"),
            pytest.param(b"[]", {}, id="list of topics, as old clients send it"),
            pytest.param(ECHO.replace(b'"abc"', b"7"), {}, id="echo is no text"),
            pytest.param(ECHO.replace(b"keepalive-options", b"other"), {}, id="other options"),
        ],
    )
    def test_the_end_mark_echoes(
        self, gx: StandInGx, listener: Listener, keepalive: bytes, answer: dict[str, object]
    ) -> None:
        """Whatever the payload is, it is answered; a text to echo comes back."""
        before = int(time.time())
        listener.keepalive(keepalive)
        gx.wait_for_keepalive(1)
        completed = json.loads(_payload_on(COMPLETED, listener.take_until(COMPLETED)))
        assert before <= completed.pop("value") <= time.time()
        assert completed == answer

    def test_the_end_mark_is_printed_compactly(self, gx: StandInGx, listener: Listener) -> None:
        """As dbus-flashmq does: no blanks, keys sorted."""
        listener.keepalive(ECHO)
        completed = _payload_on(COMPLETED, listener.take_until(COMPLETED))
        assert re.fullmatch(rb'\{"full-publish-completed-echo":"abc","value":\d+\}', completed)
        assert gx.full_publishes == 1

    def test_old_firmware_does_not_echo(self, mosquitto: Mosquitto) -> None:
        """Before Venus OS 3.50 the end mark holds the time only."""
        with StandInGx(mosquitto, echo=False), Listener(mosquitto) as listener:
            listener.keepalive(ECHO)
            completed = _payload_on(COMPLETED, listener.take_until(COMPLETED))
            assert json.loads(completed).keys() == {"value"}

    def test_a_fourth_within_a_second_is_refused(self, mosquitto: Mosquitto) -> None:
        """It gets neither values nor the end mark; a second later all is well again."""
        with StandInGx(mosquitto, heartbeat_s=0.05) as gx, Listener(mosquitto) as listener:
            for _ in range(4):
                listener.keepalive(FULL)
            gx.wait_for_keepalive(4)
            paths = _paths(listener.take_all_published(gx))
            assert paths.count(COMPLETED) == gx.full_publishes == 3
            # The retained one, and one in each full publish.
            assert paths.count(SERIAL) == 1 + 3
            deadline_s = time.monotonic() + TIMEOUT_S
            while gx.full_publishes == 3 and time.monotonic() < deadline_s:
                listener.take_until(HEARTBEAT)  # sets the pace
                before = len(gx.keepalives)
                listener.keepalive(FULL)
                gx.wait_for_keepalive(before + 1)
            assert gx.full_publishes == 4


class TestAwake:
    """Within 60 s of a keepalive."""

    def test_suppress_republish_wakes_changes_only(self, gx: StandInGx, listener: Listener) -> None:
        """No values, no end mark: a client that begins with it never learns the rest."""
        listener.keepalive(SUPPRESS)
        gx.wait_for_keepalive(1)
        gx.set("solarcharger", 277, "Pv/V", 70.5)
        assert _without_heartbeats(listener.take_all_published(gx)) == [
            Received("solarcharger/277/Pv/V", b'{"value":70.5}', False)
        ]
        assert gx.full_publishes == 0

    def test_only_changes_are_published(self, gx: StandInGx, listener: Listener) -> None:
        """The same value again is none; the same number as a float is one."""
        _wake(gx, listener)
        for state in (252, 3, 3, 3.0, None):
            gx.set("solarcharger", 277, "State", state)
        assert [
            message.payload for message in _without_heartbeats(listener.take_all_published(gx))
        ] == [b'{"value":3}', b'{"value":3.0}', b'{"value":null}']

    def test_a_device_that_leaves_and_returns(self, gx: StandInGx, listener: Listener) -> None:
        """First its topics are emptied, then all come in one burst, without an end mark."""
        _wake(gx, listener)
        gx.remove("solarcharger", 277)
        gx.add("solarcharger", 277, CHARGER)
        messages = _without_heartbeats(listener.take_all_published(gx))
        assert set(messages[: len(CHARGER)]) == CHARGER_GONE
        assert set(messages[len(CHARGER) :]) == CHARGER_PUBLISHED

    def test_the_heart_beats(self, mosquitto: Mosquitto) -> None:
        """At once, then at the set interval."""
        with StandInGx(mosquitto, heartbeat_s=0.1), Listener(mosquitto) as listener:
            asked_at_s = time.monotonic()
            listener.keepalive(SUPPRESS)
            heartbeats: list[Received] = []
            while len(heartbeats) < 3:
                heartbeats += [m for m in listener.take_until(HEARTBEAT) if m.path == HEARTBEAT]
            assert time.monotonic() - asked_at_s >= 0.2
            assert abs(json.loads(heartbeats[0].payload)["value"] - time.time()) < TIMEOUT_S

    def test_it_falls_asleep(self, mosquitto: Mosquitto) -> None:
        """After the set time, without a word; from then on changes are silent."""
        with StandInGx(mosquitto, awake_s=0.2) as gx, Listener(mosquitto) as listener:
            gx.add("solarcharger", 277, CHARGER)
            asked_at_s = time.monotonic()
            _wake(gx, listener)
            gx.wait_until_asleep()
            assert time.monotonic() - asked_at_s >= 0.2
            gx.set("solarcharger", 277, "Pv/V", 70.5)
            assert listener.take_all_published(gx) == []

    def test_suppress_republish_prolongs(self, mosquitto: Mosquitto) -> None:
        """The time counts from the last keepalive, whatever it says."""
        with StandInGx(mosquitto, awake_s=0.2) as gx, Listener(mosquitto) as listener:
            _wake(gx, listener)
            prolonged_at_s = time.monotonic()
            listener.keepalive(SUPPRESS)
            gx.wait_for_keepalive(2)
            gx.wait_until_asleep()
            assert time.monotonic() - prolonged_at_s >= 0.2
            assert gx.full_publishes == 1


class TestHoursInNoTime:
    """The real intervals, with time handed in."""

    def test_awake_for_60_s_with_a_heartbeat_every_3_s(self) -> None:
        """Beats at 0, 3, ... 57 s. At 60 s it sleeps, and nothing is due ever after."""
        gx = _dbus_flashmq()
        beats_at_s = [0.0 for message in gx.keepalive(SUPPRESS, 0.0)]
        while (deadline_s := gx.next_deadline_s()) is not None:
            beats_at_s += [deadline_s for _ in gx.tick(deadline_s)]
        assert beats_at_s == [3.0 * beat for beat in range(20)]
        assert not gx.awake

    def test_a_keepalive_does_not_disturb_the_heartbeat(self) -> None:
        """Keepalives every 30 s for a minute and a half: the beat stays every 3 s."""
        gx = _dbus_flashmq()
        gx.keepalive(SUPPRESS, 0.0)
        beats_at_s: list[float] = []
        for second in range(1, 91):
            if second % 30 == 1:
                assert gx.keepalive(SUPPRESS, second) == []
            beats_at_s += [second for _ in gx.tick(second)]
        assert beats_at_s == [3.0 * beat for beat in range(1, 31)]

    def test_three_full_publishes_in_any_second(self) -> None:
        """A fourth is answered once the first is a second old; refused ones do not count."""
        gx = _dbus_flashmq()
        asked_at_s = [0.0, 0.4, 0.8, 0.9, 0.99, 1.0, 1.1, 1.4]
        answered_at_s = [now_s for now_s in asked_at_s if _is_completed(gx.keepalive(FULL, now_s))]
        assert answered_at_s == [0.0, 0.4, 0.8, 1.0, 1.4]

    def test_a_refused_keepalive_keeps_awake_all_the_same(self) -> None:
        """Only the values are limited."""
        gx = _dbus_flashmq()
        for _ in range(3):
            gx.keepalive(FULL, 0.0)
        gx.keepalive(FULL, 0.5)
        gx.tick(60.0)
        assert gx.awake
        gx.tick(60.5)
        assert not gx.awake


class TestOutsiders:
    """Tries what others publish, and what breaks."""

    def test_foreign_publishes_are_kept_apart(self, gx: StandInGx, listener: Listener) -> None:
        """Everything but a keepalive of this portal, and nothing of the stand-in's own."""
        foreign = [
            (f"W/{PORTAL_ID}/settings/0/Settings/Gui/Brightness", b'{"value":1}'),
            (f"R/{PORTAL_ID}/system/0/Serial", b""),
            ("R/0123456789ab/keepalive", b""),
            (f"N/{PORTAL_ID}/solarcharger/277/State", b'{"value":0}'),
        ]
        _wake(gx, listener)
        for topic, payload in foreign:
            listener.publish(topic, payload)
        listener.keepalive(SUPPRESS)
        gx.wait_for_keepalive(2)
        assert gx.foreign_publishes == foreign
        assert gx.keepalives == [FULL, SUPPRESS]

    def test_another_portal_id_gets_silence(self, mosquitto: Mosquitto, gx: StandInGx) -> None:
        """No error either; each of two stand-ins on one broker answers for itself."""
        other_id = "0123456789ab"
        with (
            StandInGx(mosquitto, portal_id=other_id) as other,
            Listener(mosquitto, portal_id=other_id) as listener,
        ):
            listener.keepalive(FULL)
            assert COMPLETED in _paths(listener.take_until(COMPLETED))
            assert other.full_publishes == 1
            assert gx.keepalives == []

    def test_a_frozen_gx_hears_and_does_nothing(self, gx: StandInGx, listener: Listener) -> None:
        """No answer, no changes; thawed, it goes on with what is true by then."""
        _wake(gx, listener)
        gx.freeze()
        gx.set("solarcharger", 277, "Pv/V", 70.5)
        gx.remove("solarcharger", 277)
        listener.keepalive(FULL)
        gx.wait_for_keepalive(2)
        assert listener.take_all_published(gx) == []
        assert gx.full_publishes == 1
        gx.thaw()
        gx.add("solarcharger", 277, {"State": 3})
        assert _without_heartbeats(listener.take_all_published(gx)) == [
            Received("solarcharger/277/State", b'{"value":3}', False)
        ]

    @pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill])
    def test_a_broker_restart(
        self, mosquitto: Mosquitto, gx: StandInGx, end: Callable[[Mosquitto], None]
    ) -> None:
        """The same port, a new process; the GX is back with its id and its values, asleep."""
        port, process_id = mosquitto.port, mosquitto.process_id
        with Listener(mosquitto) as listener:
            _wake(gx, listener)
        end(mosquitto)
        mosquitto.start()
        gx.wait_for_connection(2)
        assert mosquitto.port == port
        assert mosquitto.process_id != process_id
        with Listener(mosquitto) as listener:
            assert _payload_on(SERIAL, listener.take_until(SERIAL)) == PORTAL_ID_PAYLOAD
            gx.set("solarcharger", 277, "State", 3)
            assert listener.take_all_published(gx) == []
            listener.keepalive(FULL)
            assert (
                _payload_on("solarcharger/277/State", listener.take_until(COMPLETED))
                == b'{"value":3}'
            )
        assert gx.foreign_publishes == []

    def test_no_broker_no_message(self, mosquitto: Mosquitto, gx: StandInGx) -> None:
        """While the broker is away, devices come and go unheard; a raw message is an error."""
        mosquitto.stop()
        with pytest.raises(TimeoutError, match="expected 2 connections"):
            gx.wait_for_connection(2, timeout_s=0.05)
        gx.remove("solarcharger", 277)
        with pytest.raises(ConnectionError, match="wait_for_connection"):
            gx.publish_raw(FENCE, b"")
        mosquitto.start()
        gx.wait_for_connection(2)
        with Listener(mosquitto) as listener:
            listener.keepalive(FULL)
            assert set(_paths(listener.take_until(COMPLETED))) == {SERIAL, COMPLETED}

    def test_misuse_is_told(self, gx: StandInGx) -> None:
        """A test that got its devices wrong does not go on in silence."""
        with pytest.raises(ValueError, match="is on the bus already"):
            gx.add("solarcharger", 277, {})
        with pytest.raises(ValueError, match="is not on the bus"):
            gx.set("solarcharger", 278, "State", 3)
        with pytest.raises(ValueError, match="is not on the bus"):
            gx.remove("solarcharger", 278)
        with pytest.raises(ValueError, match="'Pv/V'"):
            gx.set("solarcharger", 277, "/Pv/V", 70.5)


class TestDoors:
    """Tries who may connect to the mosquitto. The stand-in always may."""

    LOGIN = Login(user="gx", password="network password")

    @pytest.mark.parametrize(
        ("login", "answer"),
        [
            pytest.param(LOGIN, "Success", id="right"),
            pytest.param(Login(user="gx", password="x"), "Not authorized", id="wrong"),
            pytest.param(None, "Not authorized", id="none"),
        ],
    )
    def test_a_login_is_asked_for(self, login: Login | None, answer: str) -> None:
        """Anything but the right one is refused with return code 5, which paho names so."""
        with (
            Mosquitto(login=self.LOGIN) as mosquitto,
            StandInGx(mosquitto),
            Listener(mosquitto, login=login) as listener,
        ):
            assert listener.answer == answer

    def test_tls_with_a_certificate_like_the_gx_makes(self, tmp_path: Path) -> None:
        """Whoever pins the certificate gets in."""
        certificate = make_certificate(tmp_path)
        with (
            Mosquitto(certificate=certificate, login=self.LOGIN) as mosquitto,
            StandInGx(mosquitto),
            Listener(mosquitto, certificate=certificate, login=self.LOGIN) as listener,
        ):
            assert _paths(listener.take_until(SERIAL)) == [SERIAL]

    def test_the_certificate_names_venus_local_only(self, tmp_path: Path) -> None:
        """As a CA file it verifies for its name and fails for the address."""
        certificate = make_certificate(tmp_path)
        context = ssl.create_default_context(cafile=certificate.certificate_file)
        with Mosquitto(certificate=certificate) as mosquitto:
            with (
                _connect(mosquitto) as plain,
                context.wrap_socket(plain, server_hostname="venus.local") as encrypted,
            ):
                subject = encrypted.getpeercert()
            with (
                _connect(mosquitto) as plain,
                pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
            ):
                context.wrap_socket(plain, server_hostname=mosquitto.host)
        assert subject is not None
        assert "subjectAltName" not in subject

    def test_a_stopped_broker_refuses_connections(self, mosquitto: Mosquitto) -> None:
        """Its port is closed, as on a GX with MQTT access switched off."""
        mosquitto.stop()
        with pytest.raises(ConnectionRefusedError):
            _connect(mosquitto)

    def test_a_port_lost_to_another_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next one is tried."""
        sample = random.sample
        with Mosquitto() as first:
            monkeypatch.setattr(
                "random.sample",
                lambda ports, k: [first.port, *sample(ports, k=k - 1)],
            )
            with Mosquitto() as second:
                assert second.port != first.port
                with _connect(first), _connect(second):
                    pass

    def test_a_broken_configuration_is_shown(self) -> None:
        """With what mosquitto has to say about it."""
        with pytest.raises(ProgramFailed, match="no_such_option"):
            Mosquitto(extra_lines=["no_such_option true"]).__enter__()

    def test_a_missing_program_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the package that brings it."""
        monkeypatch.setattr("shutil.which", lambda _name, path: None)
        with pytest.raises(ProgramMissing, match="apt-get install mosquitto"):
            Mosquitto().__enter__()


class TestRawMessages:
    """Bytes that no dbus-flashmq would publish, and bytes that one did."""

    def test_raw_bytes_go_out_as_they_are(self, gx: StandInGx, listener: Listener) -> None:
        """Asleep too, and beside what is known of the path."""
        gx.publish_raw("solarcharger/277/Pv/V", b'{"value":NaN')
        assert listener.take_all_published(gx) == [
            Received("solarcharger/277/Pv/V", b'{"value":NaN', False)
        ]

    def test_a_recording_is_played(self, gx: StandInGx, listener: Listener, tmp_path: Path) -> None:
        """Every message with its bytes, in its order, no sooner than the recording says."""
        recording = tmp_path / "recording.jsonl.gz"
        _record(
            recording,
            {"recording": 1, "started_at": "2026-11-23T09:12:33.934+00:00"},
            {"t": 0.0, "event": "connected"},
            _recorded(0.0, SERIAL, payload=PORTAL_ID_PAYLOAD.decode(), retain=True),
            _recorded(0.1, "solarcharger/0/CustomName", payload='{"value":"Süd"}'),
            _recorded(0.3, "solarcharger/0/Serial", payload_base64="/w=="),
            _recorded(0.4, "solarcharger/0/Serial", payload=""),
        )
        started_at_s = time.monotonic()
        gx.play(recording, speed=4.0)
        assert time.monotonic() - started_at_s >= 0.1
        assert listener.take_all_published(gx) == [
            Received(SERIAL, PORTAL_ID_PAYLOAD, False),
            Received("solarcharger/0/CustomName", '{"value":"Süd"}'.encode(), False),
            Received("solarcharger/0/Serial", b"\xff", False),
            Received("solarcharger/0/Serial", b"", False),
        ]
        assert gx.foreign_publishes == []


class TestValues:
    """Tries how values look on the wire, and what chargers say."""

    @pytest.mark.parametrize(
        ("value", "payload"),
        [
            (62.54, '{"value":62.54}'),
            (62.540000915527344, '{"value":62.540000915527344}'),
            (5.0, '{"value":5.0}'),
            (1e-07, '{"value":1e-07}'),
            (252, '{"value":252}'),
            ("Süddach", '{"value":"Süddach"}'),
            ("", '{"value":""}'),
            ([0, 0, 45], '{"value":[0,0,45]}'),
            (True, '{"value":true}'),
            ({"default": "a", "b": 1}, '{"value":{"b":1,"default":"a"}}'),
            (None, '{"value":null}'),
            (float("nan"), '{"value":null}'),
            (float("inf"), '{"value":null}'),
        ],
    )
    def test_payloads_are_printed_as_dbus_flashmq_does(self, value: object, payload: str) -> None:
        """Each of these was seen on the wire, or has a rule in docs/gx.md."""
        assert payload_of(value) == payload.encode()

    def test_a_single_tracker_has_no_numbered_one(self) -> None:
        """`Pv/V` and `Yield/Power` are all it says about its panels."""
        values = single_tracker(voltage_v=62.5, power_w=250.0)
        assert (values["Pv/V"], values["Yield/Power"], values["NrOfTrackers"]) == (62.5, 250.0, 1)
        assert not any(path.startswith("Pv/0/") for path in values)

    def test_old_firmware_does_not_know_some_paths(self) -> None:
        """Not null: absent."""
        assert single_tracker().keys() - single_tracker(old_firmware=True).keys() == {
            "CustomName",
            "NrOfTrackers",
        }

    def test_several_trackers_are_numbered(self) -> None:
        """From 0, with the sum as the charger's power and without `Pv/V`."""
        values = multi_tracker(
            [
                TrackerValues(name="East", voltage_v=310.0, power_w=1000.0),
                TrackerValues(name=None, voltage_v=0.5, power_w=0.0, enabled=False),
            ]
        )
        assert values["NrOfTrackers"] == 2
        assert values["Yield/Power"] == 1000.0
        assert (values["Pv/0/Name"], values["Pv/0/V"], values["Pv/0/P"]) == ("East", 310.0, 1000.0)
        assert (values["Pv/0/Enabled"], values["Pv/1/Enabled"]) == (1, 0)
        assert "Pv/V" not in values


def _dbus_flashmq(seed: int = 0) -> DbusFlashmq:
    return DbusFlashmq(portal_id=PORTAL_ID, awake_s=60.0, heartbeat_s=3.0, echo=True, seed=seed)


def _order_of_full_publish(seed: int) -> list[str]:
    gx = _dbus_flashmq(seed)
    gx.add("solarcharger", 277, single_tracker())
    return [message.topic for message in gx.keepalive(FULL, 0.0)]


def _is_completed(messages: Iterable[Message]) -> bool:
    return any(message.topic.endswith(COMPLETED) for message in messages)


def _payload_on(path: str, messages: Iterable[Received]) -> bytes:
    """The payload of the one message on this path."""
    (payload,) = [message.payload for message in messages if message.path == path]
    return payload


def _connect(mosquitto: Mosquitto) -> socket.socket:
    return socket.create_connection((mosquitto.host, mosquitto.port), timeout=TIMEOUT_S)


def _recorded(seconds: float, path: str, *, retain: bool = False, **payload: str) -> object:
    """A message as it stands in a recording; `payload` or `payload_base64` is its payload."""
    topic = f"N/{PORTAL_ID}/{path}"
    return {"t": seconds, "topic": topic, **payload, "retain": retain, "qos": 0}


def _record(path: Path, *records: object) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(f"{json.dumps(record)}\n" for record in records)
