"""Works out how much room the outbox may take.

All of its files count: segments, filler, and damaged parts.
"""

from typing import Final, NamedTuple

SEGMENT_BYTES: Final = 256 * 1024
MOST_DEFAULT_BYTES: Final = 64_000_000
SHARE_OF_FREE: Final = 0.2
PARKED_SHARE: Final = 0.25
"""The share of the room that parked entries may take, as they may never be stored."""
MEMORY_BYTES: Final = 4_000_000
"""The most that is kept of a disk that hangs, and as much of one that refuses: a day of one GX with
two chargers."""
FLOOR_BYTES: Final = 50_000_000
FLOOR_SHARE: Final = 0.1
_LEAST_SEGMENT_BYTES: Final = 16 * 1024
_PAGE_BYTES: Final = 4096
HEAD_BYTES: Final = 8192
"""The lines at the start of a segment take at most this."""
_SEGMENTS: Final = 16
"""A small outbox has smaller segments, so that it has this many."""
_PARTS: Final = 8
"""On a disk that is nearly full, the next segment takes one part in this many of what is left."""
_MOST_BYTES: Final = 16_000_000_000
"""The index can tell apart a little more than this many bytes of segments."""


class Room(NamedTuple):
    """Holds how much space the disk has, and how much of it the outbox takes, in bytes."""

    free: int
    size: int
    used: int
    """The bytes of all files of the outbox."""
    max_bytes: int | None
    """The limit in the settings; None: the default."""

    @property
    def floor(self) -> int:
        """Returns the bytes that must stay free for others: 50 MB, or a tenth of a small disk."""
        return min(FLOOR_BYTES, int(self.size * FLOOR_SHARE))

    @property
    def allowed(self) -> int:
        """Returns the most that the outbox may take by the settings, or by default."""
        if self.max_bytes is not None:
            return min(self.max_bytes, _MOST_BYTES)
        return min(MOST_DEFAULT_BYTES, int((self.free + self.used) * SHARE_OF_FREE))

    @property
    def ceiling(self) -> int:
        """Returns the most that the disk allows, without the space that must stay free."""
        return self.used + max(0, self.free - self.floor)

    @property
    def limit(self) -> int:
        """Returns the most that the outbox may take, by the settings and by the disk."""
        return min(self.allowed, self.ceiling)

    @property
    def segment_bytes(self) -> int:
        """Returns the size of a segment, in whole pages."""
        wanted = self.allowed // _SEGMENTS // _PAGE_BYTES * _PAGE_BYTES
        return max(_LEAST_SEGMENT_BYTES, min(SEGMENT_BYTES, wanted))

    def segment_for(self, size: int, largest: int) -> int:
        """Returns the size of a segment that has to hold a line of this many bytes after its head.

        On a disk that is nearly full, it is a fraction of what is left, so that several fit. If
        nothing is left, it is as long as the `largest`, so that it can replace another one.
        """
        left, wanted = self.ceiling - self.used, self.segment_bytes
        if left >= _LEAST_SEGMENT_BYTES:
            wanted = min(
                wanted, max(_LEAST_SEGMENT_BYTES, left // _PARTS // _PAGE_BYTES * _PAGE_BYTES)
            )
        elif largest:
            wanted = min(wanted, largest)
        return max(wanted, -(-(size + HEAD_BYTES) // _PAGE_BYTES) * _PAGE_BYTES)

    def most_beside(self, size: int, kept: int) -> int:
        """Returns the most bytes that may be in use when a segment of `size` is made.

        The settings have to leave room for it and for `kept` bytes more. On a disk that others have
        filled it may only replace older segments, but exceed them by half of `size`, for the lines
        that say what was given up.
        """
        return min(self.allowed - kept, self.ceiling + size // 2) - size

    def complaint(self, size: int) -> str:
        """Says in words that there is no room for so many bytes."""
        name, remedy = "the free space", "make room on the disk"
        if self.max_bytes is not None and self.allowed <= self.ceiling:
            name, remedy = "outbox.max_bytes", "set it higher"
        return (
            f"expected room for {size} bytes more, found {self.used} in use of the {self.limit}"
            f" that {name} allows: {remedy}"
        )
