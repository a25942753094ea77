"""Holds the targets, and tells whether they are met."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench import (
    backlog,
    devices,
    flash,
    fleet,
    imports,
    inside,
    link,
    memory,
    outbox,
    portals,
    start,
)
from tests.bench.idle import PERCENT, WAKE_UPS
from tests.bench.results import MOSQUITTO, PAHO, RELAY, paired_ratio
from tests.bench.through_broker import LOST, PER_100_000

Report = Mapping[str, Any]
Value = Callable[[Report], float | None]
LINEAR = 1.5
"""Times that one of a thousand may be dearer than one alone."""
SPOOL = 1.25
"""Times its one flush that an entry may take, on a disk that takes its time for one."""


@dataclass(frozen=True)
class Target:
    """One thing that is aimed at."""

    what: str
    value: Value
    limit: float
    is_least: bool = False
    """True if the limit is the least that is good, not the most."""

    def judge(self, report: Report) -> dict[str, Any] | None:
        """Returns what was found; None if nothing was."""
        value = self.value(report)
        if value is None:
            return None
        is_met = value >= self.limit if self.is_least else value <= self.limit
        words = "at least" if self.is_least else "at most"
        limit = f"{words} {self.limit:g}"
        return {"what": self.what, "value": value, "limit": limit, "met": is_met}


def judged(report: Report) -> list[dict[str, Any]]:
    """All targets of which something was measured."""
    return [found for target in TARGETS if (found := target.judge(report)) is not None]


def median_of(section: str, case: str, column: str = RELAY) -> Value:
    """The median of the runs."""
    return lambda report: _number(report, section, case, "columns", column, "median")


def most_of(section: str, case: str, column: str = RELAY) -> Value:
    """The largest of the runs."""
    return lambda report: _number(report, section, case, "columns", column, "max")


def ratio(section: str, case: str, floor: str) -> Value:
    """The relay against another column, run by run."""
    return lambda report: _number(report, section, case, "ratios", floor)


def times(section: str, case: str, column: str, base_case: str, base_column: str) -> Value:
    """A column of one case against a column of another, run by run."""

    def value(report: Report) -> float | None:
        above = _number(report, section, case, "columns", column, "runs")
        below = _number(report, section, base_case, "columns", base_column, "runs")
        return None if above is None or below is None else paired_ratio(above, below)

    return value


def each_of(value: Value, count: int) -> Value:
    """A `count`th of the value."""

    def found(report: Report) -> float | None:
        number = value(report)
        return None if number is None else number / count

    return found


def _number(report: Report, section: str, case: str, *keys: str) -> Any:
    """Returns what stands there; None if that was not measured."""
    found: Any = report.get(section, {}).get("cases", {}).get(case, {})
    for key in keys:
        found = found.get(key) if found is not None else None
    return found


def _flat_out(load: str) -> list[Target]:
    case = f"{load}, {PER_100_000}"
    return [
        Target(f"flat out, {load}: CPU x paho", ratio("flat out", case, PAHO), 0.15),
        Target(f"flat out, {load}: CPU x mosquitto_sub", ratio("flat out", case, MOSQUITTO), 1.0),
    ]


def _idle(load: str, most: float) -> list[Target]:
    section = "idle, two chargers"
    return [
        Target(
            f"idle, two chargers, {load}: CPU x paho",
            ratio(section, f"{load}, {PERCENT}", PAHO),
            most,
        ),
        Target(
            f"idle, two chargers, {load}: wake-ups a second",
            median_of(section, f"{load}, {WAKE_UPS}"),
            1.5,
        ),
    ]


def _one_of_1000_portals(section: str, unit: str, base: int) -> Value:
    many, one = f"{portals.NAMES[1000]}, {unit}", f"{portals.NAMES[base]}, {unit}"
    return times(section, many, RELAY, one, RELAY)


_BUILD_64, _BUILD_1 = inside.BUILD.format(64), inside.BUILD.format(1)

_CPU_OF_A_GX = tuple(
    word
    for case in (devices.ONE_OF_5000, devices.ONE_OF_100)
    for word in (f"{case.name}: {devices.BY_GX}", RELAY)
)

TARGETS = (
    *_flat_out("2 synthetic chargers of 48 paths"),
    *_flat_out("recording two"),
    *_flat_out("recording rs"),
    *_idle("bursts", 0.5),
    *_idle("even", 0.15),
    *(
        Target(f"{LOST.format(count)}, in the worst run", most_of("loss", LOST.format(count)), 0)
        for count in (300_000, 100_000)
    ),
    Target(
        "RSS after the start x bare imports",
        ratio("memory", f"RSS {memory.START}", memory.BARE),
        1.1,
    ),
    Target(
        "RSS after an hour's worth x bare imports",
        ratio("memory", f"RSS {memory.HOUR}", memory.BARE),
        1.1,
    ),
    Target(backlog.GROWTH, median_of("outage of a day", backlog.GROWTH, "value"), 2.0),
    Target("start to SUBSCRIBE x paho", ratio("start", start.SUBSCRIBE, PAHO), 1.7),
    Target(f"outbox: {inside.SPOOL_CPU}", median_of("spool", inside.SPOOL_CPU), 0.3),
    Target(
        "outbox: append and settle x a bare write and fdatasync",
        ratio("spool", inside.SPOOL_WALL, inside.BARE),
        SPOOL,
    ),
    Target(
        "outbox: append and settle x the same by two threads",
        ratio("spool", inside.SPOOL_WALL, inside.HANDED),
        SPOOL,
    ),
    Target(outbox.DURABLE, most_of("outbox", outbox.DURABLE, "value"), 100),
    Target(outbox.AT_ONCE, most_of("outbox", outbox.AT_ONCE, "value"), 350),
    Target(outbox.SLOWEST, most_of("outbox", outbox.SLOWEST, "value"), 5),
    *(
        Target(case.format(count), median_of("outbox", case.format(count), "value"), limit)
        for case, count, limit in (
            (outbox.OPEN_S, outbox.WEEK, 0.15),
            (outbox.OPEN_MB, outbox.WEEK, 1.5),
            (outbox.OPEN_S, outbox.WEEK_OF_60, 5.0),
            (outbox.OPEN_MB, outbox.WEEK_OF_60, 25.0),
        )
    ),
    Target(flash.FLASH, median_of("flash", flash.FLASH), 22),
    Target(f"{flash.FLASH} x {flash.BARE}", ratio("flash", flash.FLASH, flash.BARE), 1.1),
    *(
        Target(link.DAY.format(kind, way), median_of("link", link.DAY.format(kind, way)), most)
        for way, limits in ((link.KEPT, (6.0, 6.0, 6.0)), (link.CLOSED, (11.0, 9.7, 6.8)))
        for kind, most in zip(link.KINDS, limits, strict=True)
    ),
    *(
        Target(
            f"{case} x {backlog.BARE}",
            times("drain", case, RELAY, backlog.RATE, backlog.BARE),
            0.6,
            is_least=True,
        )
        for case in (backlog.RATE, backlog.BUSY_RATE)
    ),
    Target(fleet.P99, most_of("fleet", fleet.P99, "value"), 5.0),
    Target(fleet.GROWTH, most_of("fleet", fleet.GROWTH, "value"), 0.0),
    *(
        Target(f"{case.name}: {what}", most_of("GX devices", f"{case.name}: {what}"), limit)
        for case in (devices.ONE_OF_1000,)
        for what, limit in ((devices.CPU, 60.0), (devices.RSS, 190.0), (devices.P99, 5.0))
    ),
    Target(
        "GX devices: CPU for one of 5,000 x one of 100",
        times("GX devices", *_CPU_OF_A_GX),
        LINEAR,
    ),
    Target(imports.MODULES_LATER, median_of("imports", imports.MODULES_LATER, "value"), 0),
    Target(
        "build: a charger of 64 x one alone",
        each_of(times("build", _BUILD_64, "value", _BUILD_1, "value"), 64),
        LINEAR,
    ),
    Target(
        "core: a portal of 1,000 x one of 100",
        _one_of_1000_portals("portals in the core", portals.IN_CORE, 100),
        LINEAR,
    ),
    Target(
        "a message with 1,000 portals x with one",
        _one_of_1000_portals("portals, by message", PER_100_000, 1),
        LINEAR,
    ),
)
