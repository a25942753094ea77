"""A charger: what it has said, where it stands with the bus, and what may be reported of it.

Ages are on the monotonic clock and become UTC only in a report, so that a wall clock that steps
does not falsify what was heard before.
"""

from dataclasses import dataclass
from enum import Enum, auto
from math import floor
from typing import Final

from mqtt_http_bridge.core import reports, venus
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.venus import ChargerKey, Said, Value
from mqtt_http_bridge.core.views import ChargerView

SETTLING_S: Final = 10.0
"""How long a charger that has just appeared may take to say who it is."""
MISSES_UNTIL_GONE: Final = 2
"""Full publishes in a row that lack a charger until it counts as gone. One proves nothing: right
after a broker start they are incomplete, and QoS 0 can lose a whole charger at once."""
_LASTING_PATHS: Final = ("CustomName", "ProductName", "Yield/System")
_NEEDED_PATHS: Final = ("Serial", "ProductName", "Yield/Power", "Yield/System")
_TEXT: Final = venus.Text()


class Presence(Enum):
    """Where a charger stands with the GX's bus."""

    ON_BUS = auto()
    UNCONFIRMED = auto()
    """It was there before the connection was made anew, and has not been heard since."""
    GONE = auto()


class Omission(Enum):
    """Why a charger is not in a measurement; the text is for people."""

    SETTLING = "it has just appeared and has not said everything yet"
    UNCONFIRMED = "nothing heard from it since the connection was made anew"
    NUMBERS_UNKNOWN = "its power or its total yield is unknown"
    SERIAL_UNKNOWN = "it tells no serial: set one for its instance under device.serials"
    SERIAL_TWICE = "another charger on the bus tells the same serial, and appeared later"
    GONE_AND_UNKNOWN = "it left the bus before its serial and its total yield were known"


@dataclass(frozen=True, slots=True)
class _LastWords:
    """What can still be said of a charger that is not there to say it."""

    serial: str
    name: str
    product_name: str
    yield_total_kwh: float


