"""Tests the contract of one measurement, field by field."""

import copy
import gzip
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from mqtt_http_bridge.demo import contract
from mqtt_http_bridge.demo.contract import (
    Fault,
    Kind,
    Location,
    NotJson,
    Record,
    UnreadableBody,
    breakages,
    decode,
    departures,
    faults,
)

TRACKER = {"tracker": 0, "name": "PV", "voltage": 62.55, "power": 16.38}
DEVICE = {
    "device_instance": 281,
    "serial": "HQ2208AXN7V",
    "name": "PV Carport",
    "product_name": "BlueSolar Charger MPPT 150/45 rev3",
    "reachable": True,
    "producing": False,
    "last_update": 1761838053,
    "yield_power_w": 16.38,
    "yield_total_kwh": 1274.38,
    "trackers": [TRACKER],
}
MEASUREMENT = {
    "timestamp": "2025-10-30T15:27:33.058551+00:00",
    "cerbo_serial": "c0619ab35133",
    "devices": [DEVICE],
}

ROOT_PATH: Location = ()
DEVICE_PATH: Location = ("devices", 0)
TRACKER_PATH: Location = (*DEVICE_PATH, "trackers", 0)

WRONG_VALUES: dict[str, tuple[object, ...]] = {
    "text": (None, 7, True, ["x"], {}),
    "flag": (None, 0, 1, "true", []),
    "whole": (None, 1.0, 1.5, "1", True, []),
    "measured": (None, "12.5", True, [], {}),
    "moment": (None, 1761838053, "yesterday", "", "2025-13-01T00:00:00.000000+00:00"),
    "list": (None, {}, "x", 0),
}
FIELDS: dict[Location, str] = {
    ("timestamp",): "moment",
    ("cerbo_serial",): "text",
    ("devices",): "list",
    (*DEVICE_PATH, "device_instance"): "whole",
    (*DEVICE_PATH, "serial"): "text",
    (*DEVICE_PATH, "name"): "text",
    (*DEVICE_PATH, "product_name"): "text",
    (*DEVICE_PATH, "reachable"): "flag",
    (*DEVICE_PATH, "producing"): "flag",
    (*DEVICE_PATH, "last_update"): "whole",
    (*DEVICE_PATH, "yield_power_w"): "measured",
    (*DEVICE_PATH, "yield_total_kwh"): "measured",
    (*DEVICE_PATH, "trackers"): "list",
    (*TRACKER_PATH, "tracker"): "whole",
    (*TRACKER_PATH, "name"): "text",
    (*TRACKER_PATH, "voltage"): "measured",
    (*TRACKER_PATH, "power"): "measured",
}
OPTIONAL: set[Location] = set()
"""The fields that may be missing."""
REQUIRED = [path for path in FIELDS if path not in OPTIONAL]


def name_of(path: Location) -> str:
    """The path as pytest shows it."""
    return ".".join(map(str, path)) or "root"


def parent_of(document: Any, path: Location) -> Any:
    """The object or list that holds the value at `path`."""
    for step in path[:-1]:
        document = document[step]
    return document


def measurement_with(path: Location, value: object) -> Any:
    """A fresh valid measurement, but for one value."""
    document = copy.deepcopy(MEASUREMENT)
    parent_of(document, path)[path[-1]] = value
    return document


def measurement_without(path: Location) -> Any:
    """A fresh valid measurement, but for one missing field."""
    document = copy.deepcopy(MEASUREMENT)
    del parent_of(document, path)[path[-1]]
    return document


def measurement_of(*devices: dict[str, object]) -> Any:
    """A measurement of the valid device changed in the ways given, once for each."""
    return {**MEASUREMENT, "devices": [{**DEVICE, **changes} for changes in devices]}


def locations(found: list[Fault]) -> list[Location]:
    """Returns the places of the findings, without the root."""
    assert all(fault.location[0] == "body" for fault in found)
    return [fault.location[1:] for fault in found]


def wrong_values() -> list[Any]:
    """Every field with every wrong value."""
    return [
        pytest.param(path, value, id=f"{name_of(path)}={value!r}")
        for path, kind in FIELDS.items()
        for value in WRONG_VALUES[kind]
    ]


