"""Which entry of the outbox to send next, and when: the present first, then the past in order.

Three things can fail, and each waits by itself: the way to the backend, which holds everything; one
entry, which the others overtake; one device, whose reports are parked.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.backoff import Draw, full_jitter_s
from mqtt_http_bridge.core.delivery import LONGEST_RETRY_AFTER_S, Route, Verdict

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
SLOW_STEPS_S: Final = (60.0, 300.0, 900.0, 3600.0)
"""Waits for what a person has to mend; the last goes on."""
LONGEST_START_S: Final = 30.0
"""A backlog starts to drain some time in these, and no later than it would take: when a backend
comes back, its relays do not all come at once."""
MOST_IN_MIND: Final = 1000
"""How many entries of a backlog to hold numbers of; the outbox knows the others."""

SUSPECT_WAIT_S: Final = 150.0
SUSPECT_FAILURES: Final = 5
SUSPECT_TIME_S: Final = 600.0
"""An entry that makes the backend fail so often over so long, while it takes others, is split."""
TRIAL_TIME_S: Final = 3600.0
"""After so long one is split even though the backend takes nothing: every measurement may hold the
one device that it fails on."""
MOST_STORE_FAILURES: Final = 5
"""How often an entry may meet a passing fault of the backend's store until it is set aside."""

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Send the entry of this number; device by device if `is_split`."""

    number: int
    is_split: bool = False
    is_trial: bool = False
    """Whether nothing shows that the backend takes others: if it takes none of the devices
    either, the fault is its own."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Try the oldest that is parked of this device."""

    serial: str


Choice = Waiting | Parked


@dataclass(slots=True)
class _Trouble:
    """What an entry has met so far."""

    since_s: float
    failed_s: float = NEVER
    failures: int = 0
    """How often the backend failed on it, each but the first after it had taken others."""
    store_failures: int = 0
    """How often the backend could not store some of it, the first time while it stored others."""


@dataclass(slots=True)
class _Probe:
    """When to try again what is parked of one device."""

    due_s: float
    refusals: int = 0


