"""Keeps the age of the oldest entry that is owed, for each place.

Entries are numbered in the order in which they were measured; their times are in their texts, which
are on the disk. Reading these texts for each GX at each look would take too long. So the time is
read only for an entry that was there at the last look, and only for a few entries at each look. One
that has not been read yet counts as old as the one before it, which was older.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from mqtt_http_bridge.core.events import Moment

MOST_READ: Final = 8
"""The most times to read at one look."""
SOON_S: Final = 10.0
"""If the last look is no older than this, entries since then count as new: a few seconds do not
matter.
"""

Place = TypeVar("Place", bound=Hashable)


class OwedAges(Generic[Place]):
    """Remembers the last look. Owned by the caller."""

    def __init__(self, started: Moment, highest: int) -> None:
        """`highest` is the highest number there was at the start."""
        self._started = started
        self._highest = highest
        self._looked_s = started.monotonic_s
        self._known: dict[Place, tuple[int, float]] = {}
        """The number of the oldest entry in each place, and since when it is owed."""
        self._unread: list[Place] = []

    def look(
        self,
        now: Moment,
        oldest: Mapping[Place, int],
        highest: int,
        read: Callable[[Place, int], str | None],
    ) -> dict[Place, float]:
        """Returns since when each oldest entry is owed, on the monotonic clock.

        `oldest` has the number of the oldest in each place, `highest` is the highest number, and
        `read` returns the timestamp of an entry.
        """
        known, changed = dict[Place, tuple[int, float]](), list[Place]()
        is_soon, self._looked_s = now.monotonic_s - self._looked_s <= SOON_S, now.monotonic_s
        for place, number in oldest.items():
            before = self._known.get(place)
            if before is not None and before[0] == number:
                known[place] = before
            elif is_soon and number > self._highest:
                known[place] = number, now.monotonic_s
            else:
                changed.append(place)
        waited = [place for place in self._unread if place in oldest and place not in known]
        order = list(dict.fromkeys([*waited, *changed]))
        for place in order[:MOST_READ]:
            at_s = _since_s(read(place, oldest[place]), now)
            known[place] = oldest[place], self._older(place) if at_s is None else at_s
        self._unread = order[MOST_READ:]
        for place in self._unread:
            known[place] = -1, self._older(place)
        self._known, self._highest = known, max(highest, self._highest)
        return {place: since_s for place, (_, since_s) in known.items()}

    def _older(self, place: Place) -> float:
        """Returns the time of the one that was the oldest there, or of the start."""
        known = self._known.get(place)
        return known[1] if known is not None else self._started.monotonic_s


def _since_s(timestamp: str | None, now: Moment) -> float | None:
    """Converts a time as it will be sent into one of the monotonic clock, never in the future."""
    try:
        at = datetime.fromisoformat(timestamp or "")
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return now.monotonic_s - max(0.0, (now.utc - at).total_seconds())
    except (ValueError, OverflowError):
        return None
