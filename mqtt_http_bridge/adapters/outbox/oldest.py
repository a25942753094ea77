"""Which entry is the oldest, without looking through all of them each time."""

import heapq
from collections.abc import Callable
from typing import Final

_SCAN: Final = 1000
"""How many to remember."""

Key = tuple[int, str]
"""The number of an entry, and the device if it is parked."""


class OldestFirst:
    """Hands out the keys of a directory in order; looks into it once for every thousand."""

    def __init__(self, scan: Callable[[int], list[Key]]) -> None:
        """`scan` gives the lowest keys, as many as it is asked for."""
        self._scan = scan
        self._keys: list[Key] = []
        self._highest: Key | None = None

    def forget(self) -> None:
        """The directory is another one now."""
        self._keys.clear()

    def add(self, key: Key) -> None:
        """There is one more. Only one that belongs among the remembered matters."""
        if self._keys and self._highest is not None and key < self._highest:
            heapq.heappush(self._keys, key)

    def pop(self) -> Key | None:
        """The next key, of an entry that may be gone by now; None if there is none."""
        if not self._keys:
            self._keys = self._scan(_SCAN)
            self._highest = self._keys[-1] if self._keys else None
        return heapq.heappop(self._keys) if self._keys else None
