"""Reads the fields of the device report from what one charger has said.

Every function takes what the charger has said, by path, and answers from that alone.
"""

from typing import Final, NamedTuple

from mqtt_http_bridge.core.measurement import TrackerReport
from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.venus.paths import (
    CONNECTED,
    CUSTOM_NAME,
    MAX_TRACKERS,
    NR_OF_TRACKERS,
    PRODUCT_NAME,
    PV_VOLTAGE,
    SERIAL,
    STATE,
    TRACKER_ENABLED,
    TRACKER_NAME,
    TRACKER_POWER,
    TRACKER_VOLTAGE,
    YIELD_POWER,
    YIELD_TOTAL,
    Path,
    State,
)
from mqtt_http_bridge.core.venus.payloads import INVALID, Sayings, described, known

LONGEST_NAME: Final = 255
"""Characters that the backend's columns hold; with a longer name it can store nothing of the
charger."""

_STATES_PRODUCING: Final = (State.BULK, State.ABSORPTION, State.FLOAT)
_STATES_IDLE: Final = (State.OFF, State.FAULT)


class Numbers(NamedTuple):
    """The two numbers without which there is no report."""

    yield_power_w: float
    yield_total_kwh: float


_REQUIRED: Final = ((YIELD_POWER, "power"), (YIELD_TOTAL, "total yield"))


def numbers(said: Sayings) -> Numbers | Omission:
    """The required numbers, or which of them are unknown and what was found in their place."""
    power_w = known(YIELD_POWER, said)
    total_kwh = known(YIELD_TOTAL, said)
    if power_w is None or total_kwh is None:
        return _unknown_numbers(said)
    return Numbers(power_w, total_kwh)


def _unknown_numbers(said: Sayings) -> Omission:
    unknown = [(path, name) for path, name in _REQUIRED if known(path, said) is None]
    is_null = all(said.get(path.name) == INVALID for path, _ in unknown)
    return Omission(
        Cause.NULL_IN_THE_DARK if is_null and _is_dark(said) else Cause.NUMBER_UNKNOWN,
        found="; ".join(
            f"its {name} is unknown: {described(path, said)}" for path, name in unknown
        ),
        subject=", ".join(path.name for path, _ in unknown),
    )


def _is_dark(said: Sayings) -> bool:
    """Tells whether PV power and voltage are both null or 0; a charger has one of the voltages."""
    voltages = [path for path in (PV_VOLTAGE, *TRACKER_VOLTAGE) if path.name in said]
    return bool(voltages) and all(
        said.get(path.name) == INVALID or known(path, said) == 0.0
        for path in (YIELD_POWER, *voltages)
    )


def serial(said: Sayings) -> str | None:
    """The serial as the charger says it, blanks and all, or None."""
    return known(SERIAL, said)


def product_name(said: Sayings) -> str | None:
    """The product name, or None."""
    return _name(PRODUCT_NAME, said)


def _name(path: Path[str | None], said: Sayings) -> str | None:
    text = known(path, said)
    return None if text is None else text[:LONGEST_NAME]


def display_name(said: Sayings, instance: int) -> str:
    """Returns the charger's own name, else the product's, else one with its instance."""
    custom = _name(CUSTOM_NAME, said)
    return custom or product_name(said) or f"Solar charger {instance}"


def has_several_trackers(said: Sayings, powers_known: int) -> bool:
    """Tells whether its trackers speak for themselves, given how many ever told a power.

    Some drivers say that they have one tracker, or not how many, and tell the values of several.
    """
    count = known(NR_OF_TRACKERS, said)
    return (powers_known > 1 and count in (None, 1)) or (count or 0) > 1


def has_pv_input(said: Sayings) -> bool:
    """Tells whether a `multi` or `inverter` is a charger at all: without PV it has no trackers."""
    return (known(NR_OF_TRACKERS, said) or 0) > 0


def is_reachable(said: Sayings) -> bool:
    """Tells whether the GX has contact with a charger that is on its bus."""
    return known(CONNECTED, said)


def state(said: Sayings) -> int | None:
    """The code of the charger's state, or None."""
    return known(STATE, said)


def is_producing(said: Sayings, power_w: float) -> bool:
    """Tells whether the charger turns light into current.

    The states of its own charging decide; under any other, such as 252, external control, which
    is the normal one under DVCC, or one that is not known here, the power does.
    """
    code = state(said)
    if not is_reachable(said) or code in _STATES_IDLE:
        return False
    return code in _STATES_PRODUCING or power_w > 0


def trackers(said: Sayings, power_w: float, *, are_several: bool) -> tuple[TrackerReport, ...]:
    """The trackers that are in use and whose values are known; `power_w` is the whole charger's."""
    if not are_several:
        return _only_tracker(said, power_w)
    count = known(NR_OF_TRACKERS, said) or 0
    reports = (
        _tracker(said, index)
        for index in range(min(count, MAX_TRACKERS) if count > 1 else MAX_TRACKERS)
    )
    return tuple(report for report in reports if report is not None)


def _only_tracker(said: Sayings, power_w: float) -> tuple[TrackerReport, ...]:
    voltage_v = known(PV_VOLTAGE, said)
    if voltage_v is None:
        voltage_v = known(TRACKER_VOLTAGE[0], said)
    if voltage_v is None or not known(TRACKER_ENABLED[0], said):
        return ()
    return (TrackerReport(number=0, name="PV", voltage_v=voltage_v, power_w=power_w),)


def _tracker(said: Sayings, index: int) -> TrackerReport | None:
    voltage_v = known(TRACKER_VOLTAGE[index], said)
    power_w = known(TRACKER_POWER[index], said)
    enabled = known(TRACKER_ENABLED[index], said)
    if voltage_v is None or power_w is None or not enabled:
        return None
    name = _name(TRACKER_NAME[index], said)
    return TrackerReport(
        number=index, name=name or f"PV-{index + 1}", voltage_v=voltage_v, power_w=power_w
    )
