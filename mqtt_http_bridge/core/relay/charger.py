"""A charger: what it has said, where it stands with the bus, and who it is.

    UNCONFIRMED --says something live--> ON_BUS --zero-length payload, `/Connected` 0,
         ^                                 |        or missing from two full publishes--> LOST
         |                                 |                                               |
         +---a connection made anew, or----+       ON_BUS <--says something, or, if it was-+
             a GX that was asleep                            out of reach, `/Connected` 1

What it says counts only while it is on the bus and within reach. A driver that has lost its
charger goes on saying the last numbers, in each full publish again. So beside `/Connected` 0 only
that counts which tells who it is, and a number is known only once it is said after it is back.

What may be reported of it, and when, is for `charger_report`. Ages are on the monotonic clock and
become UTC only there, so that a wall clock that steps does not falsify what was heard before.
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
"""Seconds that a charger which has just appeared may take to say who it is."""
TELLING_WHO: Final = frozenset({SERIAL.name, NR_OF_TRACKERS.name, CONNECTED.name})
"""Paths whose values may change who is there, and who has which serial."""
MISSES_UNTIL_LOST: Final = 2
"""Full publishes in a row that lack a charger until it counts as lost. One proves nothing: right
after a broker start they are incomplete, and QoS 0 can lose a whole charger at once."""


class Charger:
    """One place on the bus: who speaks there, what has been said of each path, and when."""

    def __init__(self, key: ChargerKey, retained: Mapping[str, Said] | None = None) -> None:
        """Nobody has been heard there. `retained` is what the broker keeps, and may change."""
        self.key = key
        self.presence = Presence.UNCONFIRMED
        self.is_out_of_reach = False
        """True if the last it said of that was `/Connected` 0: it is lost, but still on the bus."""
        self.is_pv_charger = key.service == "solarcharger"
        """False for a `multi` or `inverter` that has not been seen to have a PV input."""
        self.configured_serial: str | None = None
        """The serial that a setting gives it; it beats the one that it tells itself."""
        self.appeared_s = -NEVER
        self.heard_s = -NEVER
        """The last time it said anything within reach, or a full publish confirmed what it had
        said."""
        self.lost_s = -NEVER
        self.last_words: LastWords | None = None
        self.is_forgotten = False
        """True once it has been lost for too long to be reported."""
        self.is_established = False
        """True once everything was published since it appeared: what it has not said by then, it
        never says."""
        self.missed_publishes = 0
        self.left_out = 0
        """In how many measurements it was not."""
        self.has_told_who = False
        """True if it said something that may change whose serial is whose; whoever looks at it
        resets it."""
        self.units = Units()
        self.standstill = Standstill(-NEVER)
        self._retained = retained if retained is not None else {}
        self._paths = PATHS[key.service]
        self._said_by_unit = SaidByUnit(self._paths, self._retained)
        self._spoke_s = -NEVER
        self._out_of_reach_told_s = -NEVER

    def _begin(self, now_s: float, *, is_same_unit: bool = False) -> None:
        """Starts anew on the bus, with no memory of any number that was said before."""
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
        """Takes in `said` (never Gone) of `path`; tells whether somebody starts anew with it."""
        self._spoke_s = now_s
        self.missed_publishes = 0
        if self.presence is Presence.ON_BUS and self._said_by_unit.said.get(path) is said:
            # As most is in a full publish: payloads that were met lately are known by sight.
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
        """Notices who is there now that was not before, and who is not there any more."""
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
        """It has said something of a path that is of no interest."""
        if self.presence is Presence.ON_BUS:
            self.heard_s = self._spoke_s = now_s
            self.standstill.note_message(now_s)

    def note_pv_input(self) -> None:
        """Takes in whether it tells of trackers: unknown later on is not none."""
        self._said_by_unit.count_trackers(NR_OF_TRACKERS.name)
        self.is_pv_charger = self.is_pv_charger or reports.has_pv_input(self.sayings)

    # --- losing it ---------------------------------------------------------------------------

    def unconfirm(self) -> None:
        """Forgets all it said but its last words: after a gap, another unit may speak."""
        self.units.lose_sight()
        if self.presence is Presence.ON_BUS:
            self._keep_last_words(is_known_well=self._was_within_reach(self.heard_s))
            self._said_by_unit = self._begun(is_same_unit=False)
            self.presence = Presence.UNCONFIRMED

    def leave(self, now_s: float) -> None:
        """Takes in that it has left the bus."""
        if self.presence is Presence.ON_BUS:
            self._keep_last_words(is_known_well=True)
        self.units.clear()
        self._said_by_unit = self._begun(is_same_unit=False)
        self.is_out_of_reach = False
        self._lose(now_s)

    def _lose_contact(self, now_s: float) -> None:
        """Takes in that the GX has no contact with it."""
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
        """Keeps what is to be said of it from now on: new words, or those of an earlier loss."""
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
        """The words of an earlier loss hold unless another unit is known to have spoken since."""
        if self.last_words is None or self.serial not in (None, self.last_words.serial):
            self.last_words = None
            if self.presence is not Presence.LOST:
                self.lost_s = -NEVER

    def _forget_last_words(self) -> None:
        self.last_words, self.lost_s = None, -NEVER

    def forget(self) -> None:
        """It was lost too long ago, or is reported from elsewhere."""
        self.last_words = None
        self.is_forgotten = True

    # --- full publishes ----------------------------------------------------------------------

    def confirm(self, requested_s: float, now_s: float) -> bool:
        """A full publish asked for at `requested_s` has ended; true if another is needed."""
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
        """Everything asked for at `requested_s` has been published, as far as anybody can tell.

        True if of several units here one is left, of which nothing is known yet.
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
            self.is_out_of_reach = False  # It no longer says so: what it says next counts again.
        return is_alone_again

    # --- what is known of it -----------------------------------------------------------------

    @property
    def sayings(self) -> Sayings:
        """Its last word on each path, and where it has said nothing, what the broker retains."""
        return self._said_by_unit.sayings

    @property
    def told_serial(self) -> str | None:
        """The serial that it tells itself."""
        return reports.serial(self.sayings)

    @property
    def serial(self) -> str | None:
        """Its serial, configured or told."""
        return self.configured_serial or self.told_serial

    @property
    def last_serial(self) -> str | None:
        """The serial under which it is reported as lost; None if nothing can be reported."""
        return self.last_words.serial if self.last_words else None

    @property
    def last_heard_s(self) -> float:
        """The last time that it, or the unit lost in its place, was heard; -infinity: never."""
        is_lost = self.presence is Presence.LOST
        return self.last_words.heard_s if is_lost and self.last_words else self.heard_s

    @property
    def has_said_all(self) -> bool:
        """True once it has said something, if only null, of everything that a report needs."""
        told, is_named = self.sayings, self.configured_serial is not None
        return all(
            path in told or (is_named and path == SERIAL.name)
            for path, row in self._paths.items()
            if row.is_needed
        )

    @property
    def has_several_trackers(self) -> bool:
        """True if its trackers speak for themselves."""
        return self._said_by_unit.has_several_trackers

    def still_since_s(self, now_s: float) -> float | None:
        """Since when it stands still, if it does so in the sun; None if it does not."""
        since_s = self.standstill.since_s(now_s)
        if self.presence is not Presence.ON_BUS or now_s < since_s + STANDS_STILL_S:
            return None
        found = reports.numbers(self.sayings)
        return since_s if isinstance(found, reports.Numbers) and found.yield_power_w > 0 else None
