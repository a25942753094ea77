"""Says why a charger is not in a measurement: the cause, what was found, and the remedy.

Also holds remarks on chargers that are in one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple


class Cause(Enum):
    """A reason to leave a charger out."""

    SETTLING = auto()
    UNCONFIRMED = auto()
    SERIAL_CHANGED = auto()
    """Another unit may be in its place: the GX has to send everything again."""
    JUST_LOST = auto()
    """Less than a minute ago: it may be back in a moment."""
    NUMBER_UNKNOWN = auto()
    NULL_IN_THE_DARK = auto()
    """Like NUMBER_UNKNOWN, but PV power and voltage are null or 0, and what is unknown is null."""
    SERIAL_UNKNOWN = auto()
    SERIAL_TWICE = auto()
    TWO_UNITS = auto()
    """They share one service and instance on the bus."""
    LOST_AND_UNKNOWN = auto()
    STANDS_STILL = auto()
    IGNORED = auto()


_TEXTS: Final[Mapping[Cause, str]] = {
    Cause.SETTLING: "it has just appeared and has not said everything yet",
    Cause.UNCONFIRMED: "not heard since the last reconnect, or since its GX was silent",
    Cause.SERIAL_CHANGED: "its serial has changed: waiting until the GX has said everything",
    Cause.JUST_LOST: "the GX lost it less than a minute ago",
    Cause.NUMBER_UNKNOWN: "{found}",
    Cause.NULL_IN_THE_DARK: "{found}",
    Cause.SERIAL_UNKNOWN: "it reports no serial: {found}",
    Cause.SERIAL_TWICE: "{found}",
    Cause.TWO_UNITS: "two units share this instance: {found}",
    Cause.LOST_AND_UNKNOWN: "the GX lost it before its serial and its total yield were known",
    Cause.STANDS_STILL: "it {found}",
    Cause.IGNORED: "device.ignore names it",
}
"""For people; `{found}` is what was found."""

_PASSING: Final = (Cause.SETTLING, Cause.UNCONFIRMED, Cause.SERIAL_CHANGED, Cause.JUST_LOST)

_REMEDIES: Final[Mapping[Cause, str]] = {
    Cause.NUMBER_UNKNOWN: "look at what the device list of the GX shows for it: its driver has to"
    " report this number before it can be relayed",
    Cause.NULL_IN_THE_DARK: "harmless after sunset: some chargers report null at night",
    Cause.SERIAL_UNKNOWN: "set its serial under device.serials",
    Cause.SERIAL_TWICE: "give each of the two its own serial under device.serials",
    Cause.TWO_UNITS: "give each unit its own VRM instance: on the GX, in the unit's device"
    " menu, or in the settings of its driver",
    Cause.LOST_AND_UNKNOWN: "plug it in, or restart the service to forget it",
    Cause.STANDS_STILL: "look at its driver and its cable, or set device.drop_frozen_after to off",
    Cause.IGNORED: "remove it from device.ignore to relay it",
}


@dataclass(frozen=True, slots=True)
class Omission:
    """One charger that is left out of one measurement."""

    cause: Cause
    found: str = field(default="", compare=False)
    """The finding, for people. It may change all the time while the omission is the same."""
    subject: str = ""
    """The subject, where one cause has several: the paths, the serials, the other charger."""

    @property
    def text(self) -> str:
        """The reason, for people."""
        return _TEXTS[self.cause].format(found=self.found)

    @property
    def is_passing(self) -> bool:
        """Not worth a log line: it is soon over, or turns into another cause."""
        return self.cause in _PASSING

    @property
    def may_be_night(self) -> bool:
        """Not wrong by itself: some chargers say nothing while the sun is down."""
        return self.cause is Cause.NULL_IN_THE_DARK

    @property
    def is_about_serial(self) -> bool:
        """The only thing wrong with it is that it reports no serial."""
        return self.cause is Cause.SERIAL_UNKNOWN

    @property
    def is_wanted(self) -> bool:
        """A person has asked for it in the config."""
        return self.cause is Cause.IGNORED

    @property
    def remedy(self) -> str:
        """The remedy; never empty."""
        return _REMEDIES.get(self.cause, "wait a minute")


class Remark(NamedTuple):
    """A remark on a charger, beside what is reported of it."""

    text: str
    """It follows the name of the charger."""
    is_trouble: bool = True
    """True if somebody should do something about it."""
