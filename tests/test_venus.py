"""The dialect of Venus OS: any message is a reading, nothing or malformed, never a surprise."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_http_bridge.core import topics, venus
from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.fleet import Fleet
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.settings import DeviceSettings
from mqtt_http_bridge.core.venus import (
    GONE,
    INVALID,
    ChargerKey,
    ChargerReading,
    Code,
    Flag,
    Heartbeat,
    Kind,
    Number,
    PortalSeen,
    PublishCompleted,
    Reading,
    Said,
    Text,
    Unreadable,
    Value,
    parse_payload,
    read,
)
from tests.sayings import KEY, PORTAL_ID, SEVERAL, SINGLE, Values, moment, payload_of

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl.gz"))
KINDS: dict[str, Kind] = {**venus.CHARGER_KINDS, **venus.TRACKER_KINDS}


def topic_of(path: str, *, service: str = "solarcharger", instance: str = "277") -> str:
    """The topic of a path of a charger."""
    return f"N/{PORTAL_ID}/{service}/{instance}/{path}"


def recorded_messages() -> Iterator[tuple[str, bytes]]:
    """Topic and payload of every recorded message, read by other means than the product's."""
    for recording in RECORDINGS:
        with gzip.open(recording) as lines:
            for members in map(json.loads, lines):
                if "topic" in members:
                    yield members["topic"], members["payload"].encode()


@pytest.fixture(scope="module")
def recorded_sayings() -> set[tuple[str, bytes]]:
    """What chargers said in the recordings of the paths in the table, each once."""
    return {
        (topic, payload)
        for topic, payload in recorded_messages()
        if topic.split("/", 4)[2] in topics.SERVICES and topics.is_interesting(topic)
    }


# --- payloads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"", GONE, id="zero-length"),
        pytest.param(b'{"value":null}', INVALID, id="null"),
        pytest.param(b'{"value":[]}', INVALID, id="empty array of older stacks"),
        pytest.param(b'{"value":NaN}', INVALID, id="NaN"),
        pytest.param(b'{"value":Infinity}', INVALID, id="Infinity"),
        pytest.param(b'{"value":-Infinity}', INVALID, id="-Infinity"),
        pytest.param(b'{"value":1e999}', INVALID, id="too large for a float"),
        pytest.param(b'{"value":62.540000915527344}', Value(62.540000915527344), id="float"),
        pytest.param(b'{"value":252}', Value(252), id="whole"),
        pytest.param(b'{"value":5.0}', Value(5.0), id="5.0"),
        pytest.param(b'{"value":1e-07}', Value(1e-07), id="1e-07"),
        pytest.param(b'{"value":-0.0}', Value(0.0), id="-0.0"),
        pytest.param(b'{"value":true}', Value(True), id="true"),
        pytest.param(b'{"value":""}', Value(""), id="blank"),
        pytest.param('{"value":"Süd ☀"}'.encode(), Value("Süd ☀"), id="UTF-8"),
        pytest.param(b'{"value":"S\\u00fcd"}', Value("Süd"), id="escaped"),
        pytest.param(b'{"value":[0,0,45]}', Value([0, 0, 45]), id="array"),
        pytest.param(b'{"value":{"a":1}}', Value({"a": 1}), id="object"),
        pytest.param(b'{"max":100,"min":0,"value":7}', Value(7), id="min and max before"),
        pytest.param(b' {"value" : 7 , "max" : null} ', Value(7), id="blanks and max after"),
        pytest.param(b'{"value":1,"value":2}', Value(2), id="twice: the last"),
        pytest.param(b'{"value":' + b"9" * 4000 + b"}", Value(int("9" * 4000)), id="huge whole"),
    ],
)
def test_what_a_payload_says(payload: bytes, expected: Said) -> None:
    """The four answers are told apart by type, and values are as JSON has them."""
    assert parse_payload(payload) == expected
    assert type(parse_payload(payload)) is type(expected)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b" ", id="blank"),
        pytest.param(b"\0", id="NUL"),
        pytest.param(b"7", id="bare number"),
        pytest.param(b'"value"', id="bare text"),
        pytest.param(b"null", id="bare null"),
        pytest.param(b'["value"]', id="bare array"),
        pytest.param(b"{}", id="no members"),
        pytest.param(b'{"Value":1}', id="another member"),
        pytest.param(b'{"value":}', id="no value"),
        pytest.param(b'{"value":1', id="cut off"),
        pytest.param(b'{"value":1}}', id="more after it"),
        pytest.param(b"{'value':1}", id="single quotes"),
        pytest.param(b'{"value":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"value":01}', id="leading zero"),
        pytest.param(b'{"value":0x1}', id="hexadecimal"),
        pytest.param(b'{"value":1_0}', id="underscore"),
        pytest.param(b'{"value":' + b"9" * 5000 + b"}", id="endless number"),
        pytest.param(b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="arrays 100k deep"),
        pytest.param(b'{"value":' * 100_000 + b"1" + b"}" * 100_000, id="objects 100k deep"),
    ],
)
def test_what_no_gx_sends_is_unreadable(payload: bytes) -> None:
    """It is kept apart from `Invalid`, which a device says on purpose, and nothing is raised."""
    assert parse_payload(payload) == Unreadable(payload)


