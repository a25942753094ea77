"""The wire format, to the byte: what BACKEND.md shows is what is written, and all that is read."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core import contract
from mqtt_http_bridge.core.errors import MalformedMeasurement
from mqtt_http_bridge.core.measurement import (
    DeviceReport,
    Measurement,
    TrackerReport,
    from_json,
    to_json,
)

CARPORT = DeviceReport(
    device_instance=281,
    serial="HQ2208AXN7V",
    name="PV Carport",
    product_name="BlueSolar Charger MPPT 150/45 rev3",
    reachable=True,
    producing=False,
    last_update_s=1761838053,
    yield_power_w=16.38,
    yield_total_kwh=1274.38,
    trackers=(TrackerReport(index=0, name="PV", voltage_v=62.55, power_w=16.38),),
)
EXAMPLE = Measurement(
    timestamp=datetime(2025, 10, 30, 15, 27, 33, 58551, tzinfo=UTC),
    cerbo_serial="c0619ab35133",
    devices=(CARPORT,),
)
EXAMPLE_BODY = (
    b'{"timestamp":"2025-10-30T15:27:33.058551+00:00","cerbo_serial":"c0619ab35133","devices":['
    b'{"device_instance":281,"serial":"HQ2208AXN7V","name":"PV Carport",'
    b'"product_name":"BlueSolar Charger MPPT 150/45 rev3","reachable":true,"producing":false,'
    b'"last_update":1761838053,"yield_power_w":16.38,"yield_total_kwh":1274.38,'
    b'"trackers":[{"tracker":0,"name":"PV","voltage":62.55,"power":16.38}]}]}'
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
trackers = st.builds(TrackerReport, st.integers(0, 15), st.text(), numbers, numbers)
devices = st.builds(
    DeviceReport,
    device_instance=st.integers(min_value=0),
    serial=st.text(),
    name=st.text(),
    product_name=st.text(),
    reachable=st.booleans(),
    producing=st.booleans(),
    last_update_s=st.integers(),
    yield_power_w=numbers,
    yield_total_kwh=numbers,
    trackers=st.lists(trackers, max_size=4).map(tuple),
)
measurements = st.builds(
    Measurement,
    timestamp=st.datetimes(timezones=st.just(UTC)),
    cerbo_serial=st.text(),
    devices=st.lists(devices, max_size=3).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


def fields_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to all values in a JSON document, its own `()` first."""
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    else:
        steps = []
    return [path, *(deeper for step, item in steps for deeper in fields_of(item, (*path, step)))]


EXAMPLE_FIELDS = fields_of(json.loads(EXAMPLE_BODY))


def example_with(path: tuple[str | int, ...], value: object) -> bytes:
    """The example in the very form that `to_json` uses, but for one value."""
    document: Any = [json.loads(EXAMPLE_BODY)]
    parent: Any = document
    *steps, last = (0, *path)
    for step in steps:
        parent = parent[step]
    parent[last] = value
    return json.dumps(document[0], ensure_ascii=False, separators=(",", ":")).encode()


def is_refused(body: bytes) -> bool:
    """Whether `from_json` takes `body` for no measurement; no other error may come of it."""
    try:
        from_json(body)
    except MalformedMeasurement:
        return True
    return False


def test_the_example_is_written_to_the_byte() -> None:
    """Names, order, types and spacing are those of a request that the backend is known to take."""
    assert to_json(EXAMPLE) == EXAMPLE_BODY
    assert from_json(EXAMPLE_BODY) == EXAMPLE


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (12.0, b"12.0"),
        (0.0, b"0.0"),
        (62.540000915527344, b"62.540000915527344"),
        (1e-07, b"1e-07"),
        (18250.48046875, b"18250.48046875"),
    ],
)
def test_measured_numbers_are_floats(number: float, expected: bytes) -> None:
    """Whole ones too, and none loses a digit of what the charger said."""
    body = to_json(replace(EXAMPLE, devices=(replace(CARPORT, yield_power_w=number),)))
    assert b'"yield_power_w":' + expected + b"," in body


@pytest.mark.parametrize(
    ("microsecond", "expected"),
    [
        (0, "15:27:33.000000+00:00"),
        (7, "15:27:33.000007+00:00"),
        (500_000, "15:27:33.500000+00:00"),
    ],
)
def test_timestamps_always_have_microseconds_and_an_offset(microsecond: int, expected: str) -> None:
    """Also at a full second, and `+00:00` rather than `Z`."""
    body = to_json(replace(EXAMPLE, timestamp=EXAMPLE.timestamp.replace(microsecond=microsecond)))
    assert json.loads(body)["timestamp"] == f"2025-10-30T{expected}"


