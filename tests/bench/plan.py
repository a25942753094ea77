"""Says how much is measured, and with which load."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The wishes of the command line."""

    is_quick: bool = False
    recording: Path | None = None
    chargers: int | None = None
    rate_per_s: float | None = None
    against: Path | None = None
    """Another checkout, whose relay is measured in the same run."""

    @property
    def has_own_load(self) -> bool:
        """Tells whether a load of one's own is to be played."""
        return self.recording is not None or self.chargers is not None

    def pick(self, normal: T, quick: T) -> T:
        """One of the two."""
        return quick if self.is_quick else normal
