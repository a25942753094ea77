"""Logs what changes about the chargers: each change once, however often they are looked at."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Omission, Remark
from mqtt_http_bridge.core.relay.chargers import Reports
from mqtt_http_bridge.core.venus.readings import ChargerKey

LEFT_OUT: Final = "chargers are left out of measurements: see `status`"
LOST: Final = "chargers are lost: reported as not reachable"
MEASURED: Final = "chargers are measured"

Remarks = Mapping[ChargerKey, tuple[Remark, ...]]


class _Standing(NamedTuple):
    """Holds the last thing logged about one charger; a different `kind` is news."""

    kind: object
    line: Log


class ChargerLog:
    """Compares new reports with what was logged before."""

    def __init__(self, site_name: str) -> None:
        self._site_name = site_name
        self._told: dict[ChargerKey, _Standing] = {}
        self._remarks: dict[ChargerKey, tuple[Remark, ...]] = {}

    def tell(self, reports: Reports, remarks: Remarks) -> list[Log]:
        """Returns the lines for what has changed since the last reports."""
        now = {
            key: self._standing(key, found)
            for key, found in reports.items()
            if not (isinstance(found, Omission) and found.is_passing)
        }
        told, self._told = self._told, {k: s for k, s in self._told.items() if k in reports} | now
        lines = [s.line for key, s in now.items() if key not in told or told[key].kind != s.kind]
        lines += [self._farewell(key) for key in told if key not in reports]
        return lines + self._tell_remarks(remarks)

    def _tell_remarks(self, remarks: Remarks) -> list[Log]:
        before, self._remarks = (
            self._remarks,
            {key: of_one for key, of_one in remarks.items() if of_one},
        )
        return [
            (Log.warning if remark.is_trouble else Log.info)(
                f"{self._charger(key)} {remark.text}", crowd="remarks on chargers: see `check`"
            )
            for key, of_one in self._remarks.items()
            for remark in of_one
            if remark not in before.get(key, ())
        ]

    def _charger(self, key: ChargerKey) -> str:
        return f"{self._site_name}: charger {key}"

    def _farewell(self, key: ChargerKey) -> Log:
        text = f"{self._charger(key)} is no longer reported: lost for too long, or moved"
        return Log.info(text, about=self._charger(key), crowd="chargers are no longer reported")

    def _standing(self, key: ChargerKey, found: DeviceReport | Omission) -> _Standing:
        charger = self._charger(key)
        if isinstance(found, Omission):
            text = f"{charger} is left out of measurements: {found.text}"
            kind = f"{charger} is left out: {found.cause.name} {found.subject}"
            if found.is_wanted:
                return _Standing(found, Log.info(text, kind=kind, crowd=LEFT_OUT))
            return _Standing(found, Log.warning(text, kind=kind, about=charger, crowd=LEFT_OUT))
        who = (found.name, found.product_name, found.serial)
        about, charger = charger, f"{charger} {found.name!r} ({found.product_name}, {found.serial})"
        if not found.reachable:
            text = f"{charger} is lost: reported as not reachable"
            line = Log.info(text, kind=f"{about} is lost", about=about, crowd=LOST)
        else:
            text = f"{charger} is measured"
            kind = f"{about} is measured"
            line = Log.info(text, kind=kind, about=about, is_end=True, crowd=MEASURED)
        return _Standing((found.reachable, *who), line)
