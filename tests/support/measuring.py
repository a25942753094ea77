"""Makes measurements and answers to them: use them to test what becomes of sent entries."""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from mqtt_http_bridge.core.delivery.answers import Reply
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, TrackerReport

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

NOT_FOUND = "Device {} not found"
UNAUTHORIZED = "Unauthorized"
CANNOT_STORE = "Failed to store measurement"


def report(serial: str, *, instance: int = 277, power_w: float = 64.5) -> DeviceReport:
    """A charger with one tracker."""
    return DeviceReport(
        device_instance=instance,
        serial=serial,
        name=f"Roof {serial}",
        product_name="BlueSolar Charger MPPT 150/45 rev3",
        reachable=True,
        producing=True,
        last_update_s=int(START.timestamp()),
        yield_power_w=power_w,
        yield_total_kwh=20.75,
        trackers=(TrackerReport(number=0, name="PV", voltage_v=62.5, power_w=power_w),),
    )


def measurement(*serials: str, at_s: float = 0.0) -> Measurement:
    """Returns what the chargers of `serials` say, `at_s` seconds after START."""
    return Measurement(
        timestamp=START + timedelta(seconds=at_s),
        cerbo_serial="c0619ab2f7e1",
        devices=tuple(report(s, instance=277 + n) for n, s in enumerate(serials)),
    )


def only(whole: Measurement, serials: Collection[str]) -> Measurement:
    """The same measurement with the devices of `serials` alone."""
    return whole._replace(devices=tuple(d for d in whole.devices if d.serial in serials))


def shifted(whole: Measurement, step: timedelta) -> Measurement:
    """The same measurement by a clock that shows `step` more."""
    step_s = round(step.total_seconds())
    devices = tuple(d._replace(last_update_s=d.last_update_s + step_s) for d in whole.devices)
    return whole._replace(timestamp=whole.timestamp + step, devices=devices)


def measurement_in(body: bytes) -> Measurement:
    """The measurement that a body of this version holds. KeyError or ValueError for another."""
    document = json.loads(body)
    return Measurement(
        timestamp=datetime.fromisoformat(document["timestamp"]),
        cerbo_serial=document["cerbo_serial"],
        devices=tuple(map(_report_in, document["devices"])),
    )


def _report_in(device: dict[str, Any]) -> DeviceReport:
    trackers = tuple(
        TrackerReport(t["tracker"], t["name"], t["voltage"], t["power"]) for t in device["trackers"]
    )
    names = ("device_instance", "serial", "name", "product_name", "reachable", "producing")
    return DeviceReport(
        **{name: device[name] for name in names},
        last_update_s=device["last_update"],
        yield_power_w=device["yield_power_w"],
        yield_total_kwh=device["yield_total_kwh"],
        trackers=trackers,
    )


def summary(status: int, **results: str) -> Reply:
    """The backend's summary; for each serial `ok`, or what went wrong."""
    found = [_result(serial, result) for serial, result in results.items()]
    return Reply(status, json.dumps({"total_devices": len(found), "results": found}).encode())


def _result(serial: str, result: str) -> dict[str, Any]:
    if result == "ok":
        return {"device_identifier": serial, "status": "ok", "inverter_id": 1}
    return {"device_identifier": serial, "status": "error", "error": result.format(serial)}


def violation(*places: list[Any], message: str = "Field required") -> Reply:
    """422, with the places at fault."""
    detail = [{"loc": place, "msg": message} for place in places]
    return Reply(422, json.dumps({"detail": detail}).encode())
