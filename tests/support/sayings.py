"""Builds what chargers publish, and when: use it in tests of the core about chargers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport, TrackerReport
from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay.chargers import Chargers
from mqtt_http_bridge.core.relay.presence import Change
from mqtt_http_bridge.core.relay.serials import Serials
from mqtt_http_bridge.core.settings import DeviceSettings
from mqtt_http_bridge.core.venus.payloads import GONE, Said, parse
from mqtt_http_bridge.core.venus.readings import ChargerKey

PORTAL_ID = "c0619ab2f7e1"
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEY = ChargerKey("solarcharger", 277)

Values = Mapping[str, object]
"""The sayings of a charger, by path, as JSON has them."""

SINGLE: Values = {
    "Connected": 1,
    "CustomName": "South roof",
    "NrOfTrackers": 1,
    "ProductName": "BlueSolar Charger MPPT 150/45 rev3",
    "Pv/V": 62.5,
    "Serial": "HQ2211AAAA1",
    "State": 252,
    "Yield/Power": 64.5,
    "Yield/System": 20.75,
}
"""A charger with one tracker, under the control of the GX."""

OLD: Values = {
    path: value for path, value in SINGLE.items() if path not in ("NrOfTrackers", "CustomName")
}
"""The same with old firmware."""

SEVERAL: Values = {
    "Connected": 1,
    "CustomName": "Barn",
    "NrOfTrackers": 3,
    "ProductName": "SmartSolar MPPT RS 450/200",
    "Pv/0/Enabled": 1,
    "Pv/0/Name": "East",
    "Pv/0/P": 1473.0,
    "Pv/0/V": 311.75,
    "Pv/1/P": 1266.0,
    "Pv/1/V": 290.5,
    "Pv/2/Enabled": 1,
    "Pv/2/Name": "",
    "Pv/2/P": 666.0,
    "Pv/2/V": 303.0,
    "Serial": "1234567 HQ2233RS45X",
    "State": 3,
    "Yield/Power": 3405.0,
    "Yield/System": 18250.5,
}
"""A charger with three trackers: one says everything, one the least, one has a blank name."""


def moment(at_s: float) -> Moment:
    """The moment `at_s` seconds into the test, on both clocks."""
    return Moment(at_s, START + timedelta(seconds=at_s))


def unix_s(at_s: float) -> int:
    """The whole Unix second in which that moment is."""
    return int(START.timestamp() + at_s)


SOUTH_ROOF = DeviceReport(
    device_instance=277,
    serial="HQ2211AAAA1",
    name="South roof",
    product_name="BlueSolar Charger MPPT 150/45 rev3",
    reachable=True,
    producing=True,
    last_update_s=unix_s(0.0),
    yield_power_w=64.5,
    yield_total_kwh=20.75,
    trackers=(TrackerReport(number=0, name="PV", voltage_v=62.5, power_w=64.5),),
)
"""The report of SINGLE, said at 0 s."""


def payload_of(value: object) -> bytes:
    """A value in the form in which the GX sends it."""
    return json.dumps({"value": value}, separators=(",", ":")).encode()


def said(value: object) -> Said:
    """A value, taken in as it comes from the GX."""
    return parse(payload_of(value))


def sayings(values: Values) -> dict[str, Said]:
    """All of `values`, taken in."""
    return {path: said(value) for path, value in values.items()}


def without(values: Values, *paths: str) -> Values:
    """The same but for `paths`, of which nothing is said."""
    return {path: value for path, value in values.items() if path not in paths}


class Bus:
    """A chargers, and in one line each what happens on its bus."""

    def __init__(
        self,
        portal_id: str = PORTAL_ID,
        beside: "Bus | None" = None,
        own_keys: Mapping[str, str] = MappingProxyType({}),
        **settings: Any,
    ) -> None:
        """Takes the fields of DeviceSettings; or the bus of another GX, `beside` which it is."""
        self.settings: DeviceSettings = beside.settings if beside else DeviceSettings(**settings)
        self.serials: Serials = beside.serials if beside else Serials(self.settings, own_keys)
        self.chargers = Chargers(portal_id, self.settings, self.serials)

    def say(self, values: Values, at_s: float = 0.0, key: ChargerKey = KEY) -> list[Change | None]:
        """The charger says `values`, one after the other; the changes that came of each."""
        return [self.chargers.hear(key, path, said(value), at_s) for path, value in values.items()]

    def leave(self, at_s: float, key: ChargerKey = KEY, paths: Values = SINGLE) -> None:
        """The charger leaves: a zero-length payload on each of its topics."""
        for path in paths:
            self.chargers.hear(key, path, GONE, at_s)

    def retain(self, values: Values, key: ChargerKey = KEY) -> None:
        """The broker tells `values`, which it has kept from some time."""
        for path, value in values.items():
            self.chargers.hear_retained(key, path, said(value), 0.0)

    def publish(self, values: Values, at_s: float, key: ChargerKey = KEY) -> bool:
        """A full publish, asked for at `at_s`, tells `values`; true if another one is needed."""
        self.say(values, at_s, key)
        return self.chargers.confirm(requested_s=at_s, now_s=at_s)

    def found(self, at_s: float, key: ChargerKey = KEY) -> DeviceReport | Omission | None:
        """Returns what the reports has of the charger; None if it does not know it."""
        return self.chargers.reports(moment(at_s)).get(key)

    def report(self, at_s: float, key: ChargerKey = KEY) -> DeviceReport:
        """The report of the charger, which there must be."""
        found = self.found(at_s, key)
        assert isinstance(found, DeviceReport), found
        return found


def left_out(bus: Bus, at_s: float) -> Cause:
    """Returns why the charger is not reported, which there must be a reason for."""
    found = bus.found(at_s)
    assert isinstance(found, Omission), found
    return found.cause


def bus_with(values: Values = SINGLE, **settings: Any) -> Bus:
    """A bus with one charger, which said `values` at 0 s."""
    bus = Bus(**settings)
    bus.say(values)
    return bus
