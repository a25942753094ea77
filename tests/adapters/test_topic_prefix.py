"""Tests a broker with a topic prefix: mosquitto's own bridge, between a GX and us."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_http_bridge.adapters.broker import client as client_module
from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.app.replay import play
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import Connected, Event, Message, SubscriptionRefused
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.keepalive import full_keepalive
from tests.adapters.test_broker import Ear, listening
from tests.support.gx import PORTAL_ID, StandInGx, close_client
from tests.support.mirror import mirror_of
from tests.support.mosquitto import HOST, Mosquitto
from tests.support.peer import Peer
from tests.support.places import GOLDEN, RECORDINGS

PREFIX = "home/venus"
SETTINGS = Settings(backend=None, outbox=OutboxSettings(""))
AT_ONCE = 100
both_readers = pytest.mark.parametrize("is_bulk", [True, False], ids=["bulk", "stock"])


@pytest.fixture(autouse=True)
def _reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `is_bulk`, paho reads by itself."""
    callspec = getattr(request.node, "callspec", None)
    if callspec and callspec.params.get("is_bulk") is False:
        monkeypatch.setattr(client_module, "lacking_in", lambda client: ["_sock_recv"])


@pytest.fixture
def mirror(mosquitto: Mosquitto) -> Iterator[Mosquitto]:
    """The GX's broker, seen through a bridge."""
    with mirror_of(mosquitto, PREFIX) as mirror:
        yield mirror


def behind(mirror: Mosquitto) -> MqttSettings:
    """The settings for a mirror."""
    return MqttSettings(port=mirror.port, topic_prefix=PREFIX)


def heard(ear: Ear, count: int) -> list[Message]:
    """The next messages, so many of them."""
    return [ear.hear(Message) for _ in range(count)]


@both_readers
@pytest.mark.parametrize("name", ["two", "night"])
def test_a_recording_through_a_bridge_gives_the_same_bytes(
    mosquitto: Mosquitto, mirror: Mosquitto, name: str, is_bulk: bool
) -> None:
    """Every message goes through two real brokers and the prefix, and nothing is changed by it."""
    recorded = list(read_recording(RECORDINGS / f"{name}.jsonl.gz"))
    messages = [event for event in recorded if isinstance(event, Message)]
    everything = [(f"N/{portal_id}/#",) for portal_id in {m.topic.split("/")[1] for m in messages}]
    with listening(behind(mirror), wants=lambda topic: True, subscriptions=everything) as ear:
        ear.hear(Connected)
        came = through(mosquitto, ear, messages)
    assert [(m.topic, m.payload) for m in came] == [(m.topic, m.payload) for m in messages]
    assert bodies(with_messages(recorded, came)) == (GOLDEN / f"{name}.jsonl").read_bytes()


def through(broker: Mosquitto, ear: Ear, messages: list[Message]) -> list[Message]:
    """Publishes them as a GX, in order, and gives what comes of them.

    Some at a time: a broker drops what it cannot get rid of, for a listener that falls behind.
    """
    came = list[Message]()
    with publishing(broker) as publish:
        for start in range(0, len(messages), AT_ONCE):
            part = messages[start : start + AT_ONCE]
            for message in part:
                publish(message)
            came += heard(ear, len(part))
    return came


@contextmanager
def publishing(broker: Mosquitto) -> Iterator[Callable[[Message], object]]:
    """Lends what publishes as a GX does."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    is_connected = threading.Event()
    client.on_connect = lambda *_: is_connected.set()
    client.connect(HOST, broker.inside_port)
    client.loop_start()
    assert is_connected.wait(10.0)
    yield lambda message: client.publish(message.topic, message.payload, retain=message.retain)
    close_client(client)


def with_messages(recorded: list[Event], came: list[Message]) -> Iterator[Event]:
    """The recording with what came in the places of its messages, at their moments."""
    messages = iter(came)
    for event in recorded:
        if isinstance(event, Message):
            yield next(messages)._replace(moment=event.moment)
        else:
            yield event


def bodies(events: Iterator[Event]) -> bytes:
    """Returns the measurements that come of events: one a line, as it is posted."""
    return b"".join(
        to_body(command.measurement) + b"\n"
        for _, commands in play(Relay(SETTINGS), events)
        for command in commands
        if isinstance(command, Store)
    )


@both_readers
def test_a_gx_behind_a_bridge_is_woken_and_heard(
    mosquitto: Mosquitto, mirror: Mosquitto, is_bulk: bool
) -> None:
    """Its keepalives go out below the prefix, and nothing that is heard has it."""
    with (
        StandInGx(mosquitto) as gx,
        listening(
            behind(mirror),
            subscriptions=[topics.subscriptions(PORTAL_ID, ("solarcharger",))],
            speaker_of=topics.speaker_of,
        ) as ear,
    ):
        ear.hear(Connected)
        ear.broker.publish(f"R/{PORTAL_ID}/keepalive", full_keepalive("echo"))
        gx.wait_for_keepalive(1)
        assert gx.keepalives == [full_keepalive("echo")]
        said: list[str] = []
        for path, topic in (("Mode", ""), ("Pv/V", "Pv/V")):
            gx.publish_raw(f"solarcharger/0/{path}", b'{"value":1}')
            while f"N/{PORTAL_ID}/solarcharger/0/{topic}" not in said:
                said.append(ear.hear(Message).topic)
        assert {topic.split("/")[0] for topic in said} == {"N"}


@both_readers
def test_what_is_not_below_the_prefix_is_not_heard(mosquitto: Mosquitto, is_bulk: bool) -> None:
    """Another broker's topics beside it, or a prefix that merely begins so, are none of ours."""
    settings = MqttSettings(port=mosquitto.port, topic_prefix="venus")
    with listening(settings, wants=lambda topic: True) as ear:
        ear.hear(Connected)
        ear.broker._client.subscribe("#")  # Which the relay never does.
        one = f"N/{PORTAL_ID}/heartbeat"
        every = [one, f"venus2/{one}", f"x/venus/{one}", "venus", "venus/", f"venus/{one}"]
        moment = ear.broker._now()
        with publishing(mosquitto) as publish:
            for topic in every:
                publish(Message(moment, topic, b"{}"))
            assert ear.hear(Message).topic == one
        assert ear.hears_nothing(0.05)


def test_nothing_but_a_keepalive_goes_out_below_a_prefix(mosquitto: Mosquitto) -> None:
    """The prefix opens no way round the rule."""
    with listening(MqttSettings(port=mosquitto.port, topic_prefix="W/x")) as ear:
        ear.hear(Connected)
        for topic in (f"W/{PORTAL_ID}/x", f"W/x/R/{PORTAL_ID}/keepalive"):
            with pytest.raises(ValueError, match="expected a keepalive topic"):
                ear.broker.publish(topic, b"")


def test_what_is_refused_is_told_as_the_broker_has_it() -> None:
    """Its administrator looks into the broker's own rules."""
    let_in, refused = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"
    with (
        Peer(let_in + refused) as peer,
        listening(
            MqttSettings(port=peer.port, topic_prefix="venus"),
            subscriptions=[("N/+/system/0/Serial",)],
        ) as ear,
    ):
        ear.hear(Connected)
        assert ear.hear(SubscriptionRefused).topics == ("venus/N/+/system/0/Serial",)
