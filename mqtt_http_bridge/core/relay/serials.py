"""Decides which charger is reported under which serial, across all GX devices of the process.

A serial is one row in an account at the backend: only one of the chargers that claim it is
reported, and a setting that could mean several chargers is not used. Both need an overview of all
GX devices: chargers move from one GX to another, and the same instance numbers occur on each GX.
GX devices with different API keys belong to different accounts: there, the same serial is another
row.

Claims are kept up to date as chargers come, go and report their serials, so that a look-up costs
the same for a thousand GX devices as for one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.charger import Charger
from mqtt_http_bridge.core.relay.presence import Presence
from mqtt_http_bridge.core.settings import DeviceSettings
from mqtt_http_bridge.core.venus.readings import ChargerKey

MOST_CHARGERS_IN_ALL: Final = 10_000
"""The most chargers to keep for all GX devices: five thousand of them have that many. Anybody on
the network can make some up, of about 6 KiB each."""
MOST_CLAIMS: Final = 8
"""The most chargers that may claim one serial: each look-up goes through all of them."""
PATIENCE_S: Final = 600.0
"""Seconds to wait for all GX devices to be heard before settings that match no charger are logged.
"""


class Place(NamedTuple):
    """The place where a charger speaks: portal, service and instance."""

    portal_id: str
    key: ChargerKey

    def __str__(self) -> str:
        return f"{self.portal_id}/{self.key}"

    @property
    def names(self) -> tuple[str, str, str]:
        """The names that a setting may use for it, most exact first."""
        return str(self), str(self.key), str(self.key.instance)


class _Row(NamedTuple):
    """A serial in the account that an API key belongs to: it has one report at a time."""

    key_name: str
    serial: str


@dataclass(slots=True)
class _Claim:
    """One charger's claim to a serial."""

    place: Place
    charger: Charger
    since_s: float | None
    """The moment since which it has not been lost; None while it is lost."""


