"""Keeps the last day of each charger in a fixed ring: its power, for plots, and its energy.

Power: means over equal spans of time, `SLOTS` of them. A young service has short spans, so that a
plot has a shape after minutes; as time goes on, two spans become one, until a day fits. Energy: how
much a charger's total has grown in each quarter of an hour, as midnight in every time zone ends
one. Every charger takes about 2 kB.

The times are those of the wall clock. If that is set back, or far ahead, everything starts again.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from types import MappingProxyType
from typing import Final, NamedTuple

from mqtt_http_bridge.core.measurement import DeviceReport, Measurement

SLOTS: Final = 360
QUARTERS: Final = 104
"""A day and two hours: the day on which clocks are put back has 25 h."""
QUARTER_S: Final = 900
SHORTEST_SPAN_S: Final = 60
LONGEST_SPAN_S: Final = 240
"""With it, the slots hold a day."""
MOST_CHARGERS: Final = 4096
"""The most chargers of one process; with one more, the one measured longest ago is forgotten."""
RECENT_SLOTS: Final = 10
RECENT_QUARTERS: Final = 3


@dataclass(slots=True)
class _Ring:
    """The last `size` numbers, each with its place in time; NaN: unknown."""

    size: int
    last: int = -1
    """The newest place there is."""
    values: "array[float]" = field(init=False)

    def __post_init__(self) -> None:
        self.values = array("f", [nan]) * self.size

    def advance(self, place: int) -> None:
        """Makes `place` the newest, if it is newer; those in between are unknown."""
        for passed in range(max(self.last + 1, place - self.size + 1), place + 1):
            self.values[passed % self.size] = nan
        self.last = max(self.last, place)

    def put(self, place: int, value: float) -> None:
        """Sets one of the known places."""
        self.values[place % self.size] = value

    def get(self, place: int) -> float:
        """Returns the value at a place."""
        is_there = self.last - self.size < place <= self.last
        return self.values[place % self.size] if is_there else nan

    def until(self, last: int, most: int) -> "array[float]":
        """The last `most` places, oldest first, which end with `last`."""
        begin = (self.last + 1) % self.size
        found = self.values[begin:] + self.values[:begin]
        ahead = min(max(0, last - self.last), self.size)
        found = found[ahead:] + array("f", [nan]) * ahead
        return found[-most:]


@dataclass(slots=True)
class _Series:
    """Holds the history of one charger."""

    since_s: float
    power: _Ring = field(default_factory=lambda: _Ring(SLOTS))
    gains: _Ring = field(default_factory=lambda: _Ring(QUARTERS))
    sum_w: float = 0.0
    count: int = 0
    """The number of measurements in the newest span."""
    total_kwh: float = nan


class SeriesView(NamedTuple):
    """Shows one charger: lists of equal length, which end at the same time; NaN: not known."""

    since_s: float
    """The time of its first measurement, Unix seconds."""
    total_kwh: float
    """The total that `gains_wh` leads up to."""
    power_w: "array[float]"
    gains_wh: "array[float]"


class HistoryView(NamedTuple):
    """Holds what is known of all chargers at one moment; times are Unix seconds."""

    span_s: int
    ends_s: int
    """The end of the newest span, which is usually later than the moment."""
    quarters_end_s: int
    since_s: float
    """The time of the first measurement of all."""
    chargers: Mapping[str, SeriesView]
    """By serial."""


def first_span_s(interval_s: float) -> int:
    """Returns the first span: with measurements this far apart, no span may be empty."""
    span_s = SHORTEST_SPAN_S
    while span_s < 2 * interval_s:
        span_s *= 2
    return span_s


class History:
    """The last day of each charger. Owned by one thread; to add costs the same for ever."""

    def __init__(self, span_s: int) -> None:
        """Begins with spans of `span_s`."""
        self._span_s = self._first_span_s = span_s
        self._series: dict[str, _Series] = {}
        """The last one measured comes last, except within one measurement."""
        self._since_s = self._latest_s = nan

    def add(self, measurement: Measurement) -> None:
        """Adds the power and the total of each device that is within reach."""
        unix_s = measurement.timestamp.timestamp()
        self._mind_the_clock(unix_s)
        for device in measurement.devices:
            if device.reachable:
                self._add(device, unix_s)

    def _mind_the_clock(self, unix_s: float) -> None:
        """Starts again if the times would not fit together; otherwise makes room."""
        is_back = unix_s < self._latest_s - self._span_s
        is_far = unix_s > self._latest_s + SLOTS * LONGEST_SPAN_S
        if isnan(self._since_s) or is_back or is_far:
            self._series.clear()
            self._span_s, self._since_s = self._first_span_s, unix_s
        self._latest_s = unix_s
        while self._span_s < LONGEST_SPAN_S and unix_s - self._since_s >= SLOTS * self._span_s:
            self._span_s *= 2
            for series in self._series.values():
                series.power = _halved(series.power)

    def _add(self, device: DeviceReport, unix_s: float) -> None:
        series = self._series.pop(device.serial, None) or _Series(unix_s)
        self._series[device.serial] = series
        if len(self._series) > MOST_CHARGERS:
            del self._series[next(iter(self._series))]
        place = int(unix_s // self._span_s)
        if place > series.power.last:
            series.power.advance(place)
            series.sum_w, series.count = 0.0, 0
        series.sum_w += device.yield_power_w
        series.count += 1
        series.power.put(series.power.last, series.sum_w / series.count)
        self._gain(series, device.yield_total_kwh, int(unix_s // QUARTER_S))

    def _gain(self, series: _Series, total_kwh: float, quarter: int) -> None:
        """Records the growth of the total; a total that has shrunk belongs to another charger."""
        known_kwh = total_kwh if isnan(series.total_kwh) else series.total_kwh
        grown_wh = (total_kwh - known_kwh) * 1000.0
        series.gains.advance(quarter)
        newest = series.gains.last
        known_wh = series.gains.get(newest)
        booked_wh = 0.0 if isnan(known_wh) else known_wh
        series.gains.put(newest, booked_wh + max(0.0, grown_wh))
        series.total_kwh = total_kwh

    def view(self, *, is_recent: bool = False) -> HistoryView:
        """Copies what is known; if `is_recent`, only the last minutes, for who has the rest."""
        slots, quarters = (RECENT_SLOTS, RECENT_QUARTERS) if is_recent else (SLOTS, QUARTERS)
        latest_s = 0.0 if isnan(self._latest_s) else self._latest_s
        slot, quarter = int(latest_s // self._span_s), int(latest_s // QUARTER_S)
        chargers = {
            serial: SeriesView(
                since_s=series.since_s,
                total_kwh=series.total_kwh,
                power_w=series.power.until(slot, slots),
                gains_wh=series.gains.until(quarter, quarters),
            )
            for serial, series in self._series.items()
        }
        return HistoryView(
            span_s=self._span_s,
            ends_s=(slot + 1) * self._span_s,
            quarters_end_s=(quarter + 1) * QUARTER_S,
            since_s=self._since_s,
            chargers=MappingProxyType(chargers),
        )


def _halved(ring: _Ring) -> _Ring:
    """The same time in spans twice as long."""
    found = _Ring(ring.size)
    if ring.last < 0:
        return found
    found.advance(ring.last // 2)
    for place in range(max(0, ring.last - ring.size + 1) // 2, found.last + 1):
        known = [w for w in (ring.get(2 * place), ring.get(2 * place + 1)) if not isnan(w)]
        if known:
            found.put(place, sum(known) / len(known))
    return found