class Agenda:
    """What is to be sent. Owned by the sender's thread."""

    def __init__(self, max_rate_per_s: float, draw: Draw) -> None:
        self._spacing_s = 1.0 / max_rate_per_s
        self._draw = draw
        self._fresh: int | None = None
        self._backlog: list[int] = []
        self._horizon = -NEVER
        """Up to this number all that the outbox holds is in mind; beyond, it has to be asked."""
        self._later: list[tuple[float, int]] = []
        self._troubles: dict[int, _Trouble] = {}
        self._parked: dict[str, _Probe] = {}
        self._route = Route.OPEN
        self._route_failures = 0
        self._route_due_s = -NEVER
        self._pace_due_s = -NEVER
        self._passed_s = -NEVER

    # --- what there is ---------------------------------------------------------------------------

    @property
    def wants_backlog(self) -> bool:
        """Whether `add_backlog` should be called with the oldest numbers of the outbox."""
        return self._horizon < NEVER and not self._backlog

    @property
    def most_wanted(self) -> int:
        """How many numbers `add_backlog` takes: MOST_IN_MIND besides those that are known."""
        return MOST_IN_MIND + len(self._later) + 1

    def add_backlog(self, oldest: Sequence[int]) -> None:
        """Takes in the oldest entries of the outbox, in order, up to `most_wanted` of them."""
        self._horizon = oldest[-1] if len(oldest) >= self.most_wanted else NEVER
        known = {number for _, number in self._later} | {self._fresh}
        self._backlog = [number for number in oldest if number not in known]
        heapq.heapify(self._backlog)

    def add_fresh(self, number: int) -> None:
        """An entry was made just now: it goes first, until there is a fresher one."""
        if any(number == later for _, later in self._later):
            return  # It was found in the outbox and sent before the news of it came.
        if number in self._backlog:
            self._backlog.remove(number)
            heapq.heapify(self._backlog)
        if self._fresh is not None:
            self._put_back(self._fresh)
        self._fresh = number

    def _put_back(self, number: int) -> None:
        """Has the entry sent in its turn; what is too much to keep in mind the outbox will tell."""
        if self._horizon == NEVER and len(self._backlog) >= MOST_IN_MIND:
            self._horizon = max(self._backlog)
        if number <= self._horizon:
            heapq.heappush(self._backlog, number)

    def retry(self, parked_serials: Iterable[str], now_s: float) -> None:
        """Everything is to be tried now: at the start, or when somebody has mended a setting."""
        self._route_failures = 0
        self._route_due_s = -NEVER
        self._recall(NEVER)
        for serial in parked_serials:
            self._parked[serial] = _Probe(now_s)

    def _recall(self, now_s: float) -> None:
        """What was put off until now goes with the others, oldest first."""
        while self._later and self._later[0][0] <= now_s:
            self._put_back(heapq.heappop(self._later)[1])

    # --- what is next ----------------------------------------------------------------------------

    def next_due_s(self) -> float:
        """When `choose` will have something; infinity if only something new can change that."""
        if self._fresh is not None:
            return self._route_due_s
        due_s = NEVER
        if self._backlog or self.wants_backlog:
            due_s = -NEVER
        elif self._later or self._parked:
            due_s = min(
                [due for due, _ in self._later[:1]] + [p.due_s for p in self._parked.values()]
            )
        return max(due_s, self._route_due_s, self._pace_due_s)

    def choose(self, now_s: float) -> Choice | None:
        """What to send now, if anything; `judged` or `judged_parked` has to follow."""
        if now_s < self.next_due_s():
            return None
        if self._fresh is not None:
            number, self._fresh = self._fresh, None
            return Waiting(number)
        self._pace_due_s = now_s + self._spacing_s
        self._recall(now_s)
        if self._backlog:
            number = heapq.heappop(self._backlog)
            return self._waiting(number, now_s)
        return self._choose_parked(now_s)

    def _choose_parked(self, now_s: float) -> Parked | None:
        due = [(probe.due_s, serial) for serial, probe in self._parked.items()]
        due_s, serial = min(due, default=(NEVER, ""))
        return Parked(serial) if due_s <= now_s else None

    def _waiting(self, number: int, now_s: float) -> Waiting:
        trouble = self._troubles.get(number)
        if trouble is None or not trouble.failures:
            return Waiting(number)
        suspected_s = now_s - trouble.since_s
        if trouble.failures >= SUSPECT_FAILURES and suspected_s >= SUSPECT_TIME_S:
            return Waiting(number, is_split=True)
        is_trial = suspected_s >= TRIAL_TIME_S
        return Waiting(number, is_split=is_trial, is_trial=is_trial)

    # --- what came of it -------------------------------------------------------------------------

    def missed(self, number: int) -> None:
        """The entry was not there any more."""
        self._troubles.pop(number, None)

    def judged(self, number: int, verdict: Verdict, now_s: float) -> None:
        """Takes in what came of sending the entry `number`."""
        for serial in verdict.refused:
            self._parked.setdefault(serial, _Probe(now_s + SLOW_STEPS_S[0], refusals=1))
        trouble = self._troubles.get(number)
        if verdict.is_suspect and trouble is not None and trouble.store_failures:
            self._put_off(number, now_s)  # Known to be its own fault: no reason to hold others.
            return
        if verdict.route is not Route.OPEN:
            self._hold_route(verdict, now_s)
            self._put_back_held(number, verdict, now_s)
            return
        self._open_route(now_s)
        if not verdict.is_owed_at_once:
            self._passed_s = now_s
        if not verdict.owed:
            self._troubles.pop(number, None)
        elif verdict.is_owed_at_once:
            self._put_back(number)
        else:
            self._put_off(number, now_s)

    def has_tried_enough(self, number: int) -> bool:
        """Whether what is owed of an entry has met the same fault so often that it is set aside."""
        trouble = self._troubles.get(number)
        return trouble is not None and trouble.store_failures >= MOST_STORE_FAILURES

    def _put_off(self, number: int, now_s: float) -> None:
        """The backend could not store some of an entry, which the others overtake."""
        trouble = self._troubles.setdefault(number, _Trouble(now_s))
        trouble.store_failures += 1
        heapq.heappush(self._later, (now_s + _slow_step_s(trouble.store_failures), number))

    def _put_back_held(self, number: int, verdict: Verdict, now_s: float) -> None:
        """An entry that the backend failed on may itself be the reason: others go before it."""
        if not verdict.is_suspect:
            self._put_back(number)
            return
        trouble = self._troubles.setdefault(number, _Trouble(now_s))
        if trouble.failures == 0 or self._passed_s > trouble.failed_s:
            trouble.failures += 1
        trouble.failed_s = now_s
        heapq.heappush(self._later, (now_s + SUSPECT_WAIT_S, number))

    def judged_parked(self, serial: str, verdict: Verdict, now_s: float) -> None:
        """Takes in what came of trying what is parked of a device."""
        if verdict.route is not Route.OPEN and not verdict.is_suspect:
            self._hold_route(verdict, now_s)  # Nothing was said of the device: its turn remains.
            return
        probe = self._parked[serial]
        if verdict.is_done:
            probe.refusals, probe.due_s = 0, now_s
        else:
            probe.refusals += 1
            probe.due_s = now_s + _slow_step_s(probe.refusals)
        if verdict.route is Route.OPEN:
            self._open_route(now_s)

    def missed_parked(self, serial: str) -> None:
        """Nothing is parked of the device any more."""
        self._parked.pop(serial, None)

    def _hold_route(self, verdict: Verdict, now_s: float) -> None:
        if verdict.route is not self._route:
            self._route, self._route_failures = verdict.route, 0
        self._route_failures += 1
        self._route_due_s = now_s + self._route_wait_s(verdict)

    def _route_wait_s(self, verdict: Verdict) -> float:
        if verdict.route is Route.SHUT:
            return _slow_step_s(self._route_failures)
        wait_s = full_jitter_s(
            self._route_failures, first_s=FIRST_WAIT_S, limit_s=LONGEST_WAIT_S, draw=self._draw
        )
        return max(wait_s, min(verdict.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))

    def _open_route(self, now_s: float) -> None:
        if self._route is not Route.OPEN:
            drain_s = len(self._backlog) * self._spacing_s
            self._pace_due_s = now_s + self._draw(0.0, min(LONGEST_START_S, drain_s))
        self._route, self._route_failures = Route.OPEN, 0
        self._route_due_s = -NEVER


def _slow_step_s(failures: int) -> float:
    return SLOW_STEPS_S[min(failures, len(SLOW_STEPS_S)) - 1]
