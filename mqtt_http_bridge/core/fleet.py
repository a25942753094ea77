"""Who is on the bus of one GX: chargers that appear, speak, fall silent, leave and are swapped."""

from collections.abc import Iterator
from enum import Enum, auto

from mqtt_http_bridge.core.chargers import Charger, Omission, Presence
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.settings import DeviceSettings
from mqtt_http_bridge.core.venus import ChargerKey, Gone, Said
from mqtt_http_bridge.core.views import ChargerView


class Change(Enum):
    """Why a charger starts with no memory of what was said before on its instance."""

    APPEARED = auto()
    """It was not there, or nobody could tell any more whether it was the same."""
    SWAPPED = auto()
    """Another unit has taken the instance over without the one before it leaving the bus."""


def _change(charger: Charger | None, path: str, said: Said) -> Change | None:
    if charger is None or charger.presence is not Presence.ON_BUS:
        return Change.APPEARED
    return Change.SWAPPED if charger.is_swapped_by(path, said) else None


Roll = dict[ChargerKey, DeviceReport | Omission]
"""All chargers at one moment, in the order of reports: what is reported of each, or why nothing."""


class Fleet:
    """The chargers of one GX, by service and instance."""

    def __init__(self, settings: DeviceSettings) -> None:
        self._settings = settings
        self._chargers: dict[ChargerKey, Charger] = {}

    def __iter__(self) -> Iterator[Charger]:
        """The chargers with a PV input, ordered by service and instance."""
        chargers = (self._chargers[key] for key in sorted(self._chargers))
        return (charger for charger in chargers if charger.is_pv_charger)

    def hear(self, key: ChargerKey, path: str, said: Said, now_s: float) -> Change | None:
        """Takes in one reading; tells whether it is the first of a charger, and of which kind."""
        charger = self._chargers.get(key)
        if isinstance(said, Gone):
            # A device that leaves says so on each of its topics: the first tells it all.
            if charger is not None:
                charger.leave(now_s)
            return None
        change = _change(charger, path, said)
        if charger is None or change is not None:
            charger = Charger(
                key,
                self._settings.serials.get(key.instance),
                now_s,
                is_swapped=change is Change.SWAPPED,
            )
            self._chargers[key] = charger
        charger.hear(path, said, now_s)
        return change

    def unconfirm(self) -> None:
        """The connection was made anew: who is still there has to be heard again."""
        for charger in self._chargers.values():
            charger.unconfirm()

    def confirm(self, requested_s: float, now_s: float) -> bool:
        """A full publish that was asked for at `requested_s` has come to its end at `now_s`.

        Who spoke in it is confirmed; who was missing from several in a row has left. True if
        somebody was missing who may still be there.
        """
        doubts = [charger.confirm(requested_s, now_s) for charger in self._present()]
        self.establish()
        return any(doubts)

    def establish(self) -> None:
        """Everything has been published, as far as anybody can tell."""
        for charger in self._present():
            charger.is_established = True

    @property
    def has_said_all(self) -> bool:
        """Whether there is a charger, and none is still to say something a report needs."""
        return any(self._present()) and not self.is_somebody_unheard

    @property
    def is_somebody_unheard(self) -> bool:
        """Whether a charger that may be there is still to say something a report needs."""
        return not all(charger.has_said_all for charger in self._present())

    def _present(self) -> Iterator[Charger]:
        return (charger for charger in self if charger.presence is not Presence.GONE)

    def roll(self, now: Moment) -> Roll:
        """What can be reported at `now`; forgets those that left too long ago."""
        self._forget(now.monotonic_s)
        holders = self._holders()
        return {
            charger.key: Omission.SERIAL_TWICE
            if charger.serial is not None and holders.get(charger.serial) not in (None, charger)
            else charger.report(now)
            for charger in self
        }

    def views(self, now: Moment) -> tuple[ChargerView, ...]:
        """How the chargers stand at `now`, for people."""
        return tuple(self._chargers[key].view(found) for key, found in self.roll(now).items())

    def _holders(self) -> dict[str, Charger]:
        """For each serial the charger on the bus that tells it: the last to appear of several.

        The backend stores one report for each serial and moment: a second would replace the first.
        """
        on_bus = [charger for charger in self if charger.presence is Presence.ON_BUS]
        on_bus.sort(key=lambda charger: charger.appeared_s)
        return {charger.serial: charger for charger in on_bus if charger.serial is not None}

    def _forget(self, now_s: float) -> None:
        """Drops chargers that left too long ago, or that are there again under another instance."""
        holders = self._holders()
        for key, charger in list(self._chargers.items()):
            if charger.left_s is None:
                continue
            is_old = now_s >= charger.left_s + self._settings.forget_after_s
            if is_old or charger.serial_at_last in holders:
                del self._chargers[key]