class Serials:
    """Holds the claims of all chargers, and what the settings make of them. Owned by one thread."""

    def __init__(
        self, settings: DeviceSettings, own_keys: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Starts empty. `own_keys` has the names of API keys by portal id; all others share one."""
        self._settings = settings
        self._own_keys = own_keys
        self.places_left = MOST_CHARGERS_IN_ALL
        """Counts down with each new charger, and up with those that are forgotten or given up."""
        self._claimed: dict[Place, _Row] = {}
        self._claims: dict[_Row, dict[Place, _Claim]] = {}
        self._named: dict[str, dict[Place, Charger]] = {key: {} for key in settings.serials}
        """For each key of `device.serials`, the chargers that it matches and that no more exact key
        does.
        """
        self._unused = {
            *(f"device.serials: {key}" for key in settings.serials),
            *(f"device.ignore: {entry}" for entry in settings.ignored),
        }
        self._waiting: set[str] = set()
        self._first_heard_s: float | None = None

    # --- what is known of chargers -----------------------------------------------------------

    def expect(self, portal_id: str) -> None:
        """Expects a GX to be heard, which may have the chargers that settings are for."""
        self._waiting.add(portal_id)

    def note_all_said(self, portal_id: str, now_s: float) -> None:
        """Notes that the GX has said everything once."""
        self._waiting.discard(portal_id)
        self._first_heard_s = now_s if self._first_heard_s is None else self._first_heard_s

    def update(self, place: Place, charger: Charger, now_s: float) -> None:
        """Updates the claim of `charger` from its presence and the serial that it reports."""
        self._name(place, charger, now_s)
        self._claim(place, charger, now_s)

    def forget(self, place: Place, charger: Charger, now_s: float) -> None:
        """Forgets a charger; `charger` is its last state."""
        self._drop_claim(place)
        key = self._setting_for(place)
        if key is not None and self._named[key].pop(place, None) is not None:
            charger.configured_serial = None
            self._rename(key, now_s)

    # --- settings ----------------------------------------------------------------------------

    def _setting_for(self, place: Place) -> str | None:
        """Returns the most exact key of `device.serials` that fits a place."""
        return next((name for name in place.names if name in self._named), None)

    def _name(self, place: Place, charger: Charger, now_s: float) -> None:
        key = self._setting_for(place)
        if key is None:
            return
        fits = charger.is_pv_charger and charger.presence is not Presence.LOST
        fits = fits and not self._is_place_ignored(place)
        if fits:
            self._unused.discard(f"device.serials: {key}")
        named = self._named[key]
        if fits is (place in named):
            return
        if fits:
            named[place] = charger
        else:
            del named[place]
            charger.configured_serial = None
        self._rename(key, now_s)

    def _rename(self, key: str, now_s: float) -> None:
        """Gives the serial to the charger that the key matches, or to none if there are several."""
        named = self._named[key]
        for place, charger in named.items():
            charger.configured_serial = self._settings.serials[key] if len(named) == 1 else None
            self._claim(place, charger, now_s)

    def ambiguity(self, place: Place) -> str:
        """Returns why a setting for this place is not used; empty if it is used or absent."""
        key = self._setting_for(place) if self._named else None
        if key is None or place not in self._named[key] or len(self._named[key]) == 1:
            return ""
        exact = " and ".join(str(other) for other in sorted(self._named[key]))
        return f"device.serials: {key} fits several chargers, so it is used for none: set {exact}"

    def is_ignored(self, place: Place, charger: Charger) -> bool:
        """Tells whether the settings leave the charger out; notes that such a setting is in use."""
        if not self._settings.ignored:
            return False
        serial = charger.last_serial if charger.presence is Presence.LOST else charger.serial
        found = {*place.names, serial} & self._settings.ignored
        self._unused -= {f"device.ignore: {entry}" for entry in found}
        return bool(found)

    def _is_place_ignored(self, place: Place) -> bool:
        return not self._settings.ignored.isdisjoint(place.names)

    def unused_settings(self) -> list[str]:
        """Returns the settings that match no charger seen so far."""
        return sorted(self._unused)

    def tell_unused(self, now_s: float) -> list[Log]:
        """Returns the same for the log, once, when every GX has said everything or had its time."""
        if self._first_heard_s is None:
            return []
        if self._waiting and now_s < self._first_heard_s + PATIENCE_S:
            return []
        lines = [
            Log.warning(f"{text} fits no charger seen so far") for text in self.unused_settings()
        ]
        self._unused.clear()
        return lines

    # --- claims ------------------------------------------------------------------------------

    def _claim(self, place: Place, charger: Charger, now_s: float) -> None:
        is_lost = charger.presence is Presence.LOST
        serial = charger.last_serial if is_lost else charger.serial
        if serial is None:
            # After a gap it is about to report it again: its claim keeps its age.
            if is_lost:
                self._drop_claim(place)
            return
        row = self._row(serial, place.portal_id)
        if self._claimed.get(place) != row:
            self._drop_claim(place)
        claims = self._claims.setdefault(row, {})
        if len(claims) >= MOST_CLAIMS and place not in claims:
            return  # It is not reported, as others have the serial.
        self._claimed[place] = row
        claim = claims.setdefault(place, _Claim(place, charger, None))
        claim.charger = charger
        if is_lost:
            claim.since_s = None
        elif claim.since_s is None:
            claim.since_s = now_s

    def _drop_claim(self, place: Place) -> None:
        row = self._claimed.pop(place, None)
        if row is not None:
            del self._claims[row][place]
            if not self._claims[row]:
                del self._claims[row]

    def _row(self, serial: str, portal_id: str) -> _Row:
        return _Row(self._own_keys.get(portal_id, ""), serial)

    def holder(self, serial: str, portal_id: str) -> Place | None:
        """Returns the place that is reported under `serial` with the key of the GX `portal_id`.

        None if nobody claims it.

        A charger that is present beats one that is lost; of two lost ones, the one heard last wins.
        Of two present on one GX, the last to appear wins: it was plugged in elsewhere. Of two on
        different GX devices, the one that had the serial first keeps it.
        """
        claims = [
            c
            for c in self._claims.get(self._row(serial, portal_id), {}).values()
            if not self._is_out(c)
        ]
        if living := [claim for claim in claims if _is_living(claim, serial)]:
            return min(_last_of_each_gx(living), key=_by_age).place
        lost = [c for c in claims if c.charger.presence is Presence.LOST]
        return max(lost, key=lambda c: (c.charger.last_heard_s, c.place)).place if lost else None

    def _is_out(self, claim: _Claim) -> bool:
        """Tells whether the charger is left out: it is not to be relayed, or it is two units."""
        return bool(claim.charger.units.rivals) or self.is_ignored(claim.place, claim.charger)


def _is_living(claim: _Claim, serial: str) -> bool:
    return claim.charger.presence is Presence.ON_BUS and claim.charger.serial == serial


def _by_age(claim: _Claim) -> tuple[float, Place]:
    return claim.since_s or 0.0, claim.place


def _last_of_each_gx(claims: list[_Claim]) -> Iterator[_Claim]:
    last: dict[str, _Claim] = {}
    for claim in sorted(claims, key=_by_age):
        last[claim.place.portal_id] = claim
    yield from last.values()
