"""Tests anonymized recordings: they do not show whose they are, and give the same measurements."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.core.anonymize import Anonymizer
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import Event, Message
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.venus.paths import SERVICES
from tests.support.places import RECORDINGS
from tests.support.sayings import PORTAL_ID, payload_of

SERIAL_TOPIC = f"N/{PORTAL_ID}/solarcharger/277/Serial"
SETTINGS = Settings(backend=None, outbox=OutboxSettings(""), mqtt=MqttSettings(services=SERVICES))


def anonymized(topic: str, payload: bytes) -> tuple[str, bytes]:
    """The first message of a recording, anonymized."""
    anonymizer = Anonymizer()
    return anonymizer.topic(topic), anonymizer.payload(topic, payload)


def all_anonymized(events: Iterator[Event]) -> Iterator[Event]:
    """A whole recording, anonymized."""
    anonymizer = Anonymizer()
    for event in events:
        if isinstance(event, Message):
            topic = anonymizer.topic(event.topic)
            payload = anonymizer.payload(event.topic, event.payload)
            yield event._replace(topic=topic, payload=payload)
        else:
            yield event


def measurements_of(events: Iterator[Event]) -> list[Measurement]:
    """Returns what the relay makes of `events`."""
    relay = Relay(SETTINGS)
    commands = (command for event in events for command in relay.handle(event))
    return [command.measurement for command in commands if isinstance(command, Store)]


def without_names(measurement: Measurement) -> Measurement:
    """The same measurement, but for what tells whose it is."""
    devices = tuple(
        device._replace(
            serial="",
            name="",
            trackers=tuple(tracker._replace(name="") for tracker in device.trackers),
        )
        for device in measurement.devices
    )
    return measurement._replace(cerbo_serial="", devices=devices)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("solarcharger/277/Serial", "HQ2211AAAA1", "SERIAL0001"),
        ("solarcharger/277/Devices/0/Serial", "HQ2211AAAA1", "SERIAL0001"),
        ("vebus/276/Devices/0/SerialNumber", "HQ2311ZM9TD", "SERIAL0001"),
        ("solarcharger/277/CustomName", "Granny's roof", "Name 1"),
        ("solarcharger/277/Devices/0/CustomName", "Granny's roof", "Name 1"),
        ("solarcharger/0/Pv/3/Name", "Granny's barn", "Name 1"),
        ("solarcharger/0/Devices/0/ServiceName", "solarcharger.can0_uc1234567", "Service 1"),
        ("solarcharger/0/N2kUniqueNumber", "1234567", "Number 1"),
        ("solarcharger/0/N2kUniqueNumber", 1234567, ""),
        ("solarcharger/277/Serial", 7, ""),
        ("solarcharger/277/Serial", ["HQ2211AAAA1"], ""),
        ("system/0/Serial", PORTAL_ID, "000000000001"),
    ],
)
def test_what_tells_whose_it_is_is_replaced(path: str, value: object, expected: str) -> None:
    """By the last part of the path, wherever it stands; what is no text tells nothing any more."""
    _, payload = anonymized(f"N/{PORTAL_ID}/{path}", payload_of(value))
    assert payload == payload_of(expected)


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("solarcharger/277/Yield/Power", b'{"value":64.580001831054688}'),
        ("solarcharger/277/ProductName", b'{"value":"SmartSolar"}'),
        ("solarcharger/277/Pv/V", b"not JSON"),
        ("solarcharger/277/Serial", b""),
        ("solarcharger/277/Serial", b'{"value":null}'),
        ("solarcharger/277/CustomName", b'{"value":""}'),
        ("heartbeat", b'{"value":1795425434}'),
        ("full_publish_completed", b'{"full-publish-completed-echo":"abc","value":1795425438}'),
    ],
)
def test_all_else_stays_to_the_byte(path: str, payload: bytes) -> None:
    """Numbers, products, what has no value, and what the relay's own requests are known by."""
    assert anonymized(f"N/{PORTAL_ID}/{path}", payload) == (f"N/000000000001/{path}", payload)