def field_paths(document: Any, path: Location = ()) -> Iterator[Location]:
    """The paths of all object fields in a document."""
    steps = document.items() if isinstance(document, dict) else enumerate(document)
    for step, value in steps:
        if isinstance(document, dict):
            yield (*path, step)
        if isinstance(value, dict | list):
            yield from field_paths(value, (*path, step))


def test_the_example_is_without_findings() -> None:
    """The request observed in the field passes every check."""
    document = decode(json.dumps(MEASUREMENT).encode())
    assert document == MEASUREMENT
    assert faults(document) == []
    assert breakages(document) == []
    assert departures(document) == []


def test_the_table_of_fields_is_complete() -> None:
    """No field of the example escapes the tests below."""
    assert set(field_paths(MEASUREMENT)) == set(FIELDS)


@pytest.mark.parametrize("path", REQUIRED, ids=name_of)
def test_every_other_field_is_required(path: Location) -> None:
    """A missing field is one fault, at the place where it should be."""
    assert faults(measurement_without(path)) == [Fault(("body", *path), "Field required")]


def test_an_optional_field_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Null and a wrong type are still faults, and the other fields are still required."""
    shape = Record({"serial": Kind.TEXT, "mode": Kind.WHOLE}, optional=frozenset({"mode"}))
    monkeypatch.setattr(contract, "MEASUREMENT", shape)
    assert faults({"serial": "HQ2208AXN7V"}) == []
    assert faults({"serial": "HQ2208AXN7V", "mode": 2}) == []
    assert locations(faults({"serial": "HQ2208AXN7V", "mode": None})) == [("mode",)]
    assert locations(faults({"serial": "HQ2208AXN7V", "mode": "2"})) == [("mode",)]
    assert locations(faults({"mode": 2})) == [("serial",)]


@pytest.mark.parametrize(("path", "value"), wrong_values())
def test_every_field_has_a_type(path: Location, value: object) -> None:
    """Null and every wrong type are one fault, at the value's place."""
    assert locations(faults(measurement_with(path, value))) == [path]


@pytest.mark.parametrize("path", [DEVICE_PATH, TRACKER_PATH], ids=name_of)
@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_devices_and_trackers_are_objects(path: Location, value: object) -> None:
    """Anything else in their lists is a fault at that index."""
    assert locations(faults(measurement_with(path, value))) == [path]


@pytest.mark.parametrize("document", [None, [], [MEASUREMENT], "x", 1, b"{}"])
def test_a_measurement_is_one_object(document: object) -> None:
    """Also a list of measurements is refused, as a whole."""
    assert locations(faults(document)) == [ROOT_PATH]


def test_all_faults_are_found_at_once() -> None:
    """The sender learns of every faulty device from one answer."""
    document = measurement_of({"serial": None}, {}, {"yield_power_w": "1", "trackers": [{}]})
    assert set(locations(faults(document))) == {
        ("devices", 0, "serial"),
        ("devices", 2, "yield_power_w"),
        *(("devices", 2, "trackers", 0, name) for name in TRACKER),
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*DEVICE_PATH, "yield_power_w"), 16),
        ((*DEVICE_PATH, "device_instance"), 0),
        ((*DEVICE_PATH, "trackers"), []),
        (("devices",), []),
        (("timestamp",), "2025-10-30T15:27:33"),
        (("timestamp",), "1969-07-20T20:17:40Z"),
        (("surplus",), {"anything": None}),
    ],
    ids=str,
)
def test_what_the_backend_puts_up_with(path: Location, value: object) -> None:
    """These are no faults, whatever else may be said of them."""
    document = measurement_with(path, value)
    assert faults(document) == []
    assert breakages(document) == []


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (b"", ("body",)),
        (b'{"timestamp":', ("body", 13)),
        (b"{'timestamp': 1}", ("body", 1)),
        (b"{} {}", ("body", 3)),
    ],
)
def test_text_that_is_not_json(body: bytes, location: Location) -> None:
    """The fault tells the place where the text stops making sense."""
    with pytest.raises(NotJson) as caught:
        decode(body)
    assert caught.value.fault.location == location


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"{}"), b'"\xff"', b"[" * 100_000, b"1" * 10_000],
    ids=["gzip", "not UTF-8", "bottomless", "endless number"],
)
def test_bodies_no_parser_takes(body: bytes) -> None:
    """They raise the one documented error, never another."""
    with pytest.raises(UnreadableBody):
        decode(body)