def test_texts_are_utf_8() -> None:
    """Not escaped: a person can read a spooled file."""
    body = to_json(replace(EXAMPLE, devices=(replace(CARPORT, name='Süd "Dach" ☀'),)))
    assert '"name":"Süd \\"Dach\\" ☀"'.encode() in body


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_never_written(number: float) -> None:
    """JSON has no form for it, and the backend would fail on it every time."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(replace(EXAMPLE, devices=(replace(CARPORT, yield_power_w=number),)))


@given(measurements)
def test_every_measurement_survives_the_disk(measurement: Measurement) -> None:
    """It comes back equal, and is written again with the same bytes."""
    body = to_json(measurement)
    assert from_json(body) == measurement
    assert to_json(from_json(body)) == body


@given(measurements)
def test_every_measurement_keeps_the_contract(measurement: Measurement) -> None:
    """The validator that knows nothing of this module finds no fault in the form."""
    assert contract.faults(contract.decode(to_json(measurement))) == []


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_other_bytes_are_no_measurement(body: bytes) -> None:
    """Whatever they are, they are refused with the one error."""
    assert is_refused(body)


@given(st.sampled_from(range(len(EXAMPLE_BODY))), st.binary(max_size=2), st.integers(0, 2))
def test_a_damaged_measurement_is_refused_or_another(at: int, put: bytes, cut: int) -> None:
    """Damage is noticed, or has made another measurement that is as whole as the first."""
    body = EXAMPLE_BODY[:at] + put + EXAMPLE_BODY[at + cut :]
    assert is_refused(body) or to_json(from_json(body)) == body


@given(st.sampled_from(EXAMPLE_FIELDS), json_values)
def test_a_value_of_another_type_is_refused(path: tuple[str | int, ...], value: object) -> None:
    """A file that somebody edited must not stop the sender: what is read keeps the contract."""
    body = example_with(path, value)
    assert is_refused(body) or not contract.faults(json.loads(body))


@pytest.mark.parametrize("path", EXAMPLE_FIELDS, ids=lambda path: ".".join(map(str, path)) or "all")
@pytest.mark.parametrize("value", [None, {}, "", True, 1, 1.5], ids=repr)
def test_each_field_has_its_type(path: tuple[str | int, ...], value: object) -> None:
    """Every wrong type in every place, so that none is left to chance."""
    body = example_with(path, value)
    assert is_refused(body) or not contract.faults(json.loads(body))


@pytest.mark.parametrize("path", EXAMPLE_FIELDS[1:], ids=lambda path: ".".join(map(str, path)))
def test_a_serial_that_is_a_list_is_refused_everywhere(path: tuple[str | int, ...]) -> None:
    """Lists cannot be members of a set, and sets of serials are what the sender works with."""
    assert is_refused(example_with(path, [["HQ2208AXN7V"]]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"[" + EXAMPLE_BODY + b"]",
        EXAMPLE_BODY + b"\n",
        b" " + EXAMPLE_BODY,
        b"\xef\xbb\xbf" + EXAMPLE_BODY,
        EXAMPLE_BODY.decode().encode("utf-16"),
        EXAMPLE_BODY[:-1],
        EXAMPLE_BODY[:-1] + b',"more":1}',
        EXAMPLE_BODY.replace(b":16.38,", b":NaN,"),
        EXAMPLE_BODY.replace(b":16.38,", b":1e999,"),
        EXAMPLE_BODY.replace(b":16.38,", b":16,"),
        EXAMPLE_BODY.replace(b":16.38,", b":" + b"9" * 5000 + b","),
        EXAMPLE_BODY.replace(b":281,", b":281.0,"),
        EXAMPLE_BODY.replace(b"PV Carport", b"\xff"),
        EXAMPLE_BODY.replace(b"PV Carport", b"\\ud800"),
        EXAMPLE_BODY.replace(b"+00:00", b"Z"),
        EXAMPLE_BODY.replace(b"+00:00", b""),
        EXAMPLE_BODY.replace(b"+00:00", b"+01:00"),
        EXAMPLE_BODY.replace(b".058551", b""),
        EXAMPLE_BODY.replace(b"2025-10-30", b"2025-13-30"),
        EXAMPLE_BODY.replace(b'"serial":"HQ2208AXN7V",', b""),
    ],
    ids=[
        "empty",
        "null",
        "list",
        "no members",
        "bottomless",
        "in a list",
        "newline after it",
        "blank before it",
        "byte order mark",
        "UTF-16",
        "cut off",
        "a member more",
        "NaN",
        "too large for a float",
        "whole number for a measured one",
        "endless number",
        "float for a count",
        "not UTF-8",
        "half a surrogate pair",
        "Z for the offset",
        "no offset",
        "another offset",
        "no microseconds",
        "no such month",
        "no serial",
    ],
)
def test_forms_that_this_program_does_not_write(body: bytes) -> None:
    """Near misses are refused as much as rubbish: stored bytes are sent bytes."""
    with pytest.raises(MalformedMeasurement):
        from_json(body)


def test_the_error_shows_where_the_trouble_starts() -> None:
    """Its text has what was expected and the first bytes found, but not a whole file."""
    with pytest.raises(MalformedMeasurement, match="expected a measurement, found b'x") as caught:
        from_json(b"x" * 10_000)
    assert len(str(caught.value)) < 200


def test_another_offset_is_never_kept_as_utc() -> None:
    """A summer evening in Berlin is not the same clock reading in UTC."""
    berlin = EXAMPLE.timestamp.astimezone(timezone(timedelta(hours=2)))
    assert is_refused(to_json(replace(EXAMPLE, timestamp=berlin)))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["A", "C"], ["A", "C"]),
        (["C", "A", "A"], ["A", "C"]),
        (["B", "unknown"], ["B"]),
        ([], []),
    ],
    ids=["some", "in order, once", "unknown ones", "none"],
)
def test_only_keeps_the_devices_wanted(wanted: list[str], expected: list[str]) -> None:
    """In their order and unchanged, as is all else: a retry says what the first try said."""
    whole = replace(EXAMPLE, devices=tuple(replace(CARPORT, serial=serial) for serial in "ABC"))
    part = whole.only(wanted)
    assert [device.serial for device in part.devices] == expected
    assert set(part.devices) <= set(whole.devices)
    assert replace(part, devices=whole.devices) == whole
