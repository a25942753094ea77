"""Posts for `check`, and waits for what the service posts."""

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import standard_streams
from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.listen import Heard
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.core.delivery.refusal import Refusal, refusal_of
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.settings import OutboxSettings, Settings
from mqtt_http_bridge.core.status.state_file import State
from mqtt_http_bridge.core.views import ChargerView

CHECK_SERIAL: Final = "mqtt-http-bridge-check"
"""No backend knows this serial, so nothing is stored for it."""
NO_PORTAL: Final = "unknown"
"""Stands for the portal id if no GX was heard."""
MEASURED_WITHIN_S: Final = 600.0
"""The most seconds to wait for the next measurement of the service."""
WRITE_S: Final = 15.0
"""Seconds that the service may take to post a measurement and to save the result."""
LOOK_EVERY_S: Final = 0.25


def longest_wait_s(settings: Settings) -> float:
    """Returns how long the next measurement of a service may be waited for.

    It comes within an interval, and is written down within another one.
    """
    return min(2 * settings.device.update_interval_s + WRITE_S, MEASURED_WITHIN_S)


def relayed(heard: Heard, settings: Settings) -> Iterator[tuple[str, ChargerView]]:
    """Lists the chargers that can be relayed, each with the portal id of its GX."""
    for portal_id, gx in heard.gxs.items():
        for charger in gx.chargers:
            if charger.key.service in settings.mqtt.services:
                yield portal_id, charger


def measurements(heard: Heard, settings: Settings) -> Iterator[tuple[str, Measurement]]:
    """Returns what the service would post from what was heard of each GX, with its portal id."""
    if heard.ended is None:
        return
    names = settings.device.cerbo_serial
    first = next(iter(heard.gxs), None)
    for portal_id in heard.gxs:
        own = names.get(portal_id) if isinstance(names, Mapping) else None
        name = names if isinstance(names, str) and portal_id == first else own
        chargers = (c for found_at, c in relayed(heard, settings) if found_at == portal_id)
        reports = tuple(c.report for c in chargers if c.report is not None)
        if reports:
            yield portal_id, Measurement(heard.ended.utc, name or portal_id, reports)


def made_up(now_s: int) -> DeviceReport:
    """Makes a report of a charger that does not exist."""
    return DeviceReport(
        device_instance=0,
        serial=CHECK_SERIAL,
        name="mqtt-http-bridge check",
        product_name="none: this is a check",
        reachable=False,
        producing=False,
        last_update_s=now_s,
        yield_power_w=0.0,
        yield_total_kwh=0.0,
        trackers=(),
    )


def parked_refusals(outbox: OutboxSettings) -> dict[str, Refusal]:
    """Returns what is parked in the outbox, by serial."""
    try:
        status = inspection.status(Path(outbox.directory), outbox.max_bytes, DIALECT)
    except LocalFault:
        return {}
    return {
        parked.serial: refusal_of(parked.serial, parked.reason, DIALECT.causes)
        for portal in status.portals
        for parked in portal.parked
    }


def await_verdicts(settings: Settings, serials: Collection[str], since: float) -> State | None:
    """Waits until the service has written the results for `serials` since `since`.

    Returns what it has written by then, or when the time is up, or the service has ended.
    """
    longest_s = longest_wait_s(settings)
    ends_s = time.monotonic() + longest_s
    text = f"waiting for the service's next measurement, for {longest_s:.0f} s at most"
    standard_streams.say(text)
    while True:
        found = service_state(settings.outbox)
        if not found.is_running or found.state is None:
            return found.state
        judged = {device.serial for device in found.state.devices if device.at >= since}
        if judged.issuperset(serials) or time.monotonic() >= ends_s:
            return found.state
        time.sleep(LOOK_EVERY_S)
