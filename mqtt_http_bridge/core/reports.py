"""What the values of one charger mean together: the rules of the device report.

Every function takes what the charger has said, by path, and answers from that alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core import topics, venus
from mqtt_http_bridge.core.measurement import TrackerReport
from mqtt_http_bridge.core.venus import Said, State

LONGEST_NAME: Final = 255
"""What the backend's columns hold; with a longer name it can store nothing of the charger."""

Sayings = Mapping[str, Said]

_TEXT: Final = venus.Text()
_CODE: Final = venus.Code()
_FLAG: Final = venus.Flag()
_STATES_PRODUCING: Final = (State.BULK, State.ABSORPTION, State.FLOAT)
_STATES_IDLE: Final = (State.OFF, State.FAULT)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The two numbers without which there is no report."""

    yield_power_w: float
    yield_total_kwh: float


def numbers(said: Sayings) -> Numbers | None:
    """The required numbers, or None if either is unknown."""
    power_w = venus.POWER.read(said.get("Yield/Power"))
    total_kwh = venus.ENERGY.read(said.get("Yield/System"))
    if power_w is None or total_kwh is None:
        return None
    return Numbers(power_w, total_kwh)


def serial(said: Sayings) -> str | None:
    """The serial as the charger says it, blanks and all, or None."""
    return _TEXT.read(said.get("Serial"))


def product_name(said: Sayings) -> str | None:
    """The product name, or None."""
    return _name(said.get("ProductName"))


def _name(said: Said | None) -> str | None:
    text = _TEXT.read(said)
    return None if text is None else text[:LONGEST_NAME]


def display_name(said: Sayings, instance: int) -> str:
    """What people call the charger: its own name, else the product's, else its instance."""
    custom = _name(said.get("CustomName"))
    return custom or product_name(said) or f"Solar charger {instance}"


def has_pv_input(said: Sayings) -> bool:
    """Whether a `multi` or an `inverter` is a charger at all: those without PV have no trackers."""
    return (_CODE.read(said.get("NrOfTrackers")) or 0) > 0


def is_reachable(said: Sayings) -> bool:
    """Whether the GX has contact with a charger that is on its bus."""
    return _FLAG.read(said.get("Connected"))


def state(said: Sayings) -> int | None:
    """The code of what the charger does, or None."""
    return _CODE.read(said.get("State"))


def is_producing(said: Sayings, power_w: float) -> bool:
    """Whether the charger turns light into current.

    The states of its own charging decide; under any other, such as 252, external control, which
    is the normal one under DVCC, or one that is not known here, the power does.
    """
    code = state(said)
    if not is_reachable(said) or code in _STATES_IDLE:
        return False
    return code in _STATES_PRODUCING or power_w > 0


def trackers(said: Sayings, power_w: float) -> tuple[TrackerReport, ...]:
    """The trackers that are in use and whose values are known; `power_w` is the whole charger's."""
    indexes = _tracker_indexes(said)
    reports = (
        [_only_tracker(said, power_w)]
        if indexes is None
        else [_tracker(said, index) for index in indexes]
    )
    return tuple(report for report in reports if report is not None)


def _tracker_indexes(said: Sayings) -> list[int] | None:
    """The trackers of a charger with several, or None for one with a single tracker.

    Old firmware has no `/NrOfTrackers`: there the paths with a value tell.
    """
    count = _CODE.read(said.get("NrOfTrackers"))
    if count == 1:
        return None
    seen = sorted(
        index
        for index in range(topics.MAX_TRACKERS)
        if venus.POWER.read(said.get(topics.tracker_path(index, "P"))) is not None
    )
    if count is None:
        return seen or None
    return [index for index in seen if index < count]


def _only_tracker(said: Sayings, power_w: float) -> TrackerReport | None:
    voltage_v = venus.VOLTAGE.read(said.get("Pv/V"))
    if voltage_v is None:
        return None
    return TrackerReport(index=0, name="PV", voltage_v=voltage_v, power_w=power_w)


def _tracker(said: Sayings, index: int) -> TrackerReport | None:
    voltage_v = venus.VOLTAGE.read(said.get(topics.tracker_path(index, "V")))
    power_w = venus.POWER.read(said.get(topics.tracker_path(index, "P")))
    enabled = _FLAG.read(said.get(topics.tracker_path(index, "Enabled")))
    if voltage_v is None or power_w is None or not enabled:
        return None
    name = _name(said.get(topics.tracker_path(index, "Name")))
    return TrackerReport(
        index=index, name=name or f"PV-{index + 1}", voltage_v=voltage_v, power_w=power_w
    )
