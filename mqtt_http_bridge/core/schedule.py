"""Who is due next, among many: a heap, so that a thousand cost little more each than one does."""

import heapq
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")

NEVER: Final = float("inf")


class Schedule(Generic[_T]):
    """When to look after each of its members; of those due together, in the order of adding."""

    def __init__(self) -> None:
        self._members: list[_T] = []
        self._numbers: dict[int, int] = {}
        """The place of each member in `_members`, by identity."""
        self._planned_s: list[float] = []
        """For each member, the earliest of its entries in the heap; infinity if there is none."""
        self._heap: list[tuple[float, int]] = []

    def add(self, member: _T) -> None:
        """Adds a member that is not due yet."""
        self._numbers[id(member)] = len(self._members)
        self._members.append(member)
        self._planned_s.append(NEVER)

    def next_s(self) -> float:
        """When somebody has to be looked after, or sooner; infinity for never."""
        return self._heap[0][0] if self._heap else NEVER

    def bring_forward(self, member: _T, due_s: float) -> None:
        """Looks after `member` at `due_s`, if it would have been its turn later, or never.

        A deadline that is put off stays as it is: whoever is looked after too soon says so then.
        """
        number = self._numbers[id(member)]
        if due_s < self._planned_s[number]:
            self._planned_s[number] = due_s
            heapq.heappush(self._heap, (due_s, number))

    def pop(self) -> _T:
        """Whose turn it is; `bring_forward` has to tell when it is again."""
        due_s, number = heapq.heappop(self._heap)
        if due_s == self._planned_s[number]:
            self._planned_s[number] = NEVER
        return self._members[number]
