"""The wire format: what one POST says, and the only place that knows the backend's names."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

from mqtt_http_bridge.core.errors import MalformedMeasurement

_T = TypeVar("_T")

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class TrackerReport:
    """One PV tracker of a charger; `index` counts from 0."""

    index: int
    name: str
    voltage_v: float
    power_w: float


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One charger, with everything the backend asks of it."""

    device_instance: int
    serial: str
    name: str
    product_name: str
    reachable: bool
    producing: bool
    last_update_s: int
    """Unix seconds, UTC."""
    yield_power_w: float
    yield_total_kwh: float
    trackers: tuple[TrackerReport, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """All chargers of one GX at one moment."""

    timestamp: datetime
    """Aware, in UTC."""
    cerbo_serial: str
    devices: tuple[DeviceReport, ...]

    def only(self, serials: Iterable[str]) -> "Measurement":
        """The same measurement with the devices of `serials` alone."""
        wanted = frozenset(serials)
        return replace(self, devices=tuple(d for d in self.devices if d.serial in wanted))

    def shifted(self, step: timedelta) -> "Measurement":
        """The same measurement by a clock that shows `step` more."""
        step_s = round(step.total_seconds())
        devices = tuple(replace(d, last_update_s=d.last_update_s + step_s) for d in self.devices)
        return replace(self, timestamp=self.timestamp + step, devices=devices)


def to_json(measurement: Measurement) -> bytes:
    """The body of the POST, in compact UTF-8; equal measurements give equal bytes."""
    body = {
        "timestamp": measurement.timestamp.isoformat(timespec="microseconds"),
        "cerbo_serial": measurement.cerbo_serial,
        "devices": [_device_to_wire(device) for device in measurement.devices],
    }
    return _ENCODER.encode(body).encode()


def _device_to_wire(device: DeviceReport) -> dict[str, object]:
    return {
        "device_instance": device.device_instance,
        "serial": device.serial,
        "name": device.name,
        "product_name": device.product_name,
        "reachable": device.reachable,
        "producing": device.producing,
        "last_update": device.last_update_s,
        "yield_power_w": device.yield_power_w,
        "yield_total_kwh": device.yield_total_kwh,
        "trackers": [
            {"tracker": t.index, "name": t.name, "voltage": t.voltage_v, "power": t.power_w}
            for t in device.trackers
        ],
    }


@lru_cache(maxsize=1)  # The sender and who watches the backend both parse what was just sent.
def from_json(body: bytes) -> Measurement:
    """The measurement in `body`. Raises MalformedMeasurement for anything `to_json` cannot make."""
    try:
        measurement = _measurement_from_wire(json.loads(body))
        same = to_json(measurement) == body
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedMeasurement(f"expected a measurement, found {body[:80]!r}") from error
    if not same:
        raise MalformedMeasurement(f"expected what this program writes, found {body[:80]!r}")
    return measurement


def _measurement_from_wire(body: Any) -> Measurement:
    timestamp = datetime.fromisoformat(_take(body, "timestamp", str))
    if timestamp.utcoffset() != timedelta(0):
        raise ValueError("the timestamp is not in UTC")
    return Measurement(
        timestamp=timestamp.replace(tzinfo=UTC),
        cerbo_serial=_take(body, "cerbo_serial", str),
        devices=tuple(_device_from_wire(device) for device in _take(body, "devices", list)),
    )


def _device_from_wire(device: Any) -> DeviceReport:
    return DeviceReport(
        device_instance=_take(device, "device_instance", int),
        serial=_take(device, "serial", str),
        name=_take(device, "name", str),
        product_name=_take(device, "product_name", str),
        reachable=_take(device, "reachable", bool),
        producing=_take(device, "producing", bool),
        last_update_s=_take(device, "last_update", int),
        yield_power_w=_take(device, "yield_power_w", float),
        yield_total_kwh=_take(device, "yield_total_kwh", float),
        trackers=tuple(_tracker_from_wire(tracker) for tracker in _take(device, "trackers", list)),
    )


def _tracker_from_wire(tracker: Any) -> TrackerReport:
    return TrackerReport(
        index=_take(tracker, "tracker", int),
        name=_take(tracker, "name", str),
        voltage_v=_take(tracker, "voltage", float),
        power_w=_take(tracker, "power", float),
    )


def _take(members: Any, name: str, kind: type[_T]) -> _T:
    """The member `name`. Raises TypeError unless it is exactly of `kind`: to Python, True is 1."""
    value = members[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is no {kind.__name__}")
    return value
