"""What codes and spans of time are called in front of people."""

from collections.abc import Mapping
from typing import Final

STATES: Final[Mapping[int, str]] = {
    0: "off",
    1: "low power",
    2: "fault",
    3: "bulk",
    4: "absorption",
    5: "float",
    6: "storage",
    7: "equalize",
    11: "power supply",
    245: "starting up",
    246: "repeated absorption",
    247: "auto equalize",
    248: "BatterySafe",
    252: "external control",
}
"""The values of `/State` that Venus OS knows for chargers."""


def state_words(code: int | None) -> str:
    """What the state `code` is called."""
    if code is None:
        return "state unknown"
    return STATES.get(code, f"state {code}")


def span_words(seconds: float) -> str:
    """A span of time in its largest fitting unit, such as `12 s`, `5 min` or `3 h`."""
    for size, unit in ((172_800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
