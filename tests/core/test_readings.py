"""Tests readings: any message has one of a few meanings, or none, or is malformed."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.payloads import GONE, Unreadable, Value
from mqtt_http_bridge.core.venus.readings import (
    ChargerKey,
    ChargerReading,
    ChargerSpoke,
    Heartbeat,
    PortalSeen,
    PublishCompleted,
    Reading,
    read,
)
from tests.support.any_messages import any_topics, charger_topics, payloads, scalars, topic_of
from tests.support.sayings import KEY, PORTAL_ID, SEVERAL, SINGLE, Bus, Values, payload_of

# --- topics ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        pytest.param(
            "N/c0619ab2f7e1/solarcharger/277/Yield/Power",
            b'{"value":5.0}',
            ChargerReading(PORTAL_ID, KEY, "Yield/Power", Value(5.0)),
            id="a charger's number",
        ),
        pytest.param(
            "N/c0619ab2f7e1/solarcharger/0/Pv/3/V",
            b"",
            ChargerReading(PORTAL_ID, ChargerKey("solarcharger", 0), "Pv/3/V", GONE),
            id="instance 0, gone",
        ),
        pytest.param(
            "N/c0619ab2f7e1/multi/1/Serial",
            b"rubbish",
            ChargerReading(PORTAL_ID, ChargerKey("multi", 1), "Serial", Unreadable(b"rubbish")),
            id="another service, unreadable",
        ),
        pytest.param(
            "N/c0619ab2f7e1/solarcharger/277/History/Daily/0/Yield",
            b'{"value":1.5}',
            ChargerSpoke(PORTAL_ID, KEY),
            id="a charger's history",
        ),
        pytest.param(
            "N/c0619ab2f7e1/solarcharger/277/",
            b"{}",
            ChargerSpoke(PORTAL_ID, KEY),
            id="that a charger spoke",
        ),
        pytest.param(
            "N/c0619ab2f7e1/heartbeat",
            b'{"value":1795425434}',
            Heartbeat(PORTAL_ID),
            id="heartbeat",
        ),
        pytest.param(
            "N/c0619ab2f7e1/full_publish_completed",
            b'{"value":1795425434}',
            PublishCompleted(PORTAL_ID, None),
            id="completed for somebody else",
        ),
        pytest.param(
            "N/c0619ab2f7e1/full_publish_completed",
            b'{"full-publish-completed-echo":"abc","value":1795425438}',
            PublishCompleted(PORTAL_ID, "abc"),
            id="completed with an echo",
        ),
        pytest.param(
            "N/c0619ab2f7e1/full_publish_completed",
            b'{"full-publish-completed-echo":7}',
            PublishCompleted(PORTAL_ID, None),
            id="an echo that is no text",
        ),
        pytest.param(
            "N/c0619ab2f7e1/full_publish_completed",
            b"",
            PublishCompleted(PORTAL_ID, None),
            id="completed with nothing",
        ),
        pytest.param(
            "N/c0619ab2f7e1/system/0/Serial",
            b'{"value":"c0619ab2f7e1"}',
            PortalSeen(PORTAL_ID),
            id="portal id",
        ),
    ],
)
def test_what_a_message_means(topic: str, payload: bytes, expected: Reading) -> None:
    """One example of each reading there is."""
    assert read(topic, payload) == expected


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        pytest.param("", b"", id="no topic"),
        pytest.param("/////", b"", id="only slashes"),
        pytest.param("N", b"", id="prefix alone"),
        pytest.param("N//heartbeat", b'{"value":1}', id="no portal id"),
        pytest.param("R/c0619ab2f7e1/keepalive", b"", id="a keepalive"),
        pytest.param("W/c0619ab2f7e1/heartbeat", b"", id="another prefix"),
        pytest.param("n/c0619ab2f7e1/heartbeat", b"", id="lower case"),
        pytest.param("N/c0619ab2f7e1/heartbeat/0/State", b"", id="a service called heartbeat"),
        pytest.param(
            "N/c0619ab2f7e1/full_publish_completed/0/State", b"", id="a service called completed"
        ),
        pytest.param("N/c0619ab2f7e1/heartbeat/", b"", id="slash after heartbeat"),
        pytest.param("N/c0619ab2f7e1/solarcharger", b"", id="service alone"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277", b"", id="instance alone"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/", b"", id="no path"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/state", b"", id="path in lower case"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/State/", b"", id="slash after the path"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/History/0/Yield", b"", id="history"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/Pv/16/V", b"", id="a tracker too many"),
        pytest.param("N/c0619ab2f7e1/solarcharger/277/Pv/00/V", b"", id="a tracker in two digits"),
        pytest.param("N/c0619ab2f7e1/battery/0/Serial", b'{"value":"X"}', id="another service"),
        pytest.param("N/c0619ab2f7e1/system/0/State", b'{"value":3}', id="system's state"),
        pytest.param("N/c0619ab2f7e1/system/1/Serial", b'{"value":"c0619ab2f7e1"}', id="system 1"),
        pytest.param("N/c0619ab2f7e1/system/0/Serial", b'{"value":"other"}', id="another's id"),
        pytest.param("N/c0619ab2f7e1/system/0/Serial", b"", id="portal id withdrawn"),
        pytest.param("N/c0619ab2f7e1/system/0/Serial", b'{"value":null}', id="no portal id yet"),
    ],
)
def test_what_means_nothing_to_us(topic: str, payload: bytes) -> None:
    """Near misses are passed over without a word."""
    assert read(topic, payload) is None


@pytest.mark.parametrize(
    "instance", ["", "x", "-1", "1.0", "+1", " 1", "1_0", "²", "٣", "1234567890", "#"], ids=ascii
)
def test_a_charger_without_an_instance_is_malformed(instance: str) -> None:
    """The topic is one of ours, but names no device; what Python calls digits is not enough."""
    with pytest.raises(MalformedMessage, match="expected a device instance after solarcharger"):
        read(topic_of("State", instance=instance), payload_of(3))


def test_a_malformed_topic_is_told_in_short() -> None:
    """An attacker's topic does not fill the log, nor break its lines."""
    with pytest.raises(MalformedMessage) as caught:
        read(topic_of("State", instance="\n" * 200), b"")
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_topic_that_is_too_long_is_of_no_interest() -> None:
    """Everything that is remembered of topics is bounded by that, whoever writes to the broker."""
    path = topic_of("State").removeprefix(f"N/{PORTAL_ID}")
    portal_id = "0" * (topics.LONGEST_TOPIC - len("N/" + path))
    assert topics.is_interesting(f"N/{portal_id}{path}")
    assert not topics.is_interesting(f"N/{portal_id}0{path}")
    assert read(f"N/{portal_id}0{path}", b'{"value":3}') is None