@pytest.mark.parametrize(
    "payload", [b"HQ2211AAAA1", b'{"Value":"HQ2211AAAA1"}', b'{"value":"HQ2211', b"\xff"]
)
def test_an_unreadable_serial_is_not_passed_on(payload: bytes) -> None:
    """It stays unreadable, but says nothing."""
    assert anonymized(SERIAL_TOPIC, payload)[1] == b"{}"


def test_nothing_beside_a_private_value_is_kept() -> None:
    """Other members of the payload could tell what the value no longer does."""
    payload = b'{"max":"HQ2211AAAA1","value":"HQ2211AAAA1","min":"HQ2211AAAA1"}'
    assert anonymized(SERIAL_TOPIC, payload)[1] == b'{"value":"SERIAL0001"}'


def test_the_same_original_always_becomes_the_same() -> None:
    """So that a unit stays itself, and another one is seen to be another."""
    anonymizer = Anonymizer()
    serials = [
        json.loads(anonymizer.payload(SERIAL_TOPIC, payload_of(serial)))["value"]
        for serial in ("HQ1", "HQ2", "HQ1", "HQ3", "HQ2")
    ]
    assert serials == ["SERIAL0001", "SERIAL0002", "SERIAL0001", "SERIAL0003", "SERIAL0002"]


def test_the_portal_id_is_the_same_in_topic_and_payload() -> None:
    """Else the relay would not know the GX again."""
    anonymizer = Anonymizer()
    for number, portal_id in enumerate([PORTAL_ID, "c0619ab00000"], start=1):
        topic = f"N/{portal_id}/system/0/Serial"
        assert anonymizer.topic(topic) == f"N/{number:012x}/system/0/Serial"
        assert anonymizer.payload(topic, payload_of(portal_id)) == payload_of(f"{number:012x}")


@pytest.mark.parametrize("topic", ["", "N", "N/", "N//heartbeat", "/", "$SYS"])
def test_a_topic_without_a_portal_id_stays(topic: str) -> None:
    """There is nothing in it to replace."""
    assert Anonymizer().topic(topic) == topic


def private_texts(recording: Path) -> set[str]:
    """Serials, their parts, names and portal ids that stand in the raw recording."""
    texts = {PORTAL_ID}
    with gzip.open(recording) as lines:
        for members in map(json.loads, lines):
            parts = members.get("topic", "").split("/")
            if parts[-1] in ("Serial", "CustomName", "Name") and members["payload"]:
                value = json.loads(members["payload"])["value"]
                if parts[2] in (*SERVICES, "system") and value:
                    texts |= {value, *value.split()} if parts[-1] == "Serial" else {value}
    # The unique number of a VE.Can device, without the zeros that fill it up in the serial.
    return texts | {text.lstrip("0") for text in texts}


@pytest.mark.parametrize("recording", sorted(RECORDINGS.iterdir()), ids=lambda path: path.stem[:-6])
def test_no_recording_keeps_anything_private(recording: Path) -> None:
    """In none of the trees that the relay records is any of it left, wherever it stood."""
    private = private_texts(recording)
    assert len(private) > 2
    # As a whole word: the digits of a serial also occur in the middle of measured numbers.
    texts = "|".join(map(re.escape, sorted(private)))
    leak = re.compile(rf"(?<![\d.])({texts})(?!\d)")
    for event in all_anonymized(read_recording(recording)):
        if isinstance(event, Message) and event.topic.split("/")[2] in (*SERVICES, "heartbeat"):
            assert not leak.search(event.topic + " " + event.payload.decode()), event


@pytest.mark.parametrize("recording", sorted(RECORDINGS.iterdir()), ids=lambda path: path.stem[:-6])
def test_an_anonymized_recording_tells_the_same_story(recording: Path) -> None:
    """The same measurements come of it, but for names: also of swaps, and of names left blank."""
    original = measurements_of(read_recording(recording))
    replayed = measurements_of(all_anonymized(read_recording(recording)))
    assert original
    assert list(map(without_names, replayed)) == list(map(without_names, original))