# --- kinds -----------------------------------------------------------------------------------

WATTS = venus.POWER

NOTHING_SAID = [
    pytest.param(None, id="never said"),
    pytest.param(INVALID, id="invalid"),
    pytest.param(GONE, id="gone"),
    pytest.param(Unreadable(b"?"), id="unreadable"),
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0, 5.0),
        (5, 5.0),
        (0, 0.0),
        (1e-07, 1e-07),
        (-1_000.0, -1_000.0),
        (1_000_000, 1_000_000.0),
        (-1_000.01, None),
        (1_000_000.5, None),
        (10**4000, None),
        (-(10**4000), None),
        (True, None),
        (False, None),
        ("5.0", None),
        ([5.0], None),
        ({"value": 5.0}, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_is_a_json_number_within_bounds(value: object, expected: float | None) -> None:
    """A count becomes a float; a truth value, a text or an impossible number is unknown."""
    found = WATTS.read(Value(value))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (252, 252),
        (5.0, 5),
        (0, 0),
        (-1, -1),
        (10**4000, 10**4000),
        (5.5, None),
        (True, None),
        ("3", None),
        ([3], None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_code_is_a_whole_number(value: object, expected: int | None) -> None:
    """D-Bus may deliver 5 as `5.0`; nothing else is turned into a whole number."""
    found = Code().read(Value(value))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, False), (0.0, False), (False, False), (1, True), (True, True), (2, True), ("0", True)],
    ids=repr,
)
def test_a_flag_holds_unless_the_device_says_no(value: object, expected: bool) -> None:
    """Only 0 and false are a no."""
    assert Flag().read(Value(value)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0162268 HQ2108RHQJZ", "0162268 HQ2108RHQJZ"),
        (" blank at the ends ", " blank at the ends "),
        ("☀", "☀"),
        ("", None),
        (" \t\n", None),
        ("HQ\0", None),
        ("\ud800", None),
        ("HQ\udfff", None),
        (5, None),
        (True, None),
        (["x"], None),
    ],
    ids=ascii,
)
def test_a_text_is_verbatim_or_unknown(value: object, expected: str | None) -> None:
    """Blank texts say nothing, and one that no backend can store counts as unknown."""
    assert Text().read(Value(value)) == expected


@pytest.mark.parametrize("nothing", NOTHING_SAID)
@pytest.mark.parametrize("path", KINDS)
def test_nothing_said_is_no_value(path: str, nothing: Said | None) -> None:
    """Numbers, codes and texts are unknown then; a flag holds."""
    assert KINDS[path].read(nothing) is (True if isinstance(KINDS[path], Flag) else None)


# --- the path table --------------------------------------------------------------------------


@pytest.mark.parametrize("table", [venus.CHARGER_KINDS, venus.TRACKER_KINDS], ids=["one", "each"])
def test_the_path_tables_are_sorted(table: dict[str, Kind]) -> None:
    """So that a path is found by eye, and added in one place only."""
    assert list(table) == sorted(table)


def test_each_path_that_is_heard_has_a_kind_and_no_other() -> None:
    """What is subscribed to for a measurement is what can be read."""
    assert tuple(venus.CHARGER_KINDS) == topics.CHARGER_PATHS
    assert tuple(venus.TRACKER_KINDS) == topics.TRACKER_PATHS


def test_bounds_enclose_zero_and_real_devices() -> None:
    """Each number has a unit and room for what a device of 200 kW would say."""
    for kind in KINDS.values():
        if isinstance(kind, Number):
            assert kind.unit in ("W", "V", "kWh")
            assert kind.read(Value(0)) == 0.0
            assert kind.maximum >= {"W": 200_000, "V": 1_500, "kWh": 10_000_000}[kind.unit]


def test_every_recorded_saying_is_read(recorded_sayings: set[tuple[str, bytes]]) -> None:
    """Real chargers are never malformed, never unreadable, and never out of bounds."""
    for topic, payload in recorded_sayings:
        reading = read(topic, payload)
        assert isinstance(reading, ChargerReading), topic
        if reading.path in topics.LIFE_PATHS:
            continue
        kind = KINDS[
            reading.path.split("/", 2)[-1] if reading.path[3:4].isdigit() else reading.path
        ]
        if isinstance(reading.said, Value) and reading.said.value != "":
            assert kind.read(reading.said) is not None, (topic, payload)
        else:
            assert payload in (b"", b'{"value":null}', b'{"value":""}')


