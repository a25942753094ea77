"""Tracks a charger: what it has said, whether it is on the bus, and which unit it is.

    UNCONFIRMED --says something live--> ON_BUS --zero-length payload, `/Connected` 0,
         ^                                 |        or missing from two full publishes--> LOST
         |                                 |                                               |
         +---a new connection, or----------+       ON_BUS <--says something, or, if it was-+
             a GX that was asleep                            out of reach, `/Connected` 1

What it says counts only while it is on the bus and within reach. A driver that has lost its charger
repeats the last numbers in each full publish. So while `/Connected` is 0, only its identity counts,
and once it is back, a number is known only when it has been said again.

`charger_report` decides what may be reported, and when. Ages are on the monotonic clock and become
UTC only there, so that a step of the wall clock does not falsify what was heard before.
"""

from collections.abc import Mapping
from typing import Final

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay import device_report as reports
from mqtt_http_bridge.core.relay.presence import Change, LastWords, Presence
from mqtt_http_bridge.core.relay.said_by_unit import SaidByUnit
from mqtt_http_bridge.core.relay.standstill import STANDS_STILL_S, Standstill
from mqtt_http_bridge.core.relay.units import Units
from mqtt_http_bridge.core.venus.paths import CONNECTED, NR_OF_TRACKERS, PATHS, SERIAL, YIELD_TOTAL
from mqtt_http_bridge.core.venus.payloads import Said, Sayings, known
from mqtt_http_bridge.core.venus.readings import ChargerKey

SETTLING_S: Final = 10.0
"""Seconds that a charger that has just appeared may take to report its identity."""
TELLING_WHO: Final = frozenset({SERIAL.name, NR_OF_TRACKERS.name, CONNECTED.name})
"""Paths whose values may change which unit is there, and who has which serial."""
MISSES_UNTIL_LOST: Final = 2
"""A charger that is missing from this many full publishes in a row is lost. Missing from one proves
nothing: right after a broker start they are incomplete, and QoS 0 can lose everything about a
charger."""