@given(any_topics | charger_topics, payloads)
@example("N/p/solarcharger/\ud800/State", b"")
def test_no_message_is_a_surprise(topic: str, payload: bytes) -> None:
    """Any topic with any payload is a reading, nothing, or MalformedMessage: no other error."""
    try:
        reading = read(topic, payload)
    except MalformedMessage:
        return
    assert reading is None or isinstance(reading, Reading)
    assert reading is None or topics.is_interesting(topic) or topics.speaker_of(topic)


# --- the whole way ---------------------------------------------------------------------------


SINGLE_NUMBERS = ("Yield/Power", "Yield/System", "Pv/V")
SEVERAL_NUMBERS = ("Yield/Power", "Yield/System", "Pv/0/V", "Pv/0/P", "Pv/1/V", "Pv/1/P")


def numbers_in(payload: bytes) -> set[float]:
    """Every number that stands anywhere in a JSON text; none if it is no JSON."""
    found: list[float] = []

    def note(digits: str) -> float:
        found.append(float(digits))
        return found[-1]

    try:
        json.loads(payload, parse_int=note, parse_float=note)
    except ValueError:
        return set()
    return set(found)


def reported_numbers(report: DeviceReport) -> dict[str, float]:
    """The measured numbers of a report, by the path that each has to come from."""
    found = {"Yield/Power": report.yield_power_w, "Yield/System": report.yield_total_kwh}
    if len(report.trackers) == 1 and report.trackers[0].name == "PV":
        found["Pv/V"] = report.trackers[0].voltage_v
    else:
        for tracker in report.trackers:
            found[f"Pv/{tracker.number}/V"] = tracker.voltage_v
            found[f"Pv/{tracker.number}/P"] = tracker.power_w
    return found


@pytest.mark.parametrize(
    ("before", "paths"), [(SINGLE, SINGLE_NUMBERS), (SEVERAL, SEVERAL_NUMBERS)], ids=["one", "many"]
)
@given(data=st.data())
def test_no_number_is_reported_that_was_not_sent(
    before: Values, paths: tuple[str, ...], data: st.DataObject
) -> None:
    """Whatever bytes come, a reported number stands in the last payload of its own path."""
    bus = Bus()
    last = {path: payload_of(value) for path, value in before.items()}
    later = st.tuples(st.sampled_from(paths), scalars.map(payload_of) | payloads.filter(bool))
    for path, payload in [*last.items(), *data.draw(st.lists(later, max_size=4))]:
        reading = read(topic_of(path), payload)
        assert isinstance(reading, ChargerReading)
        bus.chargers.hear(reading.charger, reading.path, reading.said, 0.0)
        last[path] = payload
    found = bus.found(60.0)
    if isinstance(found, DeviceReport):
        for path, number in reported_numbers(found).items():
            assert number in numbers_in(last[path]), path
