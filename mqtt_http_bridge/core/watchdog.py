"""Finds threads that are alive but hang, by counting the rounds of their loops.

Why. A thread that dies is noticed at once. A thread that waits forever, for a lock or for a disk,
is not: the process lives but measures nothing and logs nothing, and no supervisor restarts it. The
thread itself cannot notice either. So each thread counts its rounds (`Progress.turn`), and another
thread, which does nothing else, looks at the counts every 20 s. A thread that has made no round in
three looks hangs:

    look                     1     2     3     4     5
    time                    0 s   20 s  40 s  60 s  80 s
    rounds                   7     9     9     9     9    the ninth ended between looks 1 and 2
    looks without a round    0     0     1     2     3    hangs: 60 to 80 s after its last round

These do not count as hanging:

- A thread with nothing to do. None waits for more than 30 s at a time (LONGEST_REST_S), and each
  wait is a round.
- An exchange with the backend, which may take long. The thread announces it beforehand, with a
  limit (`busy`); looks count only after that limit.
- A read, a write or a flush of the outbox. It is noted since when it has been under way, and none
  of the threads that may wait for it counts as hanging until its limit is over.
- A process that was stopped, or a machine that slept or was overloaded. Then the look itself comes
  late, by more than 5 s. A late look proves nothing, because the threads had no time either, so the
  count starts again.

The rest is done by `app/watchdog`: it logs what each thread is doing, and ends the process, so that
its supervisor restarts it.
"""

from collections.abc import Callable, Iterable
from typing import Final

LONGEST_REST_S: Final = 30.0
"""The longest wait, in seconds, of a thread that has nothing to do until another one says so."""
LOOK_EVERY_S: Final = 20.0
LATE: Final = 0.25
"""The share of LOOK_EVERY_S by which a look may be late and still count: 5 s."""
MOST_WITHOUT_TURN: Final = 3


def _no_disk() -> float:
    """Returns that no disk is at work."""
    return -float("inf")


class Progress:
    """Counts the rounds of one thread. Only that thread counts; any thread may read."""

    def __init__(
        self, name: str, now_s: Callable[[], float], disk_until_s: Callable[[], float] = _no_disk
    ) -> None:
        """Begins at 0. `now_s` is the clock that the watchdog uses.

        `disk_until_s` returns until when a disk may take that the thread may be waiting for.
        """
        self.name = name
        self.turns = 0
        self.busy_until_s = -float("inf")
        self._now_s = now_s
        self._disk_until_s = disk_until_s

    def turn(self) -> None:
        """Counts a round; whatever the thread was busy with is over."""
        self.turns += 1
        self.busy_until_s = -float("inf")

    def busy(self, limit_s: float) -> None:
        """Announces something that may take up to `limit_s`; the next turn ends it."""
        self.busy_until_s = self._now_s() + limit_s

    def is_busy(self, now_s: float) -> bool:
        """Tells whether it may take longer: it said so, or the disk is at work."""
        return now_s < self.busy_until_s or now_s < self._disk_until_s()

    def end(self) -> None:
        """Notes that the thread has finished and makes no more rounds."""
        self.busy_until_s = float("inf")


class Watchdog:
    """Remembers the last looks. Only one thread may use it."""

    def __init__(self, look_every_s: float = LOOK_EVERY_S) -> None:
        self._look_every_s = look_every_s
        self._latest_s = -float("inf")
        self._turns: dict[str, int] = {}
        self._without_turn: dict[str, int] = {}

    def look(self, now_s: float, threads: Iterable[Progress]) -> list[str]:
        """Looks once; returns the names of the threads that hang."""
        is_late = now_s - self._latest_s > self._look_every_s * (1.0 + LATE)
        self._latest_s = now_s
        for thread in threads:
            turns = thread.turns
            has_turned = turns != self._turns.get(thread.name) or thread.is_busy(now_s)
            self._turns[thread.name] = turns
            looks = 0 if is_late or has_turned else self._without_turn[thread.name] + 1
            self._without_turn[thread.name] = looks
        return [name for name, count in self._without_turn.items() if count >= MOST_WITHOUT_TURN]
