"""Finds threads that live but stand still, by looking at how often they have gone round.

Why. A thread that dies is noticed at once. One that waits for ever, for a lock or for a disk, is
not: the process lives, measures nothing and says nothing, and no supervisor restarts it. Nor can
the thread itself tell. So each thread counts its rounds (`Progress.turn`), and somebody who does
nothing else looks at the counts every 20 s. Three looks without a new round are a standstill:

    look           1     2     3     4     5
    time          0 s   20 s  40 s  60 s  80 s
    rounds         7     9     9     9     9     the ninth ended between looks 1 and 2
    without one    0     0     1     2     3     stands still: 60 to 80 s after its last round

What is no standstill:

- A thread with nothing to do. None waits for more than 10 s at a time, and each wait is a round.
- A flush, or an exchange with the backend, which may take long. The thread says so before, and for
  how long (`busy`); only after that does a look count.
- A process that was stopped, a machine that slept, or one that had no time for us. Then the look
  itself comes late, by more than 5 s. A late look tells nothing: the threads had no time, either.
  The count starts anew.

What follows is the application's (`app/watchdog`): it has every thread's place written to the log,
and ends the process, for its supervisor to start it again.
"""

from collections.abc import Callable, Iterable
from typing import Final

LOOK_EVERY_S: Final = 20.0
LATE: Final = 0.25
"""Part of the time between two looks by which one may be late, or it tells nothing: 5 s."""
MOST_WITHOUT_TURN: Final = 3


class Progress:
    """The turns of one thread: counted by that thread alone, read by whoever looks."""

    def __init__(self, name: str, now_s: Callable[[], float]) -> None:
        """`now_s` is the clock of those who look."""
        self.name = name
        self.turns = 0
        self.busy_until_s = -float("inf")
        self._now_s = now_s

    def turn(self) -> None:
        """Notes that the thread goes on, and that what it was busy with is over."""
        self.turns += 1
        self.busy_until_s = -float("inf")

    def busy(self, limit_s: float) -> None:
        """Notes that what comes now may take up to `limit_s`; the next turn ends that."""
        self.busy_until_s = self._now_s() + limit_s

    def end(self) -> None:
        """Notes that there will be no more turns: the thread has done its work."""
        self.busy_until_s = float("inf")


class Watchdog:
    """Remembers what was seen in the last looks. One thread uses it."""

    def __init__(self, look_every_s: float = LOOK_EVERY_S) -> None:
        self._look_every_s = look_every_s
        self._latest_s = -float("inf")
        self._turns: dict[str, int] = {}
        self._without_turn: dict[str, int] = {}

    def look(self, now_s: float, threads: Iterable[Progress]) -> list[str]:
        """The names of those that stand still, by this look and those before it."""
        is_late = now_s - self._latest_s > self._look_every_s * (1.0 + LATE)
        self._latest_s = now_s
        for thread in threads:
            turns = thread.turns
            has_turned = turns != self._turns.get(thread.name) or now_s < thread.busy_until_s
            self._turns[thread.name] = turns
            looks = 0 if is_late or has_turned else self._without_turn[thread.name] + 1
            self._without_turn[thread.name] = looks
        return [name for name, count in self._without_turn.items() if count >= MOST_WITHOUT_TURN]
