"""Works out how much room the outbox may take.

All of its files count: segments, filler, and what is damaged.
"""

from dataclasses import dataclass
from typing import Final

SEGMENT_BYTES: Final = 256 * 1024
MOST_DEFAULT_BYTES: Final = 64_000_000
SHARE_OF_FREE: Final = 0.2
PARKED_SHARE: Final = 0.25
"""The share of the room for what is parked: what may never be stored must not crowd out the rest.
"""
FLOOR_BYTES: Final = 50_000_000
FLOOR_SHARE: Final = 0.1
_LEAST_SEGMENT_BYTES: Final = 16 * 1024
_PAGE_BYTES: Final = 4096
HEAD_BYTES: Final = 8192
"""The lines at the head of a segment take no more."""
_SEGMENTS: Final = 16
"""A small outbox has smaller segments, so that it has as many of them."""
_PARTS: Final = 8
"""Of what is left of a disk that is nearly full, one goes into the next segment."""
_MOST_BYTES: Final = 16_000_000_000
"""The segments that the index can tell apart hold a little more."""


@dataclass(frozen=True, slots=True)
class Room:
    """Holds how much the disk of a directory has, and how much the outbox takes of it, in bytes."""

    free: int
    size: int
    used: int
    """By all files of the outbox."""
    max_bytes: int | None
    """The bytes that the settings allow; None: the default."""

    @property
    def floor(self) -> int:
        """Gives the bytes that have to stay free for others: 50 MB, or a tenth of a small disk."""
        return min(FLOOR_BYTES, int(self.size * FLOOR_SHARE))

    @property
    def allowed(self) -> int:
        """The most that the outbox may take, as the settings or the default have it."""
        if self.max_bytes is not None:
            return min(self.max_bytes, _MOST_BYTES)
        return min(MOST_DEFAULT_BYTES, int((self.free + self.used) * SHARE_OF_FREE))

    @property
    def ceiling(self) -> int:
        """Gives the bytes that the disk allows: no growth into what has to stay free."""
        return self.used + max(0, self.free - self.floor)

    @property
    def limit(self) -> int:
        """The most that the outbox may take, by the settings and by the disk."""
        return min(self.allowed, self.ceiling)

    @property
    def segment_bytes(self) -> int:
        """The size of a segment, whole pages."""
        wanted = self.allowed // _SEGMENTS // _PAGE_BYTES * _PAGE_BYTES
        return max(_LEAST_SEGMENT_BYTES, min(SEGMENT_BYTES, wanted))

    def segment_for(self, size: int, largest: int) -> int:
        """The size of a segment that has to hold a line of so many bytes beside its head.

        On a disk that is nearly full it is a part of what is left, so that several fit; where
        nothing is left, one as long as the `largest` there is takes the place of another.
        """
        left, wanted = self.ceiling - self.used, self.segment_bytes
        if left >= _LEAST_SEGMENT_BYTES:
            wanted = min(
                wanted, max(_LEAST_SEGMENT_BYTES, left // _PARTS // _PAGE_BYTES * _PAGE_BYTES)
            )
        elif largest:
            wanted = min(wanted, largest)
        return max(wanted, -(-(size + HEAD_BYTES) // _PAGE_BYTES) * _PAGE_BYTES)

    def has_room(self, size: int, *, kept: int, ceiling: int | None = None) -> bool:
        """Tells whether a segment of `size` fits, and `kept` bytes may be taken after it.

        `ceiling` is that of before anything was removed: what makes room for the new is not
        growth, on a disk that others have filled.
        """
        ceiling = self.ceiling if ceiling is None else ceiling
        return self.used + size + kept <= self.allowed and self.used + size <= ceiling

    def complaint(self, size: int) -> str:
        """Makes a text of there being no room for so many bytes."""
        name, remedy = "the free space", "make room on the disk"
        if self.max_bytes is not None and self.allowed <= self.ceiling:
            name, remedy = "outbox.max_bytes", "set it higher"
        return (
            f"expected room for {size} bytes more, found {self.used} in use of the {self.limit}"
            f" that {name} allows: {remedy}"
        )
