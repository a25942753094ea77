"""A sunny day on some roofs: what their chargers say at each time of it, and what came of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Final

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, TrackerReport
from mqtt_http_bridge.core.status.history import History
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import ChargerView

ZONE: Final = "Europe/Berlin"
DAWN: Final = datetime(2026, 6, 20, 22, 0, tzinfo=UTC)
"""Midnight there."""
NOON_S: Final = 14.5 * 3600
EVENING_S: Final = 22.9 * 3600
PORTAL: Final = "c0619ab2f7e1"
STEP_S: Final = 240
DAY_S: Final = 86_400
BOOTED_S: Final = 200_000.0


def at(seconds: float) -> Moment:
    """A moment of that day; the machine was started two days before."""
    return Moment(BOOTED_S + seconds, DAWN + timedelta(seconds=seconds))


CLOUDS: Final = (
    (0.31, 0.008, 0.35),
    (0.44, 0.012, 0.55),
    (0.475, 0.006, 0.3),
    (0.545, 0.02, 0.6),
    (0.7, 0.03, 0.25),
    (0.78, 0.01, 0.4),
)
"""Their time, length and thickness, as shares of the day and of the sun."""


@cache
def sun_w(seconds: float, peak_w: float, shift: float = 0.0) -> float:
    """Reckons the yield of a roof at a time of the day: a bell with some clouds."""
    share = (seconds - (5.2 + shift) * 3600) / (15.6 * 3600)
    if not 0.0 < share < 1.0:
        return 0.0
    clouds = sum(
        depth * math.exp(-(((share - middle - peak_w % 7 / 900) / width) ** 2))
        for middle, width, depth in CLOUDS
    )
    return float(round(peak_w * math.sin(math.pi * share) ** 1.4 * max(1.0 - clouds, 0.12), 1))


@cache
def grown_by_step_kwh(peak_w: float, shift: float) -> Sequence[float]:
    """Reckons what a roof has yielded since midnight, after each step of the day."""
    steps = (sun_w(t, peak_w, shift) * STEP_S / 3.6e6 for t in range(0, DAY_S, STEP_S))
    return list(accumulate(steps, initial=0.0))


@dataclass(frozen=True)
class Roof:
    """One charger, as it stands on a sunny day."""

    instance: int
    serial: str
    name: str
    product: str = "SmartSolar Charger MPPT 150/35"
    peak_w: float = 1400.0
    shift: float = 0.0
    total_kwh: float = 1274.25
    trackers: tuple[str, ...] = ("PV",)

    def report(self, seconds: float) -> DeviceReport:
        """Makes the report of it at a time of the day."""
        power_w = sun_w(seconds, self.peak_w, self.shift)
        steps = -(-int(max(0.0, seconds)) // STEP_S)
        grown_kwh = grown_by_step_kwh(self.peak_w, self.shift)[steps]
        share = power_w / len(self.trackers)
        volts, more = (62.5, 11.3) if power_w else (0.3, 0.2)
        return DeviceReport(
            device_instance=self.instance,
            serial=self.serial,
            name=self.name,
            product_name=self.product,
            reachable=True,
            producing=power_w > 0.0,
            last_update_s=int(at(seconds).utc.timestamp()),
            yield_power_w=power_w,
            yield_total_kwh=round(self.total_kwh + grown_kwh, 2),
            trackers=tuple(
                TrackerReport(n, name, volts + more * n, share)
                for n, name in enumerate(self.trackers)
            ),
        )

    def sayings(self, seconds: float) -> Mapping[str, object]:
        """Tells what it says on the paths that count, at a time of the day."""
        report = self.report(seconds)
        said: dict[str, object] = {
            "Connected": 1,
            "Serial": self.serial,
            "ProductName": self.product,
            "CustomName": self.name,
            "State": 3 if report.producing else 0,
            "NrOfTrackers": len(self.trackers),
            "Yield/Power": report.yield_power_w,
            "Yield/System": report.yield_total_kwh,
        }
        if len(self.trackers) == 1:
            return said | {"Pv/V": report.trackers[0].voltage_v}
        for n, tracker in enumerate(report.trackers):
            said |= {f"Pv/{n}/Name": tracker.name, f"Pv/{n}/Enabled": 1}
            said |= {f"Pv/{n}/V": tracker.voltage_v, f"Pv/{n}/P": tracker.power_w}
        return said

    def view(self, seconds: float, **changes: object) -> ChargerView:
        """Makes the view of it."""
        report = self.report(seconds)
        view = ChargerView(
            key=ChargerKey("solarcharger", self.instance),
            serial=self.serial,
            name=self.name,
            is_on_bus=True,
            state=3 if report.producing else 0,
            heard_s=at(seconds).monotonic_s - 1.0,
            report=report,
            power_w=report.yield_power_w,
            total_kwh=report.yield_total_kwh,
        )
        return view._replace(**changes)  # type: ignore[arg-type]


SOUTH = Roof(277, "HQ2208AXN7V", "South roof", peak_w=2100.0)
BARN = Roof(
    0,
    "1234567 HQ2233RS45X",
    "Barn",
    "SmartSolar MPPT RS 450/200",
    peak_w=5200.0,
    shift=0.6,
    total_kwh=18_312.4,
    trackers=("Barn east", "Barn west", "Shed"),
)
CARPORT = Roof(289, "HQ2211CCCC3", "Carport", "SmartSolar MPPT 100/20 48V", 640.0, -0.3, 9.02)
THREE = (SOUTH, BARN, CARPORT)


def history_of(
    roofs: Sequence[Roof],
    until_s: float,
    from_s: float = -9.5 * 3600,
    holes: Callable[[Roof, float], bool] = lambda roof, seconds: False,
) -> History:
    """Measures from one time of the day to another; nothing where there is a hole."""
    history = History(STEP_S)
    powers = {roof.serial: roof.total_kwh for roof in roofs}
    blank = SOUTH.report(0)
    for seconds in range(int(from_s), int(until_s) + 1, STEP_S):
        devices = []
        for roof in roofs:
            power_w = sun_w(seconds % DAY_S, roof.peak_w, roof.shift)
            powers[roof.serial] += power_w * STEP_S / 3.6e6 if seconds > 0 else 0.0
            if not holes(roof, seconds):
                report = blank._replace(
                    serial=roof.serial,
                    yield_power_w=power_w,
                    yield_total_kwh=round(powers[roof.serial], 2),
                )
                devices.append(report)
        history.add(Measurement(at(seconds).utc, PORTAL, tuple(devices)))
    return history
