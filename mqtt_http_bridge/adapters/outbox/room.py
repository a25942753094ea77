"""How much room the outbox may take on its disk."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 64_000_000
SHARE_OF_FREE: Final = 0.2
PARKED_SHARE: Final = 0.25
"""Of the room, for what is parked: what may never be taken must not crowd out what will be."""
FLOOR_BYTES: Final = 50_000_000
FLOOR_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Room:
    """What the disk of a directory has, in bytes."""

    free: int
    size: int
    block: int
    """The least that a file takes."""

    @property
    def floor(self) -> int:
        """What has to stay free for others: 50 MB, or a tenth of a small disk."""
        return min(FLOOR_BYTES, int(self.size * FLOOR_SHARE))

    @property
    def is_above_floor(self) -> bool:
        """Whether there is more than what has to stay free."""
        return self.free > self.floor

    @property
    def default_max_bytes(self) -> int:
        """The limit where none is set."""
        return min(MOST_BYTES, int(self.free * SHARE_OF_FREE))


def room_of(directory: Path) -> Room:
    """What the disk that holds `directory` has. Raises OSError."""
    found = os.statvfs(directory)
    return Room(
        free=found.f_bavail * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        block=found.f_frsize,
    )
