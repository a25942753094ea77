"""Keeps what is to be sent for one GX, and decides what is left of an entry after an exchange.

An entry that is owed is in one place at a time:

    place    it is there because                         it leaves
    -------  ------------------------------------------  ----------------------------------------
    live     it is the newest, and was not sent yet      first of all, or when there is a newer one
    backlog  it waits for its turn                       the oldest first, at the pace
    trials   something in it could not be stored         to the backlog, once its time has come
    flying   it is being sent                            by what came of it

While the backend takes nothing, and after a start, the newest one is what the backlog begins with:
the present matters, and the newest one shows whether the others have a chance. Up to the cursor,
all that is owed is in trials.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from mqtt_http_bridge.core.backoff import Draw, full_jitter_s
from mqtt_http_bridge.core.delivery.evidence import Evidence
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.owed import Owed
from mqtt_http_bridge.core.delivery.parked_devices import ParkedDevices
from mqtt_http_bridge.core.delivery.refusal import NEVER_STORED, Refusal
from mqtt_http_bridge.core.delivery.suspects import Suspects
from mqtt_http_bridge.core.delivery.trials import Trials
from mqtt_http_bridge.core.delivery.verdict import Outcome, Verdict
from mqtt_http_bridge.core.delivery.waits import FIRST_BACKOFF_S, LEAST_APART_S, LONGEST_BACKOFF_S
from mqtt_http_bridge.core.events import NEVER


class Settlement(NamedTuple):
    """Says what to do with an entry: it is removed if none of it is owed or parked."""

    owed: frozenset[str]
    """The devices that stay in it, to be sent again."""
    parked: Mapping[str, Refusal]
    """The devices that are all that stays in it, parked. Empty while anything is owed."""
    freed: tuple[str, ...] = ()
    """The devices whose parked reports are all owed again."""
    refused: Mapping[str, Refusal] = MappingProxyType({})
    """The devices that the backend refuses, whether they can be parked yet or not."""


class Gx:
    """Keeps the state of one GX."""

    def __init__(self, portal_id: str, key: str, owed: Owed, evidence: Evidence) -> None:
        self.portal_id = portal_id
        self.key = key
        """Names the API key that is sent with its measurements."""
        self.newest = 0
        """The highest number seen so far."""
        self.tried = 0
        """The highest number that was sent as the newest."""
        self.begins_with_newest = False
        """True after a start, until some of what was waiting has been sent."""
        self.is_flying = False
        self.looked_at_s = NEVER
        """The time at which the plan looks at it again, if nothing happens before."""
        self.due_s = -NEVER
        """The time at which its backlog is continued."""
        self.failures = 0
        """Counts the exchanges in a row in which the backend failed and judged no device."""
        self.suspects = Suspects(evidence)
        self.parked = ParkedDevices()
        self.trials = Trials()
        self._owed = owed
        self._evidence = evidence
        self._cursor = 0
        self._probe = 0
        self._failed_at = 0
        """The moment of the evidence at the last of these failures."""
        self._is_trial_next = False

    @property
    def is_live(self) -> bool:
        """Tells whether there is a new measurement."""
        return self.newest > self.tried

    def next_backlog(self, now_s: float, *, newest_first: bool) -> int | None:
        """Chooses the entry of the backlog to send now."""
        owed, portal_id = self._owed, self.portal_id
        if newest_first or self.failures or self.begins_with_newest:
            self.begins_with_newest = False
            newest = owed.newest(portal_id)
            if newest is not None and newest not in self.trials:
                return newest
        # By turns, so that retries hold up the others no more than the others hold up retries.
        self._is_trial_next = not self._is_trial_next
        if self._is_trial_next:
            return self._trial(now_s) or self._oldest()
        return self._oldest() or self._trial(now_s)

    def _oldest(self) -> int | None:
        """Returns the oldest that is in no trial."""
        number = self._owed.oldest_after(self.portal_id, self._cursor)
        while number is not None and number in self.trials:
            self._cursor = number
            number = self._owed.oldest_after(self.portal_id, number)
        return number

    def _trial(self, now_s: float) -> int | None:
        """Returns one whose time has come again."""
        while (number := self.trials.pop_due(now_s)) is not None:
            if self._owed.oldest_after(self.portal_id, number - 1) == number:
                return number
            self.trials.forget(number)
        return None

    def rewind(self) -> None:
        """Notes that entries older than those seen so far may be owed: some were freed."""
        self._cursor = 0

    # --- an exchange -------------------------------------------------------------------------

    def begin(self, serials: Sequence[str], now_s: float, *, is_live: bool) -> Exchange:
        """Begins to send an entry that has these devices."""
        for serial in serials:
            self.convict(serial, now_s)
        suspects = [serial for serial in serials if serial in self.suspects]
        later = [s for s in suspects if not is_live and not self.suspects.is_due(s, now_s)]
        return Exchange(
            serials,
            probe=self._probe,
            is_failing=self.failures > 0,
            is_up=self.failures > 0 and self._evidence.moment > self._failed_at,
            refused=self.parked.poison(),
            apart=suspects,
            later=later,
        )

    def convict(self, serial: str, now_s: float) -> Refusal | None:
        """Sets a device aside from now on if the backend fails on it and on no other device."""
        refusal = self.suspects.convict(serial, now_s)
        if refusal is not None:
            self.parked.note_refused(serial, refusal, 0, now_s)
        return refusal

    def take_in(self, verdict: Verdict, exchange: Exchange, now_s: float) -> None:
        """Applies the result of a POST of `exchange`, as evidence about its devices."""
        for serial in verdict.stored:
            self._evidence.note_stored(serial)
        if verdict.outcome in (Outcome.JUDGED, Outcome.REJECTED):
            for serial in verdict.fates.keys() - verdict.owed:
                self.suspects.clear(serial)
        elif verdict.outcome is Outcome.FAILED:
            for serial in (
                exchange.failed_alone & verdict.fates.keys() - self.parked.poison().keys()
            ):
                self.suspects.note_failed_alone(serial, verdict.reason, now_s)

    def settle(self, number: int, exchange: Exchange, draw: Draw, now_s: float) -> Settlement:
        """Decides what is left of an entry after an exchange."""
        owed, refused = exchange.owed, exchange.refused
        failed = self._failed(number, exchange)
        has_failed = exchange.has_failed or self.trials.has_failed(number)
        if has_failed and exchange.is_all_stored:
            self._evidence.note_chance(now_s)
        by_chance = self._evidence.has_chance_failures(now_s)
        if failed and self.trials.is_last(number, by_chance=by_chance):
            said = exchange.last.reason if exchange.last else ""
            refused |= dict.fromkeys(failed, Refusal(NEVER_STORED, said))
            owed -= failed
        if not owed:
            self.trials.forget(number)
            for serial, refusal in refused.items():
                self.parked.note_refused(serial, refusal, number, now_s)
        elif failed:
            self.trials.note_failed(number, self._evidence.moment, now_s)
        elif exchange.is_answered or not exchange.posts:
            self.trials.put_off(number, now_s + LEAST_APART_S)
        else:
            self._cursor = min(self._cursor, number - 1)
        if exchange.is_answered or not failed:
            self._count_failures(exchange, draw, now_s)
        freed = self._free(exchange, is_try=False)
        return Settlement(owed, {} if owed else refused, freed, refused)

    def _failed(self, number: int, exchange: Exchange) -> frozenset[str]:
        """Lists what could not be stored although the backend works."""
        if exchange.is_answered:
            return exchange.owed & (exchange.not_stored | exchange.failed_alone)
        is_its_own = exchange.is_failed and self.trials.is_its_own_fault(
            number, self._evidence.moment
        )
        return exchange.owed if is_its_own else frozenset()

    def _count_failures(self, exchange: Exchange, draw: Draw, now_s: float) -> None:
        if exchange.is_answered:
            self.failures = 0
        elif exchange.is_failed:
            self.failures += 1
            self._probe += 1
            self._failed_at = self._evidence.moment
            self.due_s = now_s + full_jitter_s(
                self.failures, first_s=FIRST_BACKOFF_S, limit_s=LONGEST_BACKOFF_S, draw=draw
            )

    # --- a try of what is parked -------------------------------------------------------------

    def begin_try(self, serials: Sequence[str]) -> Exchange:
        """Begins to retry a parked report, unchanged."""
        return Exchange(serials, is_whole=True)

    def settle_try(self, serial: str, exchange: Exchange, now_s: float) -> Settlement:
        """Decides what is left of a parked report of `serial` after a retry."""
        freed = self._free(exchange, is_try=True)
        if (exchange.is_answered or exchange.is_failed) and serial in self.parked:
            self.parked.note_try_failed(serial, exchange.refused.get(serial), now_s)
        left = {s: exchange.refused.get(s) or self.parked.refusal_of(s) for s in exchange.owed}
        return Settlement(frozenset(), exchange.refused | left, freed, exchange.refused)

    def _free(self, exchange: Exchange, *, is_try: bool) -> tuple[str, ...]:
        freed = [s for s in exchange.stored if self.parked.is_freed_by(s, is_try=is_try)]
        for serial in freed:
            self.parked.forget(serial)
        if freed:
            self.rewind()
        return tuple(sorted(freed))
