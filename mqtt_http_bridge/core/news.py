"""What the log is told of the chargers: each change once, however often it is looked at."""

from typing import Final

from mqtt_http_bridge.core.chargers import Omission
from mqtt_http_bridge.core.commands import Log
from mqtt_http_bridge.core.fleet import Roll
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.venus import ChargerKey

_PASSING: Final = (Omission.SETTLING, Omission.UNCONFIRMED)
"""Not worth a line: seconds later it is over, or has become one of the others."""


class ChargerNews:
    """Compares each roll with what was told before."""

    def __init__(self, site_name: str) -> None:
        self._site_name = site_name
        self._told: dict[ChargerKey, Log] = {}

    def tell(self, roll: Roll) -> list[Log]:
        """The lines for what has changed since the last roll."""
        now = {key: self._line(key, found) for key, found in roll.items() if found not in _PASSING}
        news = [line for key, line in now.items() if self._told.get(key) != line]
        passing = {key: line for key, line in self._told.items() if key in roll}
        self._told = passing | now
        return news

    def _line(self, key: ChargerKey, found: DeviceReport | Omission) -> Log:
        charger = f"{self._site_name}: charger {key}"
        if isinstance(found, Omission):
            return Log.warning(f"{charger} is left out of measurements: {found.value}")
        charger = f"{charger} {found.name!r} ({found.product_name}, {found.serial})"
        if not found.reachable:
            return Log.info(f"{charger} is off: reported as not reachable")
        return Log.info(f"{charger} is measured")