class Charger:
    """One charger: what it has said of each path, when it was last heard, and where it stands."""

    def __init__(
        self,
        key: ChargerKey,
        configured_serial: str | None,
        now_s: float,
        *,
        is_swapped: bool = False,
    ) -> None:
        """`is_swapped`: it took over from another unit in the middle of what that one said."""
        self.key = key
        self.presence = Presence.ON_BUS
        self.heard_s = now_s
        """When it last said anything, or a completed full publish confirmed what it had said."""
        self.left_s: float | None = None
        self.missed_publishes = 0
        self.appeared_s = now_s
        self.is_established = False
        """Whether everything was published since it appeared: what it has not said, it has not."""
        self._is_swapped = is_swapped
        self._is_pv_charger = key.service == "solarcharger"
        self._configured_serial = configured_serial
        self._said: dict[str, Said] = {}
        self._remembered: dict[str, Said] = {}
        """What it last said of what outlasts it, null apart."""
        self._last_words: _LastWords | None = None

    # --- what it says ------------------------------------------------------------------------

    def hear(self, path: str, said: Said, now_s: float) -> None:
        """Takes in that the charger, which is on the bus, said `said` (never Gone) of `path`."""
        self.heard_s = now_s
        self.missed_publishes = 0
        if path == "Serial" and _TEXT.read(said) is None and path in self._said:
            return  # Saying nothing takes nothing back: it is still the same unit.
        self._said[path] = said
        if path in _LASTING_PATHS and isinstance(said, Value):
            self._remembered[path] = said
        if path == "NrOfTrackers" and isinstance(said, Value):
            self._is_pv_charger = reports.has_pv_input(self._said) or self._is_pv_charger

    def is_swapped_by(self, path: str, said: Said) -> bool:
        """Whether this reading comes from another unit than the one that spoke so far."""
        if path != "Serial":
            return False
        before, after = reports.serial(self._said), _TEXT.read(said)
        return before is not None and after is not None and before != after

    def unconfirm(self) -> None:
        """Forgets all it said but its last words: after a gap, another unit may speak."""
        if self.presence is Presence.ON_BUS:
            self._last_words = self._words()
            self._said = {}
            self.presence = Presence.UNCONFIRMED

    def leave(self, now_s: float) -> None:
        """Takes in that it has left the bus."""
        self.unconfirm()
        if self.presence is not Presence.GONE:
            self.presence = Presence.GONE
            self.left_s = now_s

    def confirm(self, requested_s: float, now_s: float) -> bool:
        """A full publish asked for at `requested_s` has ended; true if this charger may be gone."""
        if self.presence is Presence.ON_BUS and self.heard_s >= requested_s:
            self.heard_s = now_s
            return False
        self.missed_publishes += 1
        if self.missed_publishes >= MISSES_UNTIL_GONE:
            self.leave(now_s)
        return self.presence is not Presence.GONE

    def _words(self) -> _LastWords | None:
        total_kwh = venus.ENERGY.read(self._remembered.get("Yield/System"))
        if self.serial is None or total_kwh is None or not self.is_pv_charger:
            return None
        return _LastWords(
            serial=self.serial,
            name=reports.display_name(self._remembered, self.key.instance),
            product_name=reports.product_name(self._remembered) or "Unknown",
            yield_total_kwh=total_kwh,
        )

    # --- what is known of it -------------------------------------------------------------------

    @property
    def serial(self) -> str | None:
        """Its serial, told or configured."""
        return reports.serial(self._said) or self._configured_serial

    @property
    def serial_at_last(self) -> str | None:
        """Its serial, or the one it had when it was last there."""
        return self._last_words.serial if self._last_words else self.serial

    @property
    def is_pv_charger(self) -> bool:
        """False for a `multi` or `inverter` that has not been seen to have a PV input."""
        return self._is_pv_charger

    @property
    def has_said_all(self) -> bool:
        """Whether it has said of everything a report needs what it has to say, if only null."""
        return all(path in self._said for path in _NEEDED_PATHS)

    def view(self, found: DeviceReport | Omission) -> ChargerView:
        """How it stands, for people, where `found` is what is reported of it."""
        report = found if isinstance(found, DeviceReport) else None
        name = reports.display_name(self._said, self.key.instance)
        return ChargerView(
            key=self.key,
            serial=report.serial if report else self.serial,
            name=report.name if report else name,
            is_on_bus=self.presence is not Presence.GONE,
            state=reports.state(self._said),
            heard_s=self.heard_s,
            report=report,
            omission=found.value if isinstance(found, Omission) else "",
        )

    def report(self, now: Moment) -> DeviceReport | Omission:
        """What may truthfully be reported of it at `now`, or why nothing may."""
        match self.presence:
            case Presence.UNCONFIRMED:
                return Omission.UNCONFIRMED
            case Presence.GONE:
                return self._report_of_absence(now)
            case Presence.ON_BUS:
                return self._report_of_presence(now)

    def _report_of_presence(self, now: Moment) -> DeviceReport | Omission:
        numbers = reports.numbers(self._said)
        product_name = reports.product_name(self._said)
        is_nameless = "Serial" not in self._said or self.serial is None or product_name is None
        if now.monotonic_s < self.appeared_s + SETTLING_S and (is_nameless or numbers is None):
            return Omission.SETTLING
        if self._is_swapped and not self.is_established:
            # Some of what it said may have come before its serial, and been taken for the other's.
            return Omission.SETTLING
        if numbers is None:
            return Omission.NUMBERS_UNKNOWN
        if self.serial is None:
            is_told = self.is_established or "Serial" in self._said
            return Omission.SERIAL_UNKNOWN if is_told else Omission.SETTLING
        return DeviceReport(
            device_instance=self.key.instance,
            serial=self.serial,
            name=reports.display_name(self._said, self.key.instance),
            product_name=product_name or "Unknown",
            reachable=reports.is_reachable(self._said),
            producing=reports.is_producing(self._said, numbers.yield_power_w),
            last_update_s=self._heard_unix_s(now),
            yield_power_w=numbers.yield_power_w,
            yield_total_kwh=numbers.yield_total_kwh,
            trackers=reports.trackers(self._said, numbers.yield_power_w),
        )

    def _report_of_absence(self, now: Moment) -> DeviceReport | Omission:
        words = self._last_words
        if words is None:
            return Omission.GONE_AND_UNKNOWN
        return DeviceReport(
            device_instance=self.key.instance,
            serial=words.serial,
            name=words.name,
            product_name=words.product_name,
            reachable=False,
            producing=False,
            last_update_s=self._heard_unix_s(now),
            yield_power_w=0.0,
            yield_total_kwh=words.yield_total_kwh,
            trackers=(),
        )

    def _heard_unix_s(self, now: Moment) -> int:
        return floor(now.at(self.heard_s).utc.timestamp())
