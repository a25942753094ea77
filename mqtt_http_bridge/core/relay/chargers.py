"""Keeps the chargers on one GX's bus: they appear, speak, fall silent, leave and are swapped."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Cause, Omission, Remark
from mqtt_http_bridge.core.relay import charger_report
from mqtt_http_bridge.core.relay import device_report as device
from mqtt_http_bridge.core.relay.charger import Charger
from mqtt_http_bridge.core.relay.presence import Change, Presence
from mqtt_http_bridge.core.relay.serials import Place, Serials
from mqtt_http_bridge.core.relay.standstill import PUBLISH_S
from mqtt_http_bridge.core.settings import DeviceSettings
from mqtt_http_bridge.core.venus.paths import PATHS, YIELD_POWER, YIELD_TOTAL
from mqtt_http_bridge.core.venus.payloads import GONE, Said, Sayings, extent, known, too_long
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import ChargerView

MOST_CHARGERS: Final = 64
"""The most chargers to keep for one GX: more than any has, in case a stray client makes some up."""
MOST_TEXT: Final = 2000
"""The most characters to keep of all texts of one charger: even one with 16 trackers has no more
than a hundred for each of its names."""
Reports = dict[ChargerKey, DeviceReport | Omission]
"""All chargers at one moment, in the order of reports: the report of each, or why there is none."""


class Chargers:
    """Holds the chargers of one GX, by service and instance."""

    def __init__(self, portal_id: str, settings: DeviceSettings, serials: Serials) -> None:
        """Starts empty. `serials` is shared by all GX devices of the process."""
        self._portal_id = portal_id
        self._settings = settings
        self._serials = serials
        self._chargers: dict[ChargerKey, Charger] = {}
        self._retained: dict[ChargerKey, dict[str, Said]] = {}
        """The names and serials that the broker retains, of chargers that are there and of
        others."""
        self.refused = 0
        """The number of messages for which there is no room."""
        serials.expect(portal_id)

    def __iter__(self) -> Iterator[Charger]:
        """Yields the chargers with a PV input, ordered by service and instance."""
        chargers = (self._chargers[key] for key in sorted(self._chargers))
        return (c for c in chargers if c.is_pv_charger and not c.is_forgotten)

    def _has_room(self, key: ChargerKey, kept: Collection[ChargerKey]) -> bool:
        """Tells whether one more may be kept, and takes its place among those of all GX devices."""
        if len(kept) >= MOST_CHARGERS:
            return False
        if key in self._retained:
            return True
        if not self._serials.places_left:
            return False
        self._serials.places_left -= 1
        return True

    def _fitting(self, held: Sayings, path: str, said: Said) -> Said:
        """Returns `said`, or too little of it to take up memory if the charger says too much."""
        if extent(said) + sum(extent(held[p]) for p in held if p != path) <= MOST_TEXT:
            return said
        self.refused += 1
        return too_long(said)

    def _free_places(self) -> None:
        """Gives the places back of those that are not there, and of which no name is retained."""
        for key, retained in list(self._retained.items()):
            if not retained and key not in self._chargers:
                del self._retained[key]
                self._serials.places_left += 1

    def end(self, now_s: float) -> None:
        """Gives the places and serials of all chargers back: the GX is not relayed any more."""
        for key, charger in self._chargers.items():
            self._serials.forget(self._place(key), charger, now_s)
        self._serials.places_left += len(self._retained)
        self._chargers.clear()
        self._retained.clear()

    def _place(self, key: ChargerKey) -> Place:
        return Place(self._portal_id, key)

    def _update(self, charger: Charger, now_s: float) -> None:
        """Updates the charger's claim in the serials of the whole process."""
        self._serials.update(self._place(charger.key), charger, now_s)

    # --- what they say -----------------------------------------------------------------------

    def hear(self, key: ChargerKey, path: str, said: Said, now_s: float) -> Change | None:
        """Applies a live reading; returns the change if it starts a new charger."""
        charger = self._chargers.get(key)
        if said is GONE:
            # A device that leaves says so on each of its topics; the first one is enough.
            if charger is not None and (
                charger.presence is not Presence.LOST or charger.is_out_of_reach
            ):
                self._retained.get(key, {}).clear()
                charger.leave(now_s)
                self._update(charger, now_s)
            return None
        if charger is None:
            if not self._has_room(key, self._chargers):
                self.refused += 1
                return None
            charger = Charger(key, self._retained.setdefault(key, {}))
            self._chargers[key] = charger
        if extent(said) > 0:
            said = self._fitting(charger.sayings, path, said)
        change = charger.hear(path, said, now_s)
        if change is Change.SWAPPED:
            self._retained[key].clear()
        if charger.has_told_who:
            charger.has_told_who = False
            self._update(charger, now_s)
        return change

    def hear_retained(self, key: ChargerKey, path: str, said: Said, now_s: float) -> None:
        """Applies a retained message: it may say who a charger is, but not that it is there.

        A number in it may be a month old.
        """
        if said is GONE or not PATHS[key.service][path].is_identity:
            return
        if key not in self._retained and not self._has_room(key, self._retained):
            self.refused += 1
            return
        retained = self._retained.setdefault(key, {})
        retained[path] = self._fitting(retained, path, said)
        charger = self._chargers.get(key)
        if charger is not None:
            charger.note_pv_input()
            self._update(charger, now_s)

    def hear_life(self, key: ChargerKey, now_s: float) -> None:
        """Notes that a charger has said something whose value does not matter."""
        charger = self._chargers.get(key)
        if charger is not None:
            charger.hear_life(now_s)

    # --- whether all has been said -----------------------------------------------------------

    def unconfirm(self, now_s: float) -> None:
        """Notes that the connection was made again: each charger has to be heard again."""
        for retained in self._retained.values():
            retained.clear()
        self._free_places()
        for charger in self._chargers.values():
            charger.unconfirm()
            self._update(charger, now_s)

    def confirm(self, requested_s: float, now_s: float) -> bool:
        """Notes that a full publish requested at `requested_s` has ended at `now_s`.

        Chargers that spoke in it are confirmed; those missing from several in a row are lost.
        Returns True if another one is needed: a charger was missing that may still be there, or
        only its name is known.
        """
        chargers = [c for c in self._chargers.values() if c.is_pv_charger]
        needs = [charger.confirm(requested_s, now_s) for charger in chargers]
        for charger in chargers:
            self._update(charger, now_s)
        self._serials.note_all_said(self._portal_id, now_s)
        return any(needs)

    def establish(self, requested_s: float, now_s: float) -> bool:
        """Notes that everything was published, as far as we can tell; true if another is needed."""
        needs = [charger.establish(requested_s, now_s) for charger in self._chargers.values()]
        self._serials.note_all_said(self._portal_id, now_s)
        return any(needs)

    def note_full_publish(self, now_s: float) -> None:
        """Notes that anybody's full publish has ended: values in it need not have changed."""
        for charger in self._chargers.values():
            charger.standstill.note_full_publish(now_s - PUBLISH_S)

    @property
    def has_somebody_said_all(self) -> bool:
        """Tells whether a charger that may be there has said all that a report needs."""
        return any(charger.has_said_all for charger in self._present())

    @property
    def has_said_all(self) -> bool:
        """Tells whether there is a charger, and each has said all that a report needs."""
        return any(self._present()) and not self.is_somebody_unheard

    @property
    def is_somebody_unheard(self) -> bool:
        """Tells whether a charger that may be there has yet to say something a report needs."""
        return not all(charger.has_said_all for charger in self._present())

    def _present(self) -> Iterator[Charger]:
        return (
            charger
            for charger in self
            if charger.presence is not Presence.LOST
            and not self._serials.is_ignored(self._place(charger.key), charger)
        )

    # --- what is reported --------------------------------------------------------------------

    def reports(self, now: Moment, seen_s: float = NEVER) -> Reports:
        """Makes the reports of all chargers at `now`; forgets those that were lost too long ago.

        `seen_s`, if it is earlier: the last time that the GX was heard. While nobody hears it, no
        charger can be said to stand still.
        """
        self._forget(now.monotonic_s)
        return {charger.key: self._report(charger, now, seen_s) for charger in self}

    def count(self, reports: Reports) -> None:
        """Notes that a measurement is made of `reports`; counts the chargers missing from it."""
        for key, found in reports.items():
            if isinstance(found, Omission):
                self._chargers[key].left_out += 1

    def _report(self, charger: Charger, now: Moment, seen_s: float) -> DeviceReport | Omission:
        place = self._place(charger.key)
        if self._serials.is_ignored(place, charger):
            return Omission(Cause.IGNORED)
        found = charger_report.report(
            charger, now, drop_frozen_after_s=self._settings.drop_frozen_after_s, seen_s=seen_s
        )
        if isinstance(found, DeviceReport):
            return self._unless_taken(found, place)
        if found.cause is Cause.SERIAL_UNKNOWN:
            why = self._serials.ambiguity(place) or f"set one under device.serials, for {place.key}"
            return Omission(found.cause, found=why, subject=why)
        return found

    def _unless_taken(self, found: DeviceReport, place: Place) -> DeviceReport | Omission:
        """Returns the report, unless another charger is reported under the same serial."""
        holder = self._serials.holder(found.serial, place.portal_id)
        if holder in (None, place):
            return found
        other = str(holder.key if holder.portal_id == self._portal_id else holder)
        text = f"{other} has the same serial {found.serial}"
        return Omission(Cause.SERIAL_TWICE, found=text, subject=text)

    def _forget(self, now_s: float) -> None:
        """Forgets chargers that were lost too long ago, or that are back elsewhere."""
        for key, charger in list(self._chargers.items()):
            if charger.presence is not Presence.LOST:
                continue
            is_old = now_s >= charger.lost_s + self._settings.forget_after_s
            if not is_old and not self._is_elsewhere(charger):
                continue
            self._serials.forget(self._place(key), charger, now_s)
            if charger.is_out_of_reach:
                charger.forget()  # It goes on speaking, and must not count as new.
            else:
                del self._chargers[key]
                self._free_places()

    def _is_elsewhere(self, charger: Charger) -> bool:
        if charger.last_serial is None:
            return False
        holder = self._serials.holder(charger.last_serial, self._portal_id)
        return holder not in (None, self._place(charger.key))

    # --- for people --------------------------------------------------------------------------

    def remarks(
        self, now: Moment, reports: Reports, seen_s: float = NEVER
    ) -> Mapping[ChargerKey, tuple[Remark, ...]]:
        """Returns other things that people should know about chargers; `seen_s` as above."""
        return {
            key: tuple(self._remarks(self._chargers[key], found, now, seen_s))
            for key, found in reports.items()
        }

    def _remarks(
        self, charger: Charger, found: DeviceReport | Omission, now: Moment, seen_s: float
    ) -> Iterator[Remark]:
        if isinstance(found, Omission):
            return
        since_s = charger.still_since_s(min(now.monotonic_s, seen_s))
        if since_s is not None:
            yield Remark(charger_report.standstill_words(now, since_s))
        told = charger.told_serial
        if charger.configured_serial is not None and told not in (None, charger.configured_serial):
            text = f"reports the serial {told}, but device.serials says {charger.configured_serial}"
            yield Remark(text, is_trouble=False)
        if why := self._serials.ambiguity(self._place(charger.key)):
            yield Remark(f"is reported by its own serial; {why}")

    def views(self, now: Moment, seen_s: float = NEVER) -> tuple[ChargerView, ...]:
        """Takes a snapshot of the chargers at `now`, for people; `seen_s` as above."""
        reports = self.reports(now, seen_s)
        remarks = self.remarks(now, reports, seen_s)
        return tuple(
            _view(self._chargers[key], found, remarks[key]) for key, found in reports.items()
        )


