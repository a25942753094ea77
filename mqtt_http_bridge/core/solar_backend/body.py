"""Serializes a measurement for the Solar Backend API; `stored_text` reads it again."""

import json
from typing import Final

from mqtt_http_bridge.core.measurement import DeviceReport, Measurement

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_body(measurement: Measurement) -> bytes:
    """Makes the body of the POST, in compact UTF-8; equal measurements give equal bytes."""
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
            {"tracker": t.number, "name": t.name, "voltage": t.voltage_v, "power": t.power_w}
            for t in device.trackers
        ],
    }
