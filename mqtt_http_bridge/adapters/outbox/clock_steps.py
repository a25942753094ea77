"""How far the wall clock was set while measurements waited that were stamped before.

A Raspberry Pi has no clock of its own: after a power cut it starts at the time it had, and steps
forward, by days perhaps, when the network tells it better. What it measured in between and has not
sent yet is put right, once, when it is first sent.
"""

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.adapters.outbox.files import write_small

STEP_S: Final = 60.0
"""A clock that moved by less since an earlier process has been kept, not set."""
_LARGEST_STEP_S: Final = 4e9
"""What clocks can show: 1970 to 2106."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What tells one boot of the machine from another, and how its clocks stand."""

    boot_id: str
    """Empty where nothing tells it: such a boot is like no other."""
    distance_s: float
    """How far the wall clock is ahead of the monotonic one."""


@dataclass(frozen=True, slots=True)
class _Step:
    before: int
    """Entries with a lower number were stamped by the clock as it was."""
    step_s: float


class ClockSteps:
    """The steps of this boot; those of an earlier one cannot be told any more."""

    def __init__(self, boot: Boot, first_number: int = 1) -> None:
        """Entries below `first_number` are of an earlier boot."""
        self._boot_id = boot.boot_id
        self._distance_s = float(boot.distance_s)
        self._first_number = first_number
        self._steps: list[_Step] = []

    def resumed(self, path: Path, next_number: int) -> "ClockSteps":
        """These clocks, with the notes at `path` of an earlier process, if it was in this boot.

        Raises OSError, and ValueError for notes that are none.
        """
        steps = ClockSteps(Boot(self._boot_id, self._distance_s), next_number)
        notes = _read(path)
        if notes is None or not self._boot_id or notes["boot_id"] != self._boot_id:
            return steps
        steps._first_number = notes["first_number"]
        steps._steps = [_Step(**step) for step in notes["steps"]]
        step_s = self._distance_s - notes["distance_s"]
        if abs(step_s) > STEP_S:
            steps._steps.append(_Step(max(next_number, steps.least_number), step_s))
        return steps

    @property
    def least_number(self) -> int:
        """New entries may have this number or a higher one: lower ones have known other clocks."""
        return max([self._first_number, *(step.before for step in self._steps)])

    def note(self, step_s: float, next_number: int) -> None:
        """The wall clock was set by `step_s`; entries from `next_number` on know it."""
        self._distance_s += step_s
        self._steps.append(_Step(next_number, float(step_s)))

    def save(self, path: Path) -> None:
        """Writes the notes down. Raises OSError."""
        notes = {
            "boot_id": self._boot_id,
            "first_number": self._first_number,
            "distance_s": self._distance_s,
            "steps": [asdict(step) for step in self._steps],
        }
        write_small(path, json.dumps(notes))

    def shift_of(self, number: int) -> timedelta:
        """How far the clock was set since the entry `number` was stamped, if in this boot."""
        if number < self._first_number:
            return timedelta(0)
        return timedelta(seconds=sum(s.step_s for s in self._steps if number < s.before))


def _read(path: Path) -> dict[str, Any] | None:
    """The notes at `path`, in the form that `save` gives them; None if there are none."""
    try:
        notes = json.loads(path.read_bytes())
        steps = [_Step(**step) for step in notes["steps"]]
        numbers = [notes["first_number"], *(step.before for step in steps)]
        seconds = [notes["distance_s"], *(step.step_s for step in steps)]
        is_good = (
            isinstance(notes["boot_id"], str)
            and all(type(number) is int and 0 < number < 10**15 for number in numbers)
            and all(type(s) is float and abs(s) < _LARGEST_STEP_S for s in seconds)
        )
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected notes on the clock, found something else") from error
    if not is_good:
        raise ValueError(f"{path}: expected notes on the clock, found odd numbers")
    return dict(notes)
