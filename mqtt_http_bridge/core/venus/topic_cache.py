"""Caches what was found out about topics: the latest ones, as many as are subscribed to.

Frequent topics are found in one look-up. There are two generations: what is found in the old one
moves to the new one, and once the new one is full, it becomes the old one. So unused topics are
dropped first. Of up to 750 GX devices with two chargers, the topics of the last few minutes are all
there. Of 1,500, most have to be found out again each time, as the room has a limit (MOST_ROOM).
"""

from typing import Final, Generic, TypeVar

_K = TypeVar("_K", str, bytes)
_V = TypeVar("_V")

LEAST_ROOM: Final = 8192
"""Topics in a generation, however few GX devices there are: all of fifteen chargers."""
ROOM_PER_GX: Final = 32
"""Enough for two chargers in a minute or two. Anything beyond this only costs time."""
MOST_ROOM: Final = 24_576
"""Topics in a generation, however many GX devices there are: anybody can make up more. A topic that
is not found costs 5 to 8 us; two generations of the longest ones take 40 MB in all caches."""
LONGEST_TOPIC: Final = 128
"""The longest topic to remember: twice as long as any of a GX."""


class TopicCache(Generic[_K, _V]):
    """For one thread; only `make_room` may be called by any. No value is None."""

    __slots__ = ("_old", "new", "room")

    def __init__(self) -> None:
        self.new: dict[_K, _V] = {}
        """For direct look-up by code that cannot afford a call for each topic."""
        self._old: dict[_K, _V] = {}
        self.room = LEAST_ROOM

    def __len__(self) -> int:
        return len(self.new) + len(self._old)

    def make_room(self, gxs: int) -> None:
        """Makes room for the topics of this many GX devices, and never less than before."""
        self.room = max(self.room, min(ROOM_PER_GX * gxs, MOST_ROOM))

    def recall(self, topic: _K) -> _V | None:
        """Returns what is known about a topic that is not in `new`, if anything."""
        found = self._old.get(topic)
        if found is None:
            return self.new.get(topic)  # `new` may be another one by now.
        self.remember(topic, found)
        return found

    def remember(self, topic: _K, value: _V) -> _V:
        """Keeps what was found out, unless the topic is too long; returns it."""
        if len(topic) > LONGEST_TOPIC:
            return value
        if len(self.new) >= self.room:
            self._old, self.new = self.new, {}
        self.new[topic] = value
        return value

    def clear(self) -> None:
        """Forgets all."""
        self.new, self._old = {}, {}
