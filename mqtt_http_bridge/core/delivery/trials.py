"""Keeps the entries that are owed but must wait before they are sent again.

The backend works, and something in such an entry could not be stored ("Failed to store", or 500 for
a device alone; or for the entry as a whole, while others are stored). It is tried again after 1 min
and after 5, by itself, and the others overtake it; after the third failure what could not be stored
is parked. One that the disk cannot read waits here, too, and counts no failure.
"""

import heapq
from typing import Final

from mqtt_http_bridge.core.delivery.waits import slow_step_s
from mqtt_http_bridge.core.events import NEVER

MOST_FAILURES: Final = 3
MOST_FAILURES_BY_CHANCE: Final = 6
MOST_REMEMBERED: Final = 100
"""The most entries for which to remember when they failed as a whole: an outage has thousands."""


class Trials:
    """Keeps the entries of one GX that are retried later."""

    def __init__(self) -> None:
        self._due_s: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._heap: list[tuple[float, int]] = []
        self._failed_at: dict[int, int] = {}
        """The moment of the evidence at which an entry failed as a whole."""
        self._moments: dict[int, int] = {}
        """The same for those that are put off."""

    def __contains__(self, number: object) -> bool:
        return number in self._due_s

    def has_failed(self, number: int) -> bool:
        """Tells whether something of the entry could not be stored before."""
        return number in self._failures

    def is_last(self, number: int, *, by_chance: bool) -> bool:
        """Tells whether another failure of the entry would be the last one.

        `by_chance`: the backend fails by chance, too.
        """
        most = MOST_FAILURES_BY_CHANCE if by_chance else MOST_FAILURES
        return self._failures.get(number, 0) + 1 >= most

    def is_its_own_fault(self, number: int, moment: int) -> bool:
        """Notes that an entry failed as a whole; tells whether it has before, and others passed.

        `moment` is that of the evidence.
        """
        before = self._moments.get(number, self._failed_at.pop(number, moment))
        self._failed_at[number] = moment
        if len(self._failed_at) > MOST_REMEMBERED:
            del self._failed_at[next(iter(self._failed_at))]
        return moment > before

    def note_failed(self, number: int, moment: int, now_s: float) -> None:
        """Puts off an entry that could not be stored completely, at a moment of the evidence."""
        self._moments[number] = moment
        self._failures[number] = self._failures.get(number, 0) + 1
        self.put_off(number, now_s + slow_step_s(self._failures[number]))

    def put_off(self, number: int, due_s: float) -> None:
        """Puts an entry off without counting a failure."""
        self._due_s[number] = due_s
        heapq.heappush(self._heap, (due_s, number))

    def forget(self, number: int) -> None:
        """Notes that the entry is done, or parked."""
        self._due_s.pop(number, None)
        self._failures.pop(number, None)
        self._failed_at.pop(number, None)
        self._moments.pop(number, None)

    def recall(self) -> None:
        """Makes all of them due now."""
        self._due_s.clear()
        self._heap.clear()

    def next_due_s(self) -> float:
        """Returns when the next one is due."""
        while self._heap and self._due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER

    def pop_due(self, now_s: float) -> int | None:
        """Takes out an entry whose time has come; its failures are remembered."""
        if self.next_due_s() > now_s:
            return None
        _, number = heapq.heappop(self._heap)
        del self._due_s[number]
        return number