class Charger:
    """Tracks one place on the bus: which unit is there, and what it said on each path, and when."""

    def __init__(self, key: ChargerKey, retained: Mapping[str, Said] | None = None) -> None:
        """Starts with nothing heard. `retained` is what the broker keeps, and may change."""
        self.key = key
        self.presence = Presence.UNCONFIRMED
        self.is_out_of_reach = False
        """True if the last `/Connected` was 0: it is lost, but still on the bus."""
        self.is_pv_charger = key.service == "solarcharger"
        """False for a `multi` or `inverter` that has not shown a PV input so far."""
        self.configured_serial: str | None = None
        """The serial from the config; it wins over the one that the charger reports."""
        self.appeared_s = -NEVER
        self.heard_s = -NEVER
        """The last time that it said something while within reach, or that a full publish confirmed
        what it had said."""
        self.lost_s = -NEVER
        self.last_words: LastWords | None = None
        self.is_forgotten = False
        """True once it has been lost for too long to be reported."""
        self.is_established = False
        """True once everything was published since it appeared: whatever it has not said by then,
        it never says."""
        self.missed_publishes = 0
        self.left_out = 0
        """The number of measurements it was missing from."""
        self.has_told_who = False
        """True if it said something that may change whose serial is whose; the reader resets it."""
        self.units = Units()
        self.standstill = Standstill(-NEVER)
        self._retained = retained if retained is not None else {}
        self._paths = PATHS[key.service]
        self._said_by_unit = SaidByUnit(self._paths, self._retained)
        self._spoke_s = -NEVER
        self._out_of_reach_told_s = -NEVER

    def _begin(self, now_s: float, *, is_same_unit: bool = False) -> None:
        """Starts again on the bus, with no memory of earlier numbers."""
        self.presence = Presence.ON_BUS
        self.is_out_of_reach = self.is_forgotten = self.is_established = False
        self.appeared_s = now_s
        self.standstill = Standstill(now_s)
        self._said_by_unit = self._begun(is_same_unit=is_same_unit)
        self.note_pv_input()

    def _begun(self, *, is_same_unit: bool) -> SaidByUnit:
        return SaidByUnit(
            self._paths, self._retained, self._said_by_unit.identity if is_same_unit else None
        )

    # --- what it says ------------------------------------------------------------------------

    def hear(self, path: str, said: Said, now_s: float) -> Change | None:
        """Applies `said` (never GONE) on `path`; returns the change if it starts a new charger."""
        self._spoke_s = now_s
        self.missed_publishes = 0
        if self.presence is Presence.ON_BUS and self._said_by_unit.said.get(path) is said:
            # Usually this is part of a full publish: recent payloads are recognized by their bytes.
            self.heard_s = now_s
            if path == SERIAL.name:
                self.units.tell_again(now_s)
            return None
        change, is_telling_who = None, path in TELLING_WHO
        if is_telling_who or self.presence is not Presence.ON_BUS:
            self.has_told_who = True
            change = self._turn_up(path, said, now_s)
        if self.presence is Presence.ON_BUS:
            self.heard_s = now_s
            if self._said_by_unit.take_in(path, said):
                self.standstill.changed_s = now_s
        elif self._paths[path].is_identity:
            self._said_by_unit.take_in(path, said)
            self._drop_words_of_another()
        if is_telling_who:
            self.note_pv_input()
        return change

    def _turn_up(self, path: str, said: Said, now_s: float) -> Change | None:
        """Notices a unit that is there now and was not before, and one that is gone."""
        change = None
        if self.presence is not Presence.ON_BUS and not self.is_out_of_reach:
            is_lost = self.presence is Presence.LOST
            change = Change.RETURNED if is_lost else Change.APPEARED
            self._begin(now_s)
        elif self.is_out_of_reach and path == CONNECTED.name and known(CONNECTED, {path: said}):
            change = Change.RETURNED
            self._begin(now_s, is_same_unit=True)
        if path == SERIAL.name:
            serial = reports.serial({path: said})
            if serial is not None and self.units.tell(serial, now_s):
                change = None if self.units.rivals else Change.SWAPPED
                self._begin(now_s)
        elif path == CONNECTED.name and not known(CONNECTED, {path: said}):
            self._lose_contact(now_s)
        return change

    def hear_life(self, now_s: float) -> None:
        """Notes that it said something on a path whose value does not matter."""
        if self.presence is Presence.ON_BUS:
            self.heard_s = self._spoke_s = now_s
            self.standstill.note_message(now_s)

    def note_pv_input(self) -> None:
        """Notes whether it has trackers: if that becomes unknown later, it still has them."""
        self._said_by_unit.count_trackers(NR_OF_TRACKERS.name)
        self.is_pv_charger = self.is_pv_charger or reports.has_pv_input(self.sayings)

    # --- losing it ---------------------------------------------------------------------------

    def unconfirm(self) -> None:
        """Forgets everything except its last words: after a gap, another unit may be speaking."""
        if self.presence is Presence.ON_BUS:
            self._keep_last_words(is_known_well=self._was_within_reach(self.heard_s))
            self.presence = Presence.UNCONFIRMED
        self._said_by_unit = self._begun(is_same_unit=False)
        self.units.lose_sight()

    def leave(self, now_s: float) -> None:
        """Notes that it has left the bus."""
        if self.presence is Presence.ON_BUS:
            self._keep_last_words(is_known_well=True)
        self.units.clear()
        self._said_by_unit = self._begun(is_same_unit=False)
        self.is_out_of_reach = False
        self._lose(now_s)

    def _lose_contact(self, now_s: float) -> None:
        """Notes that the GX has no contact with it."""
        self._out_of_reach_told_s = now_s
        if self.presence is Presence.ON_BUS:
            was_within_reach = self._was_within_reach(now_s)
            if was_within_reach:
                self.heard_s = now_s
            self._keep_last_words(is_known_well=was_within_reach)
            self._said_by_unit = self._begun(is_same_unit=True)
            self._lose(now_s)
        self.is_out_of_reach = True

    def _was_within_reach(self, now_s: float) -> bool:
        """Tells whether its numbers were its own: a burst may have them before `/Connected` 0."""
        has_had_time = now_s >= self.appeared_s + SETTLING_S
        return self._said_by_unit.is_within_reach or self.is_established or has_had_time

    def _lose(self, now_s: float) -> None:
        self.presence = Presence.LOST
        if self.lost_s == -NEVER:
            self.lost_s = now_s

    def _keep_last_words(self, *, is_known_well: bool) -> None:
        """Keeps what is to be reported from now on: new last words, or those of an earlier loss.

        Keeps nothing where two units may have spoken: the serial may be one's, the total the
        other's.
        """
        if not self.units.is_one_unit:
            self._forget_last_words()
            return
        words = self._words() if is_known_well else None
        if words is not None:
            self.last_words, self.lost_s = words, -NEVER
        else:
            self._drop_words_of_another()

    def _words(self) -> LastWords | None:
        remembered = self._said_by_unit.remembered
        total_kwh = known(YIELD_TOTAL, remembered)
        if self.serial is None or total_kwh is None or not self.is_pv_charger:
            return None
        return LastWords(
            serial=self.serial,
            name=reports.display_name(remembered, self.key.instance),
            product_name=reports.product_name(remembered) or "Unknown",
            yield_total_kwh=total_kwh,
            heard_s=self.heard_s,
        )

    def _drop_words_of_another(self) -> None:
        """Drops the last words of an earlier loss if another unit has spoken since."""
        if self.last_words is None or self.serial not in (None, self.last_words.serial):
            self.last_words = None
            if self.presence is not Presence.LOST:
                self.lost_s = -NEVER

    def _forget_last_words(self) -> None:
        self.last_words, self.lost_s = None, -NEVER

    def forget(self) -> None:
        """Forgets it: it was lost too long ago, or is reported from elsewhere."""
        self.last_words = None
        self.is_forgotten = True

    # --- full publishes ----------------------------------------------------------------------

    def confirm(self, requested_s: float, now_s: float) -> bool:
        """Notes that a full publish requested at `requested_s` ended; true if more are needed."""
        is_alone_again = self.establish(requested_s, now_s)
        if self._spoke_s >= requested_s:
            if self.presence is Presence.ON_BUS:
                self.heard_s = now_s
            return is_alone_again
        self.missed_publishes += 1
        if self.missed_publishes >= MISSES_UNTIL_LOST and self.presence is not Presence.LOST:
            self.leave(now_s)
        return self.presence is not Presence.LOST

    def establish(self, requested_s: float, now_s: float) -> bool:
        """Notes that everything requested at `requested_s` was published, as far as we can tell.

        Returns True if one of several units here is left, about which nothing is known yet.
        """
        self.standstill.note_full_publish(requested_s)
        is_alone_again = self.units.settle(requested_s)
        if is_alone_again:
            self._begin(now_s)
            self._forget_last_words()
        elif self.presence is Presence.ON_BUS:
            self.is_established = True
            self._forget_last_words()
        if self.is_out_of_reach and self._spoke_s >= requested_s > self._out_of_reach_told_s:
            self.is_out_of_reach = False  # No longer out of reach: what comes next counts.
        return is_alone_again

    # --- what is known of it -----------------------------------------------------------------

    @property
    def sayings(self) -> Sayings:
        """Returns its last value on each path, or else what the broker retains."""
        return self._said_by_unit.sayings

    @property
    def told_serial(self) -> str | None:
        """Returns the serial that it reports."""
        return reports.serial(self.sayings)

    @property
    def serial(self) -> str | None:
        """Returns its serial, configured or reported."""
        return self.configured_serial or self.told_serial

    @property
    def last_serial(self) -> str | None:
        """Returns the serial to report it as lost under; None if nothing can be reported."""
        return self.last_words.serial if self.last_words else None

    @property
    def last_heard_s(self) -> float:
        """Returns when it, or the unit lost in its place, was last heard; -infinity: never."""
        is_lost = self.presence is Presence.LOST
        return self.last_words.heard_s if is_lost and self.last_words else self.heard_s

    @property
    def has_said_all(self) -> bool:
        """Tells whether it has said something, if only null, on every path that a report needs."""
        told, is_named = self.sayings, self.configured_serial is not None
        return all(
            path in told or (is_named and path == SERIAL.name)
            for path, row in self._paths.items()
            if row.is_needed
        )

    @property
    def has_several_trackers(self) -> bool:
        """Tells whether its trackers report separately."""
        return self._said_by_unit.has_several_trackers

    def still_since_s(self, now_s: float) -> float | None:
        """Returns since when its values have not changed in the sun; None if they change."""
        since_s = self.standstill.since_s(now_s)
        if self.presence is not Presence.ON_BUS or now_s < since_s + STANDS_STILL_S:
            return None
        found = reports.numbers(self.sayings)
        return since_s if isinstance(found, reports.Numbers) and found.yield_power_w > 0 else None
