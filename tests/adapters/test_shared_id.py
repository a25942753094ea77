"""Tests two clients with one id, which the broker disconnects by turns: found and named."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_http_bridge.adapters.broker import broker as broker_module
from mqtt_http_bridge.adapters.broker import shared_id
from mqtt_http_bridge.adapters.broker.reconnect_delay import Outcome
from mqtt_http_bridge.adapters.broker.shared_id import AGAIN_AFTER, MOST_SHORT, SharedId, Trial
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.events import Connected, Disconnected
from mqtt_http_bridge.core.settings import MqttSettings
from tests.adapters.test_broker import TIMEOUT_S, Ear, listening, settings_for
from tests.support.mosquitto import Login, Mosquitto
from tests.support.mqtt_packets import CONNACK
from tests.support.peer import Peer


@contextmanager
def rival(broker: Mosquitto) -> Iterator[None]:
    """Another client with the id of ours, that connects again whenever it is thrown off."""
    stopping = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "ear", reconnect_on_failure=False)
    if broker.login is not None:
        client.username_pw_set(broker.login.user, broker.login.password)

    def fight() -> None:
        while not stopping.is_set():
            client.connect("127.0.0.1", broker.port)
            while not stopping.is_set() and client.loop(0.05) == paho.MQTT_ERR_SUCCESS:
                pass
            stopping.wait(0.05)
        client.disconnect()
        client.loop(0.1)

    thread = threading.Thread(target=fight, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(TIMEOUT_S)


def failures(ear: Ear, until: Cause) -> list[Cause]:
    """Returns how the connections ended, up to the first that ended so."""
    found: list[Cause] = []
    while until not in found:
        event = ear._events.get(timeout=TIMEOUT_S)
        if isinstance(event, Disconnected):
            found.append(event.failure.cause)
        assert len(found) < 2 * AGAIN_AFTER, found
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that takes half a second: the rival comes back after a twentieth."""
    monkeypatch.setattr(shared_id, "LEAST_TRIAL_S", 0.5)


@pytest.mark.parametrize("login", [None, Login(user="gx", password="pass")])
def test_another_client_with_our_id(login: Login | None, quick: None) -> None:
    """It is named after three times and a trial, as long as it goes on; then all is as before."""
    with Mosquitto(login=login) as broker, listening(settings_for(broker)) as ear:
        ear.hear(Connected)
        with rival(broker):
            found = failures(ear, Cause.TAKEN_OVER)
            assert found == [Cause.LOST] * MOST_SHORT + [Cause.TAKEN_OVER]
            ear.hear(Connected)
            assert ear.hear(Disconnected).failure.cause is Cause.TAKEN_OVER
        ear.wait_for_connection()


def test_a_broker_that_restarts_again_and_again(mosquitto: Mosquitto, quick: None) -> None:
    """Nobody takes anything over, and nothing is claimed."""
    with listening(settings_for(mosquitto)) as ear:
        for _ in range(MOST_SHORT):
            ear.wait_for_connection()
            mosquitto.kill()
            assert ear.hear(Disconnected).failure.cause is Cause.LOST
            mosquitto.start()
        ear.wait_for_connection()
        assert ear.hears_nothing(1.0)


def test_a_broker_that_cuts_everybody_off() -> None:
    """It is not the id, and not said to be."""
    with Peer(CONNACK, hangs_up=True) as peer, listening(MqttSettings(port=peer.port)) as ear:
        found = failures(ear, Cause.CUT_OFF)
        assert found == [Cause.LOST] * MOST_SHORT + [Cause.CUT_OFF]


