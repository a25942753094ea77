"""Defines the contract of one measurement, from the receiving side.

It is pure: a request body goes in, findings come out. It knows nothing of the code that builds
measurements, so it can catch that code's mistakes. Findings come in three grades:

- `faults`: the schema is broken; the backend answers 422 and stores nothing of the request.
- `breakages`: the schema holds, but storing fails; the backend answers 500, every time.
- `departures`: the backend accepts it, but this project promises better.

The first two are the backend's observed behaviour, except that numbers in quotes and the like,
which a lenient parser may convert, count as faults here.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Any

Location = tuple[str | int, ...]
"""Field names and list indexes from the root, `("body", "devices", 0, "serial")`."""

ROOT: Location = ("body",)


@dataclass(frozen=True)
class Fault:
    """Holds one finding: where it is, and what was expected there."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.location))}: {self.message}"


class UnreadableBody(ValueError):
    """Raised if the body is not text (compressed, say): the backend answers 400."""


class NotJson(ValueError):
    """The body is text but no JSON document: the backend answers 422 with this `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Kind(Enum):
    """The type of a single value, named as the backend's error messages name it."""

    TEXT = "string"
    FLAG = "boolean"
    WHOLE = "integer"
    MEASURED = "number"
    MOMENT = "datetime"


@dataclass(frozen=True)
class Record:
    """Describes an object. No field may be null; those that are not described are ignored."""

    fields: "dict[str, Shape]"
    optional: frozenset[str] = frozenset()
    """The names of the fields that may be missing; every other one is required."""


@dataclass(frozen=True)
class Many:
    """Describes a list, possibly empty, whose items all have one shape."""

    item: "Shape"


Shape = Kind | Record | Many

Node = tuple[Shape, Location, Any]
"""A value, where it is, and the shape it should have."""

TRACKER = Record(
    {
        "tracker": Kind.WHOLE,
        "name": Kind.TEXT,
        "voltage": Kind.MEASURED,
        "power": Kind.MEASURED,
    }
)
DEVICE = Record(
    {
        "device_instance": Kind.WHOLE,
        "serial": Kind.TEXT,
        "name": Kind.TEXT,
        "product_name": Kind.TEXT,
        "reachable": Kind.FLAG,
        "producing": Kind.FLAG,
        "last_update": Kind.WHOLE,
        "yield_power_w": Kind.MEASURED,
        "yield_total_kwh": Kind.MEASURED,
        "trackers": Many(TRACKER),
    }
)
MEASUREMENT = Record(
    {
        "timestamp": Kind.MOMENT,
        "cerbo_serial": Kind.TEXT,
        "devices": Many(DEVICE),
    }
)

_UTC_WITH_MICROSECONDS = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00:00"
)


def decode(body: bytes) -> Any:
    """Parses the JSON in `body`, whatever its shape. Raises `UnreadableBody` or `NotJson`."""
    if not body:
        raise NotJson(Fault(ROOT, "Field required"))
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise NotJson(Fault((*ROOT, error.pos), f"JSON decode error: {error.msg}")) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(str(error)) from error


def faults(document: object) -> list[Fault]:
    """Finds every place where `document` breaks the schema; empty if the backend accepts it."""
    return [fault for node in _nodes(MEASUREMENT, ROOT, document) for fault in _mismatches(*node)]


def breakages(document: object) -> list[Fault]:
    """Finds what the backend fails to store in a `document` without faults."""
    found = []
    for _, location, value in _nodes(MEASUREMENT, ROOT, document):
        if isinstance(value, float) and not math.isfinite(value):
            found.append(Fault(location, f"expected a finite number, found {value}"))
        if location[-1] == "serial" and isinstance(value, str) and "\0" in value:
            found.append(Fault(location, f"expected no NUL, found {value!r}"))
    return found