def _view(
    charger: Charger, found: DeviceReport | Omission, remarks: tuple[Remark, ...]
) -> ChargerView:
    report = found if isinstance(found, DeviceReport) else None
    return ChargerView(
        key=charger.key,
        serial=report.serial if report else charger.serial or charger.last_serial,
        name=report.name if report else _name(charger),
        is_on_bus=charger.presence is not Presence.LOST or charger.is_out_of_reach,
        state=device.state(charger.sayings),
        heard_s=charger.last_heard_s,
        report=report,
        omission=found if isinstance(found, Omission) else None,
        remarks=remarks,
        left_out=charger.left_out,
        power_w=report.yield_power_w if report else known(YIELD_POWER, charger.sayings),
        total_kwh=report.yield_total_kwh if report else _total_kwh(charger),
    )


def _total_kwh(charger: Charger) -> float | None:
    """Returns the total that it reports, or last reported."""
    told_kwh = known(YIELD_TOTAL, charger.sayings)
    words = charger.last_words
    return words.yield_total_kwh if told_kwh is None and words is not None else told_kwh


def _name(charger: Charger) -> str:
    """Returns its name; before it says anything on a new connection, the one that it had."""
    words, is_here = charger.last_words, charger.presence is Presence.ON_BUS
    if words is not None and not is_here and charger.serial in (None, words.serial):
        return words.name
    return device.display_name(charger.sayings, charger.key.instance)
