"""What was given up for want of room: counted, with the time it covers, and kept on the disk."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.outbox.files import write_small

MOST_RANGES: Final = 50
"""How many to tell apart; older ones become one."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Measurements in a row that were dropped; the times are the first and the last timestamp."""

    count: int
    since: str
    until: str
    reason: str

    def __post_init__(self) -> None:
        texts = (self.since, self.until, self.reason)
        if type(self.count) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a count and three texts")

    def __str__(self) -> str:
        return f"{self.count} from {self.since} to {self.until} ({self.reason})"

    def merged(self, later: "Loss") -> "Loss":
        """The two as one."""
        reason = self.reason if later.reason in self.reason else f"{self.reason}, {later.reason}"
        return Loss(
            count=self.count + later.count,
            since=min(self.since, later.since),
            until=max(self.until, later.until),
            reason=reason,
        )


class Losses:
    """All losses of one spool directory, oldest first."""

    def __init__(self, path: Path) -> None:
        """Touches nothing yet."""
        self._path = path
        self._is_loaded = False
        self.is_saved = True
        """Whether the disk has all there is to know."""
        self._untold: list[Loss] = []
        self.ranges: list[Loss] = []

    def load(self) -> None:
        """Takes in, once, what an earlier process wrote down. Raises OSError, or ValueError."""
        if not self._is_loaded:
            self.ranges = _bounded([*_read(self._path), *self.ranges])
            self._is_loaded = True

    def add(self, timestamp: str, reason: str) -> None:
        """Takes in that the measurement of `timestamp` was dropped. `save` writes it down."""
        self.is_saved = False
        loss = Loss(1, timestamp, timestamp, reason)
        self.ranges = _bounded(_with(self.ranges, loss))
        self._untold = _bounded(_with(self._untold, loss))

    def take_untold(self) -> list[Loss]:
        """What was lost since this was last asked."""
        untold, self._untold = self._untold, []
        return untold

    def save(self) -> None:
        """Writes down what is new. Raises OSError."""
        if not self.is_saved:
            write_small(self._path, json.dumps([asdict(loss) for loss in self.ranges], indent=1))
            self.is_saved = True


def _with(ranges: list[Loss], loss: Loss) -> list[Loss]:
    """The ranges with one more loss: one range for a day and a reason."""
    if ranges and ranges[-1].reason == loss.reason and ranges[-1].until[:10] == loss.since[:10]:
        ranges[-1] = ranges[-1].merged(loss)
        return ranges
    return [*ranges, loss]


def _bounded(ranges: list[Loss]) -> list[Loss]:
    while len(ranges) > MOST_RANGES:
        ranges = [ranges[0].merged(ranges[1]), *ranges[2:]]
    return ranges


def _read(path: Path) -> list[Loss]:
    try:
        return [Loss(**members) for members in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected losses, found something else") from error


def read_losses(path: Path) -> list[Loss]:
    """The losses written down at `path`; none if they cannot be read."""
    try:
        return _read(path)
    except (OSError, ValueError):
        return []
