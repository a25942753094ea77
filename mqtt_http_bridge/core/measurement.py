"""Defines a measurement: all chargers of one GX at one moment, independent of any backend.

`core.delivery.dialect` turns it into what a backend expects.
"""

from datetime import datetime
from typing import NamedTuple


class TrackerReport(NamedTuple):
    """Holds one PV tracker of a charger; `number` counts from 0."""

    number: int
    name: str
    voltage_v: float
    power_w: float


class DeviceReport(NamedTuple):
    """Holds everything that is reported about one charger."""

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


class Measurement(NamedTuple):
    """Holds all chargers of one GX at one moment."""

    timestamp: datetime
    """UTC, with its time zone set."""
    cerbo_serial: str
    devices: tuple[DeviceReport, ...]