def test_a_trial_that_meets_no_broker() -> None:
    """A peer that speaks no MQTT tells nothing, and ends nothing."""
    with Peer(CONNACK + b"\x90\x00", hangs_up=True) as peer:
        ear = Ear(MqttSettings(port=peer.port), lambda topic: True, None)
        assert ear.broker._try_another_id() is not Trial.HELD
    assert ear.broker._try_another_id() is Trial.NONE


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), ConfigError("mqtt.ca_file: gone")]
)
def test_a_trial_for_which_there_is_no_client(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever this machine refuses meanwhile: the thread goes on under its own id."""
    ear = Ear(MqttSettings(), lambda topic: True, None)

    def refuse(*_: object, **__: object) -> paho.Client:
        raise error

    monkeypatch.setattr(broker_module, "make_client", refuse)
    assert ear.broker._try_another_id() is Trial.NONE


def test_the_end_in_a_trial(mosquitto: Mosquitto) -> None:
    """A stop is not held up."""
    with listening(settings_for(mosquitto)) as ear:
        for _ in range(MOST_SHORT):
            ear.wait_for_connection()
            mosquitto.kill()
            ear.hear(Disconnected)
            mosquitto.start()
        ear.broker.stop(2.0)
        assert not ear.broker._thread.is_alive()


# --- what is counted -----------------------------------------------------------------------------

LOST = BrokerFailure(Cause.LOST, detail="Unspecified error")
SOON_S = 5.0


def ended(after_s: float, *, is_cut_off: bool = True) -> Outcome:
    """A connection that has ended at 1000 s, after so long."""
    outcome = Outcome()
    outcome.connected_s, outcome.failure = 1000.0 - after_s, LOST
    outcome.is_cut_off = is_cut_off
    return outcome


def failure_noted(seen: SharedId, outcome: Outcome) -> BrokerFailure:
    """Returns what becomes of its failure."""
    seen.note(outcome, 1000.0)
    return outcome.failure


def test_what_is_tried() -> None:
    """Three in a row that were cut off soon; attempts that failed in between do not count."""
    seen = SharedId()
    for other in (Outcome(), ended(shared_id.SHORT_S), ended(SOON_S, is_cut_off=False)):
        for _ in range(MOST_SHORT - 1):
            seen.note(ended(SOON_S), 1000.0)
            assert not seen.is_to_be_tried
        if other.connected_s is None:
            seen.note(other, 1000.0)
            seen.note(ended(SOON_S), 1000.0)
            assert seen.is_to_be_tried
            seen.note(ended(shared_id.SHORT_S), 1000.0)
        seen.note(other, 1000.0)
        assert not seen.is_to_be_tried


def test_a_trial_is_twice_as_long_as_the_others() -> None:
    """And never short: what is thrown off takes its time to come back."""
    seen = SharedId()
    seen.note(ended(0.1), 1000.0)
    assert seen.trial_s == shared_id.LEAST_TRIAL_S
    seen.note(ended(60.0), 1000.0)
    seen.note(ended(20.0), 1000.0)
    assert seen.trial_s == 120.0


def test_where_nothing_comes_out() -> None:
    """It is tried again later, and each failure is told as it is."""
    seen = SharedId()
    for _ in range(MOST_SHORT):
        seen.note(ended(SOON_S), 1000.0)
    seen.take_in(Trial.NONE)
    for _ in range(AGAIN_AFTER):
        assert not seen.is_to_be_tried
        assert failure_noted(seen, ended(SOON_S)) == LOST
    assert seen.is_to_be_tried


@pytest.mark.parametrize(
    ("trial", "cause"), [(Trial.HELD, Cause.TAKEN_OVER), (Trial.CUT_OFF, Cause.CUT_OFF)]
)
def test_what_was_found_holds_until_a_connection_does(trial: Trial, cause: Cause) -> None:
    """Then it begins anew."""
    seen = SharedId()
    seen.take_in(trial)
    for _ in range(2 * AGAIN_AFTER):
        assert failure_noted(seen, ended(SOON_S)) == BrokerFailure(cause)
        assert not seen.is_to_be_tried
    for after_s in (shared_id.SHORT_S, SOON_S):
        assert failure_noted(seen, ended(after_s)) == LOST
