"""Keeps deadlines in a heap that shows whose turn is next: cheap even with a thousand members."""

import heapq
from typing import Generic, Protocol, TypeVar

from mqtt_http_bridge.core.commands import Command
from mqtt_http_bridge.core.events import NEVER, Moment

_T = TypeVar("_T")


class Part(Protocol):
    """A part of the relay that has deadlines of its own."""

    def next_deadline_s(self) -> float:
        """Returns the time at which to call `act`; infinity if nothing will ever be due."""

    def act(self, now: Moment) -> list[Command]:
        """Does everything that is due at `now`, which is the moment of the deadline itself."""


class Deadlines(Generic[_T]):
    """Holds when each member is due; of those due together, in the order of adding."""

    def __init__(self) -> None:
        self._members: dict[int, _T] = {}
        self._numbers: dict[int, int] = {}
        """The number of each member, by identity."""
        self._planned_s: dict[int, float] = {}
        """For each number, the earliest of its entries in the heap; infinity if there is none."""
        self._heap: list[tuple[float, int]] = []
        self._added = 0

    def add(self, member: _T) -> None:
        """Adds a member that is not due yet."""
        self._numbers[id(member)] = self._added
        self._members[self._added] = member
        self._planned_s[self._added] = NEVER
        self._added += 1

    def remove(self, member: _T) -> None:
        """Removes `member`."""
        number = self._numbers.pop(id(member))
        del self._members[number], self._planned_s[number]

    def next_s(self) -> float:
        """Returns when the next one is due, or an earlier time; infinity for never."""
        return self._heap[0][0] if self._heap else NEVER

    def first(self) -> _T | None:
        """Returns the member that `next_s` is about, if there is one and it was not removed."""
        return self._members.get(self._heap[0][1]) if self._heap else None

    def bring_forward(self, member: _T, due_s: float) -> None:
        """Makes `member` due at `due_s`, if it would have been due later, or never.

        It cannot postpone: a member whose turn comes too early names its new deadline then.
        """
        number = self._numbers[id(member)]
        if due_s < self._planned_s[number]:
            self._planned_s[number] = due_s
            heapq.heappush(self._heap, (due_s, number))

    def pop(self) -> _T | None:
        """Returns the member that is due and takes it out; None if it was removed.

        `bring_forward` has to say when it is due again.
        """
        due_s, number = heapq.heappop(self._heap)
        if due_s == self._planned_s.get(number):
            self._planned_s[number] = NEVER
        return self._members.get(number)
