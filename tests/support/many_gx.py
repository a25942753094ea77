"""Plays many GX devices, several connections and a backend in virtual time, without a disk.

The plan is the real one; the outbox is a dictionary, and a POST takes as long as the backend says.
"""

import heapq
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.gx import Settlement
from mqtt_http_bridge.core.delivery.plan import Job, Kind, Plan
from mqtt_http_bridge.core.delivery.verdict import Fate, Outcome, Verdict, all_owed

Answer = Callable[[str, tuple[str, ...], float], Verdict]
"""The answer of the backend to an entry of a GX with some devices, at a moment."""


class Shelf:
    """Holds what is owed and parked, by GX: numbers, and the devices that are left of each."""

    def __init__(self) -> None:
        self.owed: dict[str, dict[int, tuple[str, ...]]] = {}
        self.parked: dict[str, dict[int, tuple[str, ...]]] = {}
        self._next = 1

    def add(self, portal_id: str, serials: tuple[str, ...]) -> int:
        number, self._next = self._next, self._next + 1
        self.owed.setdefault(portal_id, {})[number] = serials
        self.parked.setdefault(portal_id, {})
        return number

    def newest(self, portal_id: str) -> int | None:
        return max(self.owed.get(portal_id, {}), default=None)

    def oldest_after(self, portal_id: str, number: int = 0) -> int | None:
        return min((n for n in self.owed.get(portal_id, {}) if n > number), default=None)

    def parked_after(self, portal_id: str, serial: str, number: int = 0) -> int | None:
        found = self.parked.get(portal_id, {})
        return min((n for n, s in found.items() if n > number and serial in s), default=None)

    def serials(self, job: Job) -> tuple[str, ...] | None:
        place = self.parked if job.kind is Kind.TRY else self.owed
        return place[job.portal_id].get(job.number)

    def settle(self, job: Job, serials: Collection[str], settlement: Settlement) -> None:
        owed, parked = self.owed[job.portal_id], self.parked[job.portal_id]
        owed.pop(job.number, None)
        parked.pop(job.number, None)
        left = settlement.owed | (settlement.refused.keys() if settlement.owed else set())
        if settlement.owed:
            owed[job.number] = tuple(s for s in serials if s in left)
        elif settlement.parked:
            parked[job.number] = tuple(s for s in serials if s in settlement.parked)
        for serial in settlement.freed:
            for number, found in list(parked.items()):
                if serial in found:
                    owed[number] = parked.pop(number)

    @property
    def owed_count(self) -> int:
        return sum(map(len, self.owed.values()))

    @property
    def parked_serials(self) -> set[str]:
        return {s for found in self.parked.values() for each in found.values() for s in each}


@dataclass
class Sent:
    """One POST."""

    began_s: float
    portal_id: str
    number: int
    serials: tuple[str, ...]
    kind: Kind
    outcome: Outcome


@dataclass
class _Flight:
    job: Job
    serials: tuple[str, ...]
    exchange: Exchange


@dataclass
class World:
    """All of it. Time stands still until `run_until` is called."""

    answer: Answer
    connections: int = 1
    post_s: float = 0.1
    max_rate_per_s: float = 10.0
    seed: int = 0
    now_s: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    stored: list[tuple[str, int, str]] = field(default_factory=list)
    made_s: dict[int, float] = field(default_factory=dict)
    stored_s: dict[int, float] = field(default_factory=dict)
    """The time when something of an entry was stored first."""

    def __post_init__(self) -> None:
        draw = random.Random(self.seed).uniform
        self.shelf = Shelf()
        self.plan = Plan(self.shelf, max_rate_per_s=self.max_rate_per_s, draw=draw)
        self.plan.connections = self.connections
        self._order = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._free = self.connections
        self.flying: dict[str, Job] = {}

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        """Has something done at a moment."""
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, do))

    def measure(self, portal_id: str, *serials: str) -> None:
        """Has a GX measured now."""
        number = self.shelf.add(portal_id, serials)
        self.made_s[number] = self.now_s
        self.plan.look([portal_id], self.now_s)

    def measure_every(
        self, interval_s: float, portal_id: str, *serials: str, first_s: float, until_s: float
    ) -> None:
        """Has a GX measured again and again."""

        def measure() -> None:
            self.measure(portal_id, *serials)
            if self.now_s + interval_s < until_s:
                self.at(self.now_s + interval_s, measure)

        self.at(first_s, measure)

    def run_until(self, until_s: float) -> None:
        """Lets the time pass, and everybody who is free send what is due."""
        while True:
            self._start_all()
            due_s = self.plan.next_due_s() if self._free else float("inf")
            next_s = min(due_s, self._events[0][0] if self._events else float("inf"))
            if next_s > until_s:
                self.now_s = until_s
                return
            self.now_s = max(self.now_s, next_s)
            while self._events and self._events[0][0] <= self.now_s:
                heapq.heappop(self._events)[2]()

    def _start_all(self) -> None:
        while self._free:
            job = self.plan.choose(self.now_s)
            if job is None:
                return
            self._check(job)
            serials = self.shelf.serials(job)
            if serials is None:
                self.plan.missed(job, self.now_s)
                self.plan.finish(job, self.now_s)
                continue
            self._free -= 1
            self.flying[job.portal_id] = job
            exchange = self.plan.begin(job, serials, self.now_s)
            self._go_on(_Flight(job, serials, exchange))

    def _check(self, job: Job) -> None:
        """Checks what holds whenever something is begun."""
        assert job.portal_id not in self.flying
        slow = [j for j in self.flying.values() if j.kind is not Kind.LIVE]
        if job.kind is not Kind.LIVE:
            assert len(slow) < max(1, self.connections // 2)

    def _go_on(self, flight: _Flight) -> None:
        job, began_s = flight.job, self.now_s
        group = self.plan.next_group(job, flight.exchange, began_s)
        if group is None:
            self._end(flight)
            return
        verdict = self.answer(job.portal_id, group, began_s)
        outcome = verdict.outcome
        self.sent.append(Sent(began_s, job.portal_id, job.number, group, job.kind, outcome))

        def answered() -> None:
            for serial in verdict.stored:
                self.stored.append((job.portal_id, job.number, serial))
                self.stored_s.setdefault(job.number, self.now_s)
            self.plan.take_in(
                job, flight.exchange, group, verdict, began_s=began_s, now_s=self.now_s
            )
            self._go_on(flight)

        self.at(began_s + self.post_s, answered)

    def _end(self, flight: _Flight) -> None:
        settlement = self.plan.settle(flight.job, flight.exchange, self.now_s)
        self.shelf.settle(flight.job, flight.serials, settlement)
        self.plan.finish(flight.job, self.now_s)
        del self.flying[flight.job.portal_id]
        self._free += 1


def takes_all(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
    """A backend that stores everything."""
    return Verdict(Outcome.JUDGED, dict.fromkeys(serials, Fate.STORED))


def fails_on(*culprits: str) -> Answer:
    """A backend that fails on whatever names one of them."""

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if set(serials) & set(culprits):
            return all_owed(Outcome.FAILED, serials, "500")
        return takes_all(portal_id, serials, now_s)

    return answer
