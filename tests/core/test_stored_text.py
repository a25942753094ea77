"""Tests reading, cutting and shifting stored bodies, of this version and of others."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.delivery.dialect import Contents
from mqtt_http_bridge.core.errors import MalformedMeasurement
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.solar_backend.stored_text import only, read, shifted, timestamp
from tests.support import measuring
from tests.support.any_measurement import measurements
from tests.support.measuring import measurement

OURS = to_body(measurement("A", "B", "C"))
STEP_S = 3601.5
STEP = timedelta(seconds=STEP_S)

FOREIGN = """ {
  "devices" : [
    {"serial":"A", "last_update": 1000, "yield_power_w": 12.50, "firmware": {"serial": "X"}} ,
    {"yield_power_w": 1.5E+1, "last_update":-7,"serial":"\\u0042", "trackers":[{"serial":"A"}]},
\t{"serial": "C", "last_update": 1.0e3, "note": "]}, \\"serial\\": \\"A\\"", "huge": %s}
  ],
  "schema": 2, "timestamp": "2026-11-23T09:00:00Z", "cerbo_serial": null, "last_update": 5
}
""" % ("9" * 5000)
"""A body as another version might write it: other names, order, spellings and blanks."""


def test_what_has_to_be_known_is_read() -> None:
    """Of a body that this version writes."""
    assert read(OURS) == Contents(
        serials=("A", "B", "C"),
        timestamp=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
        cerbo_serial="c0619ab2f7e1",
    )


def test_what_another_version_writes_is_read() -> None:
    """Whatever is not looked for is overlooked, also where it has a name that is."""
    found = read(FOREIGN.encode())
    assert found.serials == ("A", "B", "C")
    assert found.timestamp == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert found.cerbo_serial is None


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("2026-11-23T11:00:00+02:00", datetime(2026, 11, 23, 9, 0, tzinfo=UTC)),
        ("2026-11-23 09:00:00.25", datetime(2026, 11, 23, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("20261123T090000Z", datetime(2026, 11, 23, 9, 0, tzinfo=UTC)),
    ],
)
def test_a_timestamp_may_be_spelled_in_another_way(spelled: str, expected: datetime) -> None:
    """It is the same moment, and aware in any case; without an offset it is UTC."""
    body = json.dumps({"timestamp": spelled, "devices": []}).encode()
    assert read(body).timestamp == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"7",
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b"[" + OURS + b"]",
        OURS[:-1],
        OURS + b"x",
        b"\xef\xbb\xbf" + OURS,
        OURS.decode().encode("utf-16"),
        OURS.replace(b"Roof A", b"\xff"),
        OURS.replace(b'"serial":"B",', b""),
        OURS.replace(b'"serial":"B"', b'"serial":7'),
        OURS.replace(b'"serial":"B"', b'"serial":null'),
        OURS.replace(b'"serial":"B"', b'"serial":["B"]'),
        OURS.replace(b'"serial":"B"', b'"serial":"\\ud800"'),
        OURS.replace(b'"timestamp"', b'"time"'),
        OURS.replace(b'"2026-11-23T09:00:00.000000+00:00"', b"1795424400"),
        OURS.replace(b"2026-11-23T", b"2026-13-23T"),
        OURS.replace(b'"devices":[', b'"devices":[1,'),
        b'{"timestamp":"2026-11-23T09:00:00Z","devices":{"serial":"A"}}',
        b'{"timestamp":"2026-11-23T09:00:00Z","devices":null}',
    ],
)
def test_what_is_no_measurement_is_told(body: bytes) -> None:
    """With the one error, by all three, whatever it is: no serials or no time can be found."""
    with pytest.raises(MalformedMeasurement, match="expected a measurement") as caught:
        read(body)
    assert len(str(caught.value)) < 300
    with pytest.raises(MalformedMeasurement):
        only(body, ["A"])
    assert shifted(body, STEP_S) == body


@given(st.sampled_from(range(len(OURS))), st.binary(max_size=2), st.integers(0, 2))
def test_damage_is_told_or_makes_another_measurement(at: int, put: bytes, cut: int) -> None:
    """No other error comes of it, and what can be read can be cut and shifted, too."""
    body = OURS[:at] + put + OURS[at + cut :]
    try:
        serials = read(body).serials
    except MalformedMeasurement:
        return
    assert read(only(body, ["A"])).serials == tuple(s for s in serials if s == "A")
    assert read(shifted(body, STEP_S)).serials == serials


# --- cutting -------------------------------------------------------------------------------------


@given(measurements, st.data())
def test_a_cut_is_what_would_have_been_written(whole: Measurement, data: st.DataObject) -> None:
    """For what this version writes, the text with devices cut out is that of fewer devices."""
    serials = sorted({device.serial for device in whole.devices})
    wanted = data.draw(st.lists(st.sampled_from(serials)) if serials else st.just([]))
    assert only(to_body(whole), wanted) == to_body(measuring.only(whole, wanted))


@pytest.mark.parametrize("wanted", ["A", "B", "C", "AB", "AC", "BC", "ABC", "", "AX"])
def test_a_cut_keeps_every_other_byte(wanted: str) -> None:
    """Blanks, order, fields that nobody here knows and spellings of numbers stay as they are."""
    lines = FOREIGN.splitlines(keepends=True)
    devices = dict(zip("ABC", lines[2:5], strict=True))
    kept = only(FOREIGN.encode(), wanted).decode()
    for serial, line in devices.items():
        text = line.strip(" ,\t\n")
        assert (text in kept) == (serial in wanted)
    document = json.loads(kept, parse_int=str)
    assert [device["serial"] for device in document["devices"]] == [s for s in "ABC" if s in wanted]
    assert kept.startswith("".join(lines[:2]).rstrip())
    assert kept.endswith("".join(lines[5:]))


def test_a_cut_of_all_is_the_very_same() -> None:
    """Also where a serial is there twice, and where more is wanted than there is."""
    body = to_body(measurement("A", "A", "B"))
    assert only(body, ["A", "B", "C"]) is body
    assert read(only(body, ["A"])).serials == ("A", "A")
    assert read(only(body, [])).serials == ()


def test_of_two_members_of_one_name_the_last_counts() -> None:
    """As it does for whoever reads the whole."""
    body = b'{"devices":[{"serial":"Z"}],"timestamp":"2026-11-23","devices":[{"serial":"A"}]}'
    assert read(body).serials == ("A",)
    assert only(body, []) == b'{"devices":[{"serial":"Z"}],"timestamp":"2026-11-23","devices":[]}'


# --- shifting ------------------------------------------------------------------------------------


@given(measurements, st.integers(-(10**9), 10**9))
def test_a_shift_is_what_would_have_been_written(whole: Measurement, seconds: int) -> None:
    """For what this version writes: as if the clock had been right when it was measured."""
    step = timedelta(seconds=seconds)
    try:
        expected = measuring.shifted(whole, step)
    except OverflowError:
        return
    assert shifted(to_body(whole), seconds) == to_body(expected)


def test_a_shift_keeps_every_other_byte() -> None:
    """Only times change: that of the whole, and each `last_update` that is a whole number."""
    expected = (
        FOREIGN.replace("2026-11-23T09:00:00Z", "2026-11-23T10:00:01.500000+00:00")
        .replace('"last_update": 1000,', '"last_update": 4602,')
        .replace('"last_update":-7,', '"last_update":3595,')
    )
    assert shifted(FOREIGN.encode(), STEP_S).decode() == expected


def test_a_shift_keeps_the_offset() -> None:
    """A timestamp of another zone, or of none, stays one."""
    berlin = timezone(timedelta(hours=2))
    for stamp in (datetime(2026, 6, 1, 12, 0, tzinfo=berlin), datetime(2026, 6, 1, 12, 0)):  # noqa: DTZ001
        body = json.dumps({"timestamp": stamp.isoformat(), "devices": []}).encode()
        later = json.loads(shifted(body, STEP_S))["timestamp"]
        assert later == (stamp + STEP).isoformat(timespec="microseconds")


@pytest.mark.parametrize(("year", "days"), [(9999, 365), (1, -365)])
def test_a_time_that_no_calendar_has_stays(year: int, days: int) -> None:
    """Such a stamp was never that of a clock: nothing is raised for it."""
    stamp = datetime(year, 6, 1, tzinfo=UTC).isoformat(timespec="microseconds")
    body = json.dumps({"timestamp": stamp, "devices": []}).encode()
    assert shifted(body, days * 86400.0) == body


@pytest.mark.parametrize("value", ["null", '"1000"', "1e3", "true", "[]", "9" * 5000])
def test_a_last_update_of_another_kind_stays(value: str) -> None:
    """Everything that cannot be put right is sent as it was stored."""
    text = '{"timestamp":"2026-11-23T09:00:00Z","devices":[{"serial":"A","last_update":%s}]}'
    found = shifted((text % value).encode(), STEP_S).decode()
    assert found == (text % value).replace("09:00:00Z", "10:00:01.500000+00:00")


# --- the time ------------------------------------------------------------------------------------


@given(measurements, st.integers(60, 2000))
def test_the_time_is_found_in_a_beginning(whole: Measurement, length: int) -> None:
    """As it stands there: what had to be given up is told by it, though it is not kept."""
    body = to_body(whole)
    assert timestamp(body) == timestamp(body[:length])
    assert timestamp(body) == whole.timestamp.isoformat(timespec="microseconds")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (FOREIGN.encode(), "2026-11-23T09:00:00Z"),
        (b'{"name":"\\"timestamp\\":\\"x\\"","timestamp":"t"}', "t"),
        (b'{"timestamp":"2026-11', ""),
        (b'{"timestamp":"\xff"}', ""),
        (b"\x00", ""),
        (b"", ""),
    ],
)
def test_a_time_that_is_not_there_is_none(body: bytes, found: str) -> None:
    """Nothing is raised for whatever it may be, and a name that looks like one is none."""
    assert timestamp(body) == found


def places_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to all values in a JSON document, its own `()` first."""
    steps: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    return [path, *(deeper for step, item in steps for deeper in places_of(item, (*path, step)))]


@pytest.mark.parametrize("value", [None, {}, "", True, 1, 1.5, [["A"]]], ids=repr)
@pytest.mark.parametrize(
    "path", places_of(json.loads(OURS)), ids=lambda path: ".".join(map(str, path)) or "all"
)
def test_any_value_in_any_place(path: tuple[str | int, ...], value: object) -> None:
    """It is read, or told; nothing else is raised, and the sender can work with what is read."""
    document: Any = [json.loads(OURS)]
    parent: Any = document
    *steps, last = (0, *path)
    for step in steps:
        parent = parent[step]
    parent[last] = value
    body = json.dumps(document[0]).encode()
    try:
        found = read(body)
    except MalformedMeasurement:
        assert path == () or {*path} & {"timestamp", "serial", "devices"}
        return
    assert all(isinstance(serial, str) for serial in found.serials)
    assert read(shifted(only(body, found.serials[:1]), STEP_S)).timestamp == found.timestamp + STEP
