"""Keeps by how much the wall clock was set after waiting entries got their timestamps.

A Raspberry Pi has no battery-backed clock: after a power cut it starts with the time it had, 20 s
or days late, and steps forward when it gets the time from the network. Nothing is sent before the
clock is trusted; the times of what was measured until then are corrected by the steps in between.
After that they do not change any more.

Each step applies to entries from one number up to another: from the first one of this boot that was
stored while the clock was not trusted, up to the first one that was stored after the step. The
notes are written at the start of every segment, so that no old segment has to be kept for them.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Final, NamedTuple

from mqtt_http_bridge.adapters.outbox.records import NUMBER_LIMIT

STEP_S: Final = 2.0
"""Smaller changes are slewing, or come from reading the two clocks one after the other."""
_LARGEST_STEP_S: Final = 4e9
"""The times that clocks can show: 1970 to 2106."""
MOST_STEPS: Final = 128
"""A step is kept while an entry that it corrects is owed. This is enough for as many nights of a
machine that starts each day with a wrong clock while the backend is down. The steps take 6 kB of
each segment."""


class Boot(NamedTuple):
    """Identifies a boot of the machine, and holds the difference between its clocks."""

    boot_id: str
    """Empty if it is not known: such a boot equals no other."""
    distance_s: float
    """The wall clock minus the monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock was set by `step_s`; this applies to entries from `first` up to `before`."""

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
    """Holds everything that is known about how the clock was set."""

    boot: Boot
    first: int = 1
    """The first entry that a step may still correct."""
    steps: tuple[Step, ...] = ()
    is_trusted: bool = field(default=False, compare=False)
    """This process trusts the clock. It is not written down: the next process decides for
    itself."""

    def set_by(self, step_s: float, next_number: int) -> "ClockNotes":
        """Notes that the clock was set, when `next_number` was the next entry's number."""
        boot = self.boot._replace(distance_s=self.boot.distance_s + step_s)
        steps = self.steps
        if self.first < next_number and STEP_S < abs(step_s) < _LARGEST_STEP_S:
            steps = (*steps, Step(self.first, next_number, step_s))[-MOST_STEPS:]
        return replace(self, boot=boot, steps=steps)

    def trusted(self, next_number: int) -> "ClockNotes":
        """Notes that the clock is trusted: the times of existing entries do not change any more."""
        return replace(self, first=next_number, is_trusted=True)

    def started(
        self, boot: Boot, next_number: int, is_owed: Callable[[int, int], bool]
    ) -> "ClockNotes":
        """Notes that a process has started; forgets the steps that correct nothing any more.

        `is_owed` tells whether any entry is owed from one number up to another. The times of
        entries that are parked, or owed in part, no longer change.
        """
        steps = tuple(step for step in self.steps if is_owed(step.first, step.before))
        notes = replace(self, steps=steps)
        if not boot.boot_id or boot.boot_id != self.boot.boot_id:
            return replace(notes, boot=boot, first=next_number)
        notes = notes.set_by(boot.distance_s - self.boot.distance_s, next_number)
        return replace(notes, boot=boot)

    def shift_of(self, number: int) -> float:
        """Returns how far the clock was set since the entry was stamped, in seconds."""
        return sum(step.step_s for step in self.steps if step.first <= number < step.before)

    def to_text(self) -> str:
        """Writes the notes as a text of one line."""
        members = {
            "boot": self.boot._asdict(),
            "first": self.first,
            "steps": [asdict(step) for step in self.steps],
        }
        return json.dumps(members, separators=(",", ":"))


def clock_notes(text: bytes) -> ClockNotes | None:
    """Reads a text made by `to_text`; None if it is something else."""
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
