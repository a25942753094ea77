"""Numbered bodies in memory: what the disk does not take, until it does."""

import heapq
from collections.abc import Iterator


class NumberedBodies:
    """The same contract as `NumberedFiles`, but for what only files have."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}
        self._final: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        """The numbers of all bodies, in no order."""
        return iter(self._bodies)

    def __contains__(self, number: int) -> bool:
        """Whether something is held under the number."""
        return number in self._bodies

    def oldest(self, most: int) -> list[int]:
        """The lowest numbers, in order, `most` at most."""
        return heapq.nsmallest(most, self)

    def write(self, number: int, body: bytes, *, is_final: bool) -> None:
        """Holds the body under `number`, in place of one that was there."""
        self._bodies[number] = body
        self.set_final(number, is_final=is_final)

    def read(self, number: int) -> bytes | None:
        """What is held under the number, or None."""
        return self._bodies.get(number)

    def is_final(self, number: int) -> bool:
        """Whether it has been made final, or is not there."""
        return number in self._final or number not in self._bodies

    def set_final(self, number: int, *, is_final: bool) -> None:
        """Marks it as final, or takes the mark back."""
        if is_final and number in self._bodies:
            self._final.add(number)
        else:
            self._final.discard(number)

    def remove(self, number: int) -> None:
        """Lets it go, if it is there."""
        self._bodies.pop(number, None)
        self._final.discard(number)
