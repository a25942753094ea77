"""Which entry of the outbox to send next, and when: the present first, then the past in order."""

import heapq
from collections.abc import Iterable
from typing import Final

from mqtt_http_bridge.core.backoff import Draw, full_jitter_s
from mqtt_http_bridge.core.delivery import LONGEST_RETRY_AFTER_S, Route, Verdict

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
SLOW_STEPS_S: Final = (60.0, 300.0, 900.0, 3600.0)
"""Waits for what a person has to mend; the last goes on."""

NEVER: Final = float("inf")


class Agenda:
    """The numbers of all entries that are to be sent. Owned by the sender's thread."""

    def __init__(self, max_rate_per_s: float, draw: Draw) -> None:
        self._spacing_s = 1.0 / max_rate_per_s
        self._draw = draw
        self._fresh: int | None = None
        self._backlog: list[int] = []
        self._later: list[tuple[float, int]] = []
        self._tries: dict[int, int] = {}
        self._route_failures = 0
        self._route_due_s = -NEVER
        self._pace_due_s = -NEVER

    def __len__(self) -> int:
        return len(self._backlog) + len(self._later) + (self._fresh is not None)

    def add_backlog(self, numbers: Iterable[int]) -> None:
        """Entries that have waited since before."""
        self._backlog.extend(numbers)
        heapq.heapify(self._backlog)

    def add_fresh(self, number: int) -> None:
        """An entry that was made just now: it goes first, until there is a fresher one."""
        if self._fresh is not None:
            heapq.heappush(self._backlog, self._fresh)
        self._fresh = number

    def next_due_s(self) -> float:
        """When `choose` will have something; infinity if only a new entry can change that."""
        if self._fresh is not None:
            return self._route_due_s
        due_s = -NEVER if self._backlog else (self._later[0][0] if self._later else NEVER)
        return max(due_s, self._route_due_s, self._pace_due_s)

    def choose(self, now_s: float) -> int | None:
        """Takes the entry to be sent now off the agenda, if there is one: `judged` follows."""
        if now_s < self.next_due_s():
            return None
        if self._fresh is not None:
            number, self._fresh = self._fresh, None
            return number
        self._pace_due_s = now_s + self._spacing_s
        if self._later and self._later[0][0] <= now_s:
            return heapq.heappop(self._later)[1]
        return heapq.heappop(self._backlog)

    def judged(self, number: int, verdict: Verdict, now_s: float) -> None:
        """Takes in what came of sending the entry `number`."""
        if verdict.route is Route.OPEN:
            self._route_failures = 0
            self._route_due_s = -NEVER
            self._put_back_rest(number, verdict, now_s)
            return
        self._route_failures += 1
        self._route_due_s = now_s + self._route_wait_s(verdict)
        heapq.heappush(self._backlog, number)

    def _route_wait_s(self, verdict: Verdict) -> float:
        if verdict.route is Route.SHUT:
            return _slow_step_s(self._route_failures)
        wait_s = full_jitter_s(
            self._route_failures, first_s=FIRST_WAIT_S, limit_s=LONGEST_WAIT_S, draw=self._draw
        )
        return max(wait_s, min(verdict.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))

    def _put_back_rest(self, number: int, verdict: Verdict, now_s: float) -> None:
        if verdict.is_done:
            self._tries.pop(number, None)
        elif verdict.owed and verdict.is_owed_at_once:
            heapq.heappush(self._backlog, number)
        else:
            tries = self._tries[number] = self._tries.get(number, 0) + 1
            heapq.heappush(self._later, (now_s + _slow_step_s(tries), number))


def _slow_step_s(failures: int) -> float:
    return SLOW_STEPS_S[min(failures, len(SLOW_STEPS_S)) - 1]
