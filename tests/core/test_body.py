"""Tests that the body is written exactly as docs/backend.md shows."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given

from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, TrackerReport
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.demo import contract
from tests.support.any_measurement import measurements
from tests.support.measuring import measurement_in

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
    trackers=(TrackerReport(number=0, name="PV", voltage_v=62.55, power_w=16.38),),
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


def test_the_example_is_written_to_the_byte() -> None:
    """Names, order, types and spacing are those of a request that the backend is known to take."""
    assert to_body(EXAMPLE) == EXAMPLE_BODY


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
    body = to_body(EXAMPLE._replace(devices=(CARPORT._replace(yield_power_w=number),)))
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
    body = to_body(EXAMPLE._replace(timestamp=EXAMPLE.timestamp.replace(microsecond=microsecond)))
    assert json.loads(body)["timestamp"] == f"2025-10-30T{expected}"


def test_texts_are_utf_8() -> None:
    """Not escaped: a person can read a spooled file."""
    body = to_body(EXAMPLE._replace(devices=(CARPORT._replace(name='Süd "Dach" ☀'),)))
    assert '"name":"Süd \\"Dach\\" ☀"'.encode() in body


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_never_written(number: float) -> None:
    """JSON has no form for it, and the backend would fail on it every time."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_body(EXAMPLE._replace(devices=(CARPORT._replace(yield_power_w=number),)))


@given(measurements)
def test_every_measurement_survives_the_disk(measurement: Measurement) -> None:
    """Nothing of it is lost in the bytes, and equal measurements give equal ones."""
    body = to_body(measurement)
    assert measurement_in(body) == measurement
    assert to_body(measurement_in(body)) == body


@given(measurements)
def test_every_measurement_keeps_the_contract(measurement: Measurement) -> None:
    """The validator that knows nothing of this module finds no fault in the form."""
    assert contract.faults(contract.decode(to_body(measurement))) == []
