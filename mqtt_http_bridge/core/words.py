"""Names codes, spans of time and menus of the GX for people."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
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


MENU_MQTT: Final = (
    "on the GX: Settings -> Integrations -> MQTT Access (older: Settings -> Services)"
)
MENU_ADDRESS: Final = (
    "on the GX: Settings -> Connectivity -> Ethernet or Wi-Fi; older: Settings -> Ethernet or WiFi"
)
MENU_SECURITY: Final = "on the GX: Settings -> General -> Access & Security"
MENU_PORTAL: Final = "on the GX: Settings -> VRM -> VRM Portal ID"
MENU_TIME: Final = "on the GX: Settings -> General -> Date & time (older: Settings -> Date & Time)"


def visible(text: str) -> str:
    """`text` in one line: what is no letter, sign or blank stands as its escape, such as `\\n`.

    Devices and brokers may send anything, and a line break would start a new line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC\b")


def time_words(utc: datetime) -> str:
    """A time in a sentence, such as `2026-06-21 11:02 UTC`: in this one spelling everywhere."""
    return f"{utc.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def timestamp_words(timestamp: str) -> str:
    """The same for a timestamp as it is stored; for a text that is none, that text."""
    try:
        return time_words(datetime.fromisoformat(timestamp))
    except ValueError:
        return timestamp or "an unknown time"


def times_in(texts: Iterable[str]) -> dict[str, float]:
    """Finds what `time_words` has put into texts; gives for each spelling the Unix seconds.

    With them a page can show the same times on the clock of whoever reads it.
    """
    found = {said for text in texts for said in _TIME.findall(text)}
    return {said: unix_s for said in sorted(found) if (unix_s := _unix_s(said)) is not None}


def _unix_s(said: str) -> float | None:
    try:
        return datetime.fromisoformat(said.replace(" UTC", "+00:00")).timestamp()
    except ValueError:  # A name may look like a time.
        return None


def state_words(code: int | None) -> str:
    """Returns the name of the state `code`."""
    if code is None:
        return "state unknown"
    return STATES.get(code, f"state {code}")


def counted(count: int, one: str, several: str = "") -> str:
    """Counts things, such as `1 measurement` or `2 measurements`; `several` if it is not `one`s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def span_words(seconds: float) -> str:
    """A span of time in the largest unit that fits, such as `12 s`, `5 min` or `3 h`."""
    for size, unit in ((172_800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