@pytest.mark.parametrize(
    "path", [p for p, kind in FIELDS.items() if kind == "measured"], ids=name_of
)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_break_the_backend(path: Location, text: str) -> None:
    """They are of the right type, so no fault, but they cannot be stored."""
    document = measurement_with(path, json.loads(text))
    assert faults(document) == []
    assert locations(breakages(document)) == [path]


def test_nul_in_the_serial_breaks_the_backend() -> None:
    """In a device's serial, and there only."""
    document = measurement_of({"serial": "HQ\0"}, {"name": "PV\0"})
    assert locations(breakages(document)) == [("devices", 0, "serial")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surplus",), 1),
        ((*DEVICE_PATH, "surplus"), None),
        ((*TRACKER_PATH, "surplus"), math.pi),
        ((*DEVICE_PATH, "yield_power_w"), 16),
        ((*DEVICE_PATH, "yield_total_kwh"), 0),
        ((*TRACKER_PATH, "voltage"), 62),
        ((*TRACKER_PATH, "power"), -1),
        (("timestamp",), "2025-10-30T15:27:33.058551Z"),
        (("timestamp",), "2025-10-30T15:27:33.058551"),
        (("timestamp",), "2025-10-30T15:27:33+00:00"),
        (("timestamp",), "2025-10-30T15:27:33.058+00:00"),
        (("timestamp",), "2025-10-30T16:27:33.058551+01:00"),
        (("timestamp",), "2025-10-30 15:27:33.058551+00:00"),
        (("cerbo_serial",), " "),
        ((*DEVICE_PATH, "name"), ""),
        (("devices",), []),
        ((*DEVICE_PATH, "producing"), True),
    ],
    ids=str,
)
def test_departures_of_one_value(path: Location, value: object) -> None:
    """It names what the backend takes without a word, and we do not send."""
    document = measurement_with(path, value)
    document_off = {
        **document,
        "devices": [{**device, "reachable": False} for device in document["devices"]],
    }
    assert faults(document_off) == []
    assert locations(departures(document_off)) == [path]


def test_a_device_in_reach_may_produce() -> None:
    """Only the two together contradict each other."""
    assert departures(measurement_of({"reachable": True, "producing": True})) == []


def test_devices_ascend_by_instance() -> None:
    """Out of order, or twice the same instance, is said once, with all of them."""
    ordered = [{"device_instance": 0, "serial": "A"}, {"device_instance": 281, "serial": "B"}]
    assert departures(measurement_of(*ordered)) == []
    found = departures(measurement_of(*reversed(ordered)))
    assert list(map(str, found)) == [
        "body.devices: expected ascending device_instance, found [281, 0]"
    ]
    same_instance = measurement_of({"serial": "A"}, {"serial": "B"})
    assert locations(departures(same_instance)) == [("devices",)]


def test_each_service_starts_the_order_anew() -> None:
    """With several services read, there is an ascending run for each, and no more."""
    instances = (("A", 5), ("B", 0), ("C", 1), ("D", 0))
    devices = [{"serial": serial, "device_instance": number} for serial, number in instances]
    assert departures(measurement_of(*devices), services=3) == []
    assert locations(departures(measurement_of(*devices), services=2)) == [("devices",)]


def test_trackers_ascend_by_number() -> None:
    """Disabled ones leave gaps; the order stays."""
    first, third = {**TRACKER, "tracker": 0}, {**TRACKER, "tracker": 2}
    assert departures(measurement_of({"trackers": [first, third]})) == []
    for trackers in ([third, first], [first, first]):
        found = departures(measurement_of({"trackers": trackers}))
        assert locations(found) == [(*DEVICE_PATH, "trackers")]


def test_a_serial_is_said_once() -> None:
    """Rows are kept by timestamp and serial, so the second would replace the first."""
    found = departures(measurement_of({"device_instance": 1}, {"device_instance": 2}))
    assert list(map(str, found)) == ["body.devices: expected HQ2208AXN7V once, found it 2 times"]
