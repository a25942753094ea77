"""Decides which GX is served next: live measurements first, then the backlog at a limited pace.

*Is*: the policy of delivery, for any number of GX devices and of connections. It has no clock,
thread or dice of its own: time comes in with each call, from one caller at a time.
*Is not*: what becomes of an entry (`gx`), of a backend in trouble (`holds`).

Why there is something to decide
================================
Each GX makes one entry every 30 s. While the backend stores them, each is sent as it comes. After
an hour without the backend, 120 entries of each GX wait, and three simple rules all fail:

- Oldest first: the present would arrive last, hours late.
- As fast as possible: all relays would overload a backend that has just come back.
- One queue: the first entry that the backend cannot store would block all others, for ever.

So there are three kinds of job. The first that has something to do is chosen:

    kind     what                                        how
    -------  ------------------------------------------  -------------------------------------------
    LIVE     the newest entry of a GX, never sent yet    at once, over any connection that is free
    TRY      a parked report whose time has come         over half of the connections at most, and
    BACKLOG  all else that is owed, the oldest first     these two together at most `max_rate`

With a single connection, TRY and BACKLOG get the gaps between what is live.

Rules
=====
1. One entry of a GX is under way at a time: the GX is *flying*. So a lost answer leaves only one
   entry in doubt, and every answer clearly belongs to one entry.
2. A live measurement never waits for a backlog, its own or another's.
3. A newer entry replaces one that is live and not sent yet: that one becomes backlog.
4. Whatever has to wait does not delay anything else:

       what is held     why                                         known by
       ---------------  ------------------------------------------  -----------------------------
       everything       Retry-After, 429, something else answers    `holds.all_until_s`
       all but live     no answer, a broken connection, 5xx         `holds.backlog_until_s`
       all of one key   401, 403                                    `holds.key_until_s`
       a GX's backlog   the backend failed on its entry (500)       `Gx.due_s`
       an entry         something in it could not be stored         `Gx.trials`
       a device         the backend refuses it, or fails on it      `Gx.parked`

   In the second row the live measurement goes all the same: it is the probe. So a backend that
   comes back gets its first POST within one interval, and a moment later (`_start_s`, drawn by
   lot) the backlog starts.

Time
====
Nothing here waits, and there is no timer. `choose(now_s)` gives what is due now, and `next_due_s`
tells when asking again may be of use if no news comes before: too early at worst, never too late.
The GX devices stand in the four queues of `turns`; a call costs no more for ten thousand of them
than for one.

A caller that sends goes round like this:

    job = plan.choose(now_s)                    # None: nothing is due; ask again at `next_due_s`
    exchange = plan.begin(job, serials, now_s)
    while (group := plan.next_group(job, exchange, now_s)) is not None:
        plan.take_in(job, exchange, group, verdict, ...)
    settlement = plan.settle(job, exchange, now_s)
    ...                                         # the outbox does what the settlement says
    plan.finish(job, now_s)                     # only now the GX may be served again
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.delivery.evidence import Evidence
from mqtt_http_bridge.core.delivery.exchange import Exchange, Group
from mqtt_http_bridge.core.delivery.gx import Gx, Settlement
from mqtt_http_bridge.core.delivery.holds import Holds
from mqtt_http_bridge.core.delivery.owed import Owed
from mqtt_http_bridge.core.delivery.refusal import Refusal
from mqtt_http_bridge.core.delivery.turns import Turns
from mqtt_http_bridge.core.delivery.verdict import Verdict
from mqtt_http_bridge.core.delivery.waits import LONGEST_BACKLOG_START_S
from mqtt_http_bridge.core.events import NEVER

_IN_FLIGHT_PAUSE_S: Final = 1.0
"""Seconds until a retry for a GX that is being served is looked at again."""
_UNREADABLE_PAUSE_S: Final = 10.0
"""Seconds until an entry that the outbox cannot give is asked for again."""


class Kind(Enum):
    """Lists what an entry is sent for."""

    LIVE = auto()
    BACKLOG = auto()
    TRY = auto()
    """It is parked, and the backend may accept it by now."""


class Job(NamedTuple):
    """Asks for one entry to be sent."""

    kind: Kind
    portal_id: str
    number: int
    serial: str = ""
    """The device that is tried, if it is a try."""


class Plan:
    """Keeps everything that is to be sent. The caller holds a lock around every call."""

    def __init__(
        self,
        owed: Owed,
        *,
        max_rate_per_s: float,
        draw: Draw,
        key_of: Callable[[str], str] = lambda portal_id: "",
    ) -> None:
        """Knows of no GX yet. `key_of` names the API key of a GX."""
        self.connections = 1
        """The number of callers that may send at one time."""
        self._owed = owed
        self._spacing_s = 1.0 / max_rate_per_s
        self._draw = draw
        self._key_of = key_of
        self._holds = Holds(draw)
        self._evidence = Evidence()
        self._gxs: dict[str, Gx] = {}
        self._turns = Turns(self._gxs)
        self._slow = 0
        """The number of callers that are sending backlog or tries."""
        self._flying = 0
        self._pace_due_s = -NEVER

    # --- news --------------------------------------------------------------------------------

    @property
    def gx_count(self) -> int:
        """Returns how many GX devices there are to serve."""
        return len(self._gxs)

    @property
    def held_keys(self) -> list[str]:
        """Lists the keys that the backend has refused."""
        return self._holds.held_keys

    def restore(
        self, portal_id: str, serial: str, refusal: Refusal, newest: int, now_s: float
    ) -> None:
        """Notes what is parked of a device from before the start."""
        gx = self._gx(portal_id)
        gx.parked.restore(serial, refusal, newest, now_s)
        self._turns.schedule_tries(gx)

    def find(self, portal_ids: Iterable[str], now_s: float) -> None:
        """Notes what waits from before the start: it is not live, but the newest comes first."""
        for portal_id in portal_ids:
            newest = self._owed.newest(portal_id)
            if newest is not None:
                gx = self._gx(portal_id)
                gx.newest = gx.tried = newest
                gx.begins_with_newest = True
                self._turns.place(gx, now_s)

    def look(self, portal_ids: Iterable[str], now_s: float) -> list[str]:
        """Looks for new entries of these GX devices; returns those that have none."""
        without = []
        for portal_id in portal_ids:
            newest = self._owed.newest(portal_id)
            known = self._gxs.get(portal_id)
            if newest is None or (known is not None and newest <= known.newest):
                without.append(portal_id)
                continue
            gx = known or self._gx(portal_id)
            gx.newest = newest
            self._turns.place(gx, now_s)
        return without

    def retry(self, now_s: float) -> None:
        """Makes everything be tried now: a person has fixed a setting."""
        self._holds.release_all()
        for gx in self._gxs.values():
            gx.due_s = -NEVER
            gx.trials.recall()
            gx.rewind()
            gx.parked.have_due(now_s)
            self._turns.schedule_tries(gx)
            self._turns.place(gx, now_s)

    def release_key(self, key: str, now_s: float) -> None:
        """Notes that a key has changed."""
        self._holds.release_key(key)
        for gx in self._gxs.values():
            if gx.key == key:
                self._turns.place(gx, now_s)

    def _gx(self, portal_id: str) -> Gx:
        found = self._gxs.get(portal_id)
        if found is None:
            found = Gx(portal_id, self._key_of(portal_id), self._owed, self._evidence)
            self._gxs[portal_id] = found
        return found

    # --- what is next ------------------------------------------------------------------------

    def next_due_s(self) -> float:
        """Returns when `choose` may have something; infinity if only news can change that."""
        turns, slow_s = self._turns, NEVER
        if self._slow < self._most_slow:
            slow_s = max(turns.slow_due_s, self._pace_due_s, self._holds.backlog_until_s)
        due_s = min(slow_s, turns.later_due_s, turns.live_due_s)
        return max(due_s, self._holds.all_until_s)

    @property
    def _most_slow(self) -> int:
        return max(1, self.connections // 2)

    def is_at_rest(self, now_s: float, pause_s: float) -> bool:
        """Tells whether nothing is under way, or will be within `pause_s`."""
        return not self._flying and self.next_due_s() > now_s + pause_s

    def choose(self, now_s: float) -> Job | None:
        """Chooses what to send now, if anything; `finish` has to follow."""
        if now_s < self._holds.all_until_s:
            return None
        self._turns.recall(now_s)
        job = self._choose_live(now_s)
        is_slow_due = now_s >= max(self._pace_due_s, self._holds.backlog_until_s)
        if job is None and is_slow_due and self._slow < self._most_slow:
            job = self._choose_try(now_s) or self._choose_backlog(now_s)
            if job is not None:
                self._slow += 1
                self._pace_due_s = now_s + self._spacing_s
        if job is not None:
            self._gxs[job.portal_id].is_flying = True
            self._flying += 1
        return job

    def _choose_live(self, now_s: float) -> Job | None:
        while (gx := self._turns.pop_live()) is not None:
            if self._is_key_held(gx, now_s):
                continue
            gx.tried = gx.newest
            newest = self._owed.newest(gx.portal_id)
            if newest is not None:
                gx.newest = gx.tried = max(newest, gx.newest)
                return Job(Kind.LIVE, gx.portal_id, newest)
            self._turns.place(gx, now_s)
        return None

    def _choose_backlog(self, now_s: float) -> Job | None:
        is_in_trouble = self._holds.is_in_trouble
        while (gx := self._turns.pop_backlog()) is not None:
            if gx.is_flying or gx.is_live or self._is_key_held(gx, now_s):
                continue
            if gx.due_s > now_s:
                self._turns.place(gx, now_s)
                continue
            number = gx.next_backlog(now_s, newest_first=is_in_trouble)
            if number is not None:
                return Job(Kind.BACKLOG, gx.portal_id, number)
            self._turns.look_at(gx, gx.trials.next_due_s())
        return None

    def _choose_try(self, now_s: float) -> Job | None:
        while (found := self._turns.pop_try(now_s)) is not None:
            gx, serial = found
            due_s = max(gx.parked[serial].due_s, self._holds.key_until_s(gx.key))
            if gx.is_flying:
                due_s = max(due_s, now_s + _IN_FLIGHT_PAUSE_S)
            if due_s > now_s:
                gx.parked[serial].due_s = due_s
                self._turns.schedule_tries(gx)
                continue
            number = gx.parked.next_to_try(serial, self._owed, gx.portal_id)
            if number is not None:
                return Job(Kind.TRY, gx.portal_id, number, serial)
            gx.parked.forget(serial)
        return None

    def _is_key_held(self, gx: Gx, now_s: float) -> bool:
        """Tells whether a GX has to wait for its key; then it is looked at again in time."""
        until_s = self._holds.key_until_s(gx.key)
        if until_s <= now_s:
            return False
        self._turns.look_at(gx, until_s)
        return True

    # --- an entry under way ------------------------------------------------------------------

    def begin(self, job: Job, serials: Sequence[str], now_s: float) -> Exchange:
        """Begins to send the entry of a job, which has these devices."""
        gx = self._gxs[job.portal_id]
        if job.kind is Kind.TRY:
            return gx.begin_try(serials)
        return gx.begin(serials, now_s, is_live=job.kind is Kind.LIVE)

    def next_group(self, job: Job, exchange: Exchange, now_s: float) -> Group | None:
        """Returns the devices to send in the next POST; None at the end."""
        gx = self._gxs[job.portal_id]
        while (group := exchange.next_group()) is not None:
            refusal = gx.convict(group[0], now_s) if len(group) == 1 else None
            if refusal is None:
                return group
            exchange.refuse(group[0], refusal)
        return None

    def take_in(
        self,
        job: Job,
        exchange: Exchange,
        group: Group,
        verdict: Verdict,
        *,
        began_s: float,
        now_s: float,
    ) -> None:
        """Notes what came of sending a group of devices, which began at `began_s`."""
        gx = self._gxs[job.portal_id]
        was_in_trouble = self._holds.is_in_trouble
        exchange.take_in(group, verdict)
        gx.take_in(verdict, exchange, now_s)
        self._holds.take_in(verdict, gx.key, began_s=began_s, now_s=now_s)
        if was_in_trouble and not self._holds.is_in_trouble:
            self._pace_due_s = now_s + self._start_s(gx)

    def _start_s(self, gx: Gx) -> float:
        """Draws how much later than the live value a backlog starts."""
        newest, oldest = self._owed.newest(gx.portal_id), self._owed.oldest_after(gx.portal_id)
        count = newest - oldest if newest is not None and oldest is not None else 0
        return self._draw(0.0, min(LONGEST_BACKLOG_START_S, count * self._spacing_s))

    def settle(self, job: Job, exchange: Exchange, now_s: float) -> Settlement:
        """Decides what is to be done with the entry."""
        gx = self._gxs[job.portal_id]
        if job.kind is not Kind.LIVE and exchange.posts > 1:
            self._pace_due_s += (exchange.posts - 1) * self._spacing_s
        if job.kind is Kind.TRY:
            return gx.settle_try(job.serial, exchange, now_s)
        was_failing = gx.failures > 0
        settlement = gx.settle(job.number, exchange, self._draw, now_s)
        if was_failing and not gx.failures:
            gx.due_s = now_s + self._start_s(gx)
        return settlement

    def missed(self, job: Job, now_s: float) -> None:
        """Notes that the outbox has not given the entry: it is gone, or the disk refuses."""
        gx, due_s = self._gxs[job.portal_id], now_s + _UNREADABLE_PAUSE_S
        if job.kind is Kind.TRY:
            gx.parked[job.serial].due_s = due_s
        else:
            gx.trials.put_off(job.number, due_s)

    def finish(self, job: Job, now_s: float) -> None:
        """Notes that the outbox has done what was decided: the GX may be served again."""
        gx = self._gxs[job.portal_id]
        gx.is_flying = False
        self._flying -= 1
        self._slow -= job.kind is not Kind.LIVE
        self._turns.schedule_tries(gx)
        self._turns.place(gx, now_s)