def departures(document: Any, *, services: int = 1) -> list[Fault]:
    """Finds where a `document` without faults falls short of this project's own promises.

    `services` is the number of GX services the sender reads. Devices are ordered by service and
    instance, but the service is not on the wire: with n services, n ascending runs are allowed.
    """
    nodes = list(_nodes(MEASUREMENT, ROOT, document))
    return [
        *(fault for node in nodes for fault in _carelessness(*node)),
        *_disorder(document["devices"], services),
        *_repeated_serials(document["devices"]),
        *_contradictions(document["devices"]),
    ]


def _nodes(shape: Shape, location: Location, value: Any) -> Iterator[Node]:
    """Every value the schema knows, parents first. What is missing or misshapen has no children."""
    yield shape, location, value
    if isinstance(shape, Record) and isinstance(value, dict):
        for name, field in shape.fields.items():
            if name in value:
                yield from _nodes(field, (*location, name), value[name])
    elif isinstance(shape, Many) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nodes(shape.item, (*location, index), item)


def _mismatches(shape: Shape, location: Location, value: object) -> Iterator[Fault]:
    """Faults of one value, without those of its children."""
    if isinstance(shape, Kind):
        if not _is_of_kind(shape, value):
            yield Fault(location, f"Input should be a valid {shape.value}")
    elif isinstance(shape, Many):
        if not isinstance(value, list):
            yield Fault(location, "Input should be a valid list")
    elif isinstance(value, dict):
        for name in shape.fields:
            if name not in value and name not in shape.optional:
                yield Fault((*location, name), "Field required")
    else:
        yield Fault(location, "Input should be a valid dictionary or object")


def _is_of_kind(kind: Kind, value: object) -> bool:
    # type() and not isinstance(): to Python a bool is an int, to the contract it is not.
    match kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.WHOLE:
            return type(value) is int
        case Kind.MEASURED:
            return type(value) in (int, float)
        case Kind.MOMENT:
            return isinstance(value, str) and _is_timestamp(value)


def _is_timestamp(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _carelessness(shape: Shape, location: Location, value: Any) -> Iterator[Fault]:
    """Finds the departures that one value shows on its own."""
    if isinstance(shape, Record):
        for name in sorted(value.keys() - shape.fields.keys()):
            yield Fault((*location, name), "expected no such field")
    elif shape is Kind.MEASURED and isinstance(value, int):
        yield Fault(location, f"expected a JSON float such as {value}.0, found {value}")
    elif shape is Kind.TEXT and not value.strip():
        yield Fault(location, f"expected a text that is not blank, found {value!r}")
    elif shape is Kind.MOMENT and not _UTC_WITH_MICROSECONDS.fullmatch(value):
        yield Fault(location, f"expected UTC with microseconds and +00:00, found {value!r}")


def _disorder(devices: list[Any], services: int) -> Iterator[Fault]:
    location = (*ROOT, "devices")
    if not devices:
        yield Fault(location, "expected at least one device, found none")
    instances = [device["device_instance"] for device in devices]
    if _descents(instances) >= services:
        yield Fault(location, f"expected ascending device_instance, found {instances}")
    for index, device in enumerate(devices):
        numbers = [tracker["tracker"] for tracker in device["trackers"]]
        if _descents(numbers):
            where = (*location, index, "trackers")
            yield Fault(where, f"expected ascending tracker numbers, found {numbers}")


def _descents(numbers: list[int]) -> int:
    """Counts the numbers that are not above the one before."""
    return sum(later <= earlier for earlier, later in pairwise(numbers))


def _repeated_serials(devices: list[Any]) -> Iterator[Fault]:
    """Finds repeated serials: rows are kept by (timestamp, serial), so one of the two gets lost."""
    for serial, times in Counter(device["serial"] for device in devices).items():
        if times > 1:
            yield Fault((*ROOT, "devices"), f"expected {serial} once, found it {times} times")


def _contradictions(devices: list[Any]) -> Iterator[Fault]:
    for index, device in enumerate(devices):
        if device["producing"] and not device["reachable"]:
            where = (*ROOT, "devices", index, "producing")
            yield Fault(where, "expected false for a device that is not reachable, found true")
