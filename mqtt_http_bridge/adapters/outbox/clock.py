"""Keeps by how much the wall clock was set while entries waited that were stamped before.

A Raspberry Pi has no clock of its own: after a power cut it starts at the time it had, 20 s or days
late, and steps forward when the network tells it better. Nothing is sent before the clock is
trusted; what was measured until then is put right by the steps in between. Whatever was put before
the clock was trusted keeps what it had got by then.

Each step is for entries from one number up to another: from the first of this boot that was put
while nobody trusted the clock, up to the first that knows the step already. The notes are written
at the head of every segment, whole, so that no old segment has to be kept for them.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from mqtt_http_bridge.adapters.outbox.records import NUMBER_LIMIT

STEP_S: Final = 2.0
"""A clock that moved by no more has been slewed, or read at two moments."""
_LARGEST_STEP_S: Final = 4e9
"""The times that clocks can show: 1970 to 2106."""
MOST_STEPS: Final = 128
"""A step is kept as long as something that it moves is owed: so many nights of a machine that
begins each day with a wrong clock, while the backend is away. They take 6 kB of each segment."""


@dataclass(frozen=True, slots=True)
class Boot:
    """Tells one boot of the machine from another, and holds how its clocks stand."""

    boot_id: str
    """Empty where nothing tells it: such a boot is like no other."""
    distance_s: float
    """Seconds by which the wall clock is ahead of the monotonic one."""


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock was set by `step_s`; that concerns entries from `first` up to `before`."""

    first: int
    before: int
    step_s: float

    def __post_init__(self) -> None:
        numbers, step_s = (self.first, self.before), self.step_s
        if not all(type(number) is int and 0 < number < NUMBER_LIMIT for number in numbers):
            raise TypeError("expected numbers of entries")
        if type(step_s) not in (int, float) or not abs(step_s) < _LARGEST_STEP_S:
            raise TypeError("expected seconds")


@dataclass(frozen=True, slots=True)
class ClockNotes:
    """All that is known of how the clock was set."""

    boot: Boot
    first: int = 1
    """The first entry that a step may still move."""
    steps: tuple[Step, ...] = ()
    is_trusted: bool = field(default=False, compare=False)
    """This process trusts the clock. It is not written down: the next one decides for itself."""

    def set_by(self, step_s: float, next_number: int) -> "ClockNotes":
        """Takes in that the clock was set, when `next_number` was the next entry's."""
        boot = replace(self.boot, distance_s=self.boot.distance_s + step_s)
        steps = self.steps
        if self.first < next_number and STEP_S < abs(step_s) < _LARGEST_STEP_S:
            steps = (*steps, Step(self.first, next_number, step_s))[-MOST_STEPS:]
        return replace(self, boot=boot, steps=steps)

    def trusted(self, next_number: int) -> "ClockNotes":
        """Takes in that the clock is trusted: what is there already does not move any more."""
        return replace(self, first=next_number, is_trusted=True)

    def started(
        self, boot: Boot, next_number: int, is_owed: Callable[[int, int], bool]
    ) -> "ClockNotes":
        """Takes in that a process has begun; forgets the steps that move nothing any more.

        `is_owed` tells whether any entry is from one number up to another. What is parked, or
        owed in part, is final.
        """
        steps = tuple(step for step in self.steps if is_owed(step.first, step.before))
        notes = replace(self, steps=steps)
        if not boot.boot_id or boot.boot_id != self.boot.boot_id:
            return replace(notes, boot=boot, first=next_number)
        notes = notes.set_by(boot.distance_s - self.boot.distance_s, next_number)
        return replace(notes, boot=boot)

    def shift_of(self, number: int) -> float:
        """Tells how far the clock was set, in seconds, since the entry was stamped."""
        return sum(step.step_s for step in self.steps if step.first <= number < step.before)

    def to_text(self) -> str:
        """Makes a text of one line."""
        members = asdict(self)
        del members["is_trusted"]
        return json.dumps(members, separators=(",", ":"))


def clock_notes(text: bytes) -> ClockNotes | None:
    """Reads what `to_text` has made; None if it is something else."""
    try:
        members = json.loads(text)
        boot, first = members["boot"], members["first"]
        steps = tuple(Step(**step) for step in members["steps"][-MOST_STEPS:])
        distance_s = boot["distance_s"]
        if not isinstance(boot["boot_id"], str) or type(distance_s) not in (int, float):
            return None
        if type(first) is not int or not (0 < first < NUMBER_LIMIT and math.isfinite(distance_s)):
            return None
        return ClockNotes(Boot(boot["boot_id"], distance_s), first, steps)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