def test_every_path_in_the_table_is_real(recorded_sayings: set[tuple[str, bytes]]) -> None:
    """No line of the table waits for a path that no recorded charger has."""
    recorded = {topic.split("/", 4)[4] for topic, _ in recorded_sayings}
    trackers = {
        topics.tracker_path(index, leaf) for index in range(4) for leaf in topics.TRACKER_PATHS
    }
    assert set(topics.CHARGER_PATHS) <= recorded
    # The fourth tracker is disabled, and was given no name.
    assert trackers - recorded <= {"Pv/3/Name"}


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
    """What is remembered of topics is bounded by that, whoever writes to the broker."""
    path = topic_of("State").removeprefix(f"N/{PORTAL_ID}")
    portal_id = "0" * (topics.LONGEST_TOPIC - len("N/" + path))
    assert topics.is_interesting(f"N/{portal_id}{path}")
    assert not topics.is_interesting(f"N/{portal_id}0{path}")
    assert read(f"N/{portal_id}0{path}", b'{"value":3}') is None


def test_long_payloads_are_not_remembered() -> None:
    """A broker that is none of a GX sends megabytes, again and again: they take no memory."""
    parse_payload(b'{"value":0}')
    tracemalloc.start()
    for number in range(60):
        assert parse_payload(b'{"value":"%s%d"}' % (b"x" * 100_000, number))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


PARTS = [
    *("N", "R", "", PORTAL_ID, "heartbeat", "full_publish_completed", "system", *topics.SERVICES),
    *("0", "277", "Pv", "V", "P", "Yield", "Power", "State", "Serial", "x"),
]
any_topics = st.text() | st.lists(st.sampled_from(PARTS) | st.text(), max_size=8).map("/".join)
charger_topics = st.sampled_from([*topics.CHARGER_PATHS, "Pv/0/V", "Pv/1/P"]).map(topic_of)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper), max_leaves=6
)
payloads = (
    st.binary()
    | values.map(payload_of)
    | values.map(json.dumps).map(str.encode)
    | st.text(alphabet='{}[]":,.-+eE0123456789valueNItrfsn ').map(str.encode)
)


@given(any_topics | charger_topics, payloads)
@example("N/p/solarcharger/\ud800/State", b"")
def test_no_message_is_a_surprise(topic: str, payload: bytes) -> None:
    """Any topic with any payload is a reading, nothing, or MalformedMessage: no other error."""
    try:
        reading = read(topic, payload)
    except MalformedMessage:
        return
    assert reading is None or isinstance(reading, Reading)
    assert reading is None or topics.is_interesting(topic)


@given(payloads, st.sampled_from(list(KINDS)))
def test_no_payload_is_a_surprise(payload: bytes, path: str) -> None:
    """Whatever was said, each kind makes a value of its own type of it, or none."""
    found = KINDS[path].read(parse_payload(payload))
    types = {Number: float, Code: int, Flag: bool, Text: str}
    assert found is None or type(found) is types[type(KINDS[path])]


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
            found[f"Pv/{tracker.index}/V"] = tracker.voltage_v
            found[f"Pv/{tracker.index}/P"] = tracker.power_w
    return found


@pytest.mark.parametrize(
    ("before", "paths"), [(SINGLE, SINGLE_NUMBERS), (SEVERAL, SEVERAL_NUMBERS)], ids=["one", "many"]
)
@given(data=st.data())
def test_no_number_is_reported_that_was_not_sent(
    before: Values, paths: tuple[str, ...], data: st.DataObject
) -> None:
    """Whatever bytes come, a reported number stands in the last payload of its own path."""
    fleet = Fleet(DeviceSettings())
    last = {path: payload_of(value) for path, value in before.items()}
    later = st.tuples(st.sampled_from(paths), scalars.map(payload_of) | payloads.filter(bool))
    for path, payload in [*last.items(), *data.draw(st.lists(later, max_size=4))]:
        reading = read(topic_of(path), payload)
        assert isinstance(reading, ChargerReading)
        fleet.hear(reading.charger, reading.path, reading.said, 0.0)
        last[path] = payload
    found = fleet.roll(moment(60.0))[KEY]
    if isinstance(found, DeviceReport):
        for path, number in reported_numbers(found).items():
            assert number in numbers_in(last[path]), path


# --- what goes to the GX ---------------------------------------------------------------------


def test_keepalives_are_those_the_gx_knows() -> None:
    """The one prolongs and republishes nothing, the other asks for everything and an echo."""
    assert venus.SUPPRESSED_KEEPALIVE == b'{ "keepalive-options" : ["suppress-republish"] }'
    full = venus.full_keepalive("abc")
    assert json.loads(full) == {"keepalive-options": [{"full-publish-completed-echo": "abc"}]}
    assert b"suppress-republish" not in full


@given(st.text())
def test_an_echo_comes_back_as_it_was_sent(echo: str) -> None:
    """The GX answers with the text it was given; we know it again, whatever is in it."""
    (option,) = json.loads(venus.full_keepalive(echo))["keepalive-options"]
    answer = json.dumps({**option, "value": 1795425438}).encode()
    topic = f"N/{PORTAL_ID}/full_publish_completed"
    assert read(topic, answer) == PublishCompleted(PORTAL_ID, echo)


def test_two_keepalives_fit_into_the_time_one_lasts() -> None:
    """One that is lost does no harm."""
    assert 2 * venus.KEEPALIVE_INTERVAL_S <= venus.AWAKE_S
