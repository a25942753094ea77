"""Estimates how long the outbox has room, at the rate at which bytes really come in."""

from collections.abc import Sequence
from typing import Final

TYPICAL_BYTES: Final = 800
"""The bytes of a measurement of two chargers, used until something is measured."""
ROUNDS: Final = 3
"""A GX with no new measurement while the others had this many each is not being measured."""
SPARE_PART: Final = 8
MOST_SPARE_BYTES: Final = 512 * 1024
"""Two segments are kept free of what is owed, to clean up; a small outbox has small ones."""


def bytes_an_interval(puts: Sequence[tuple[int, int]]) -> int:
    """Returns how many bytes come in at each interval.

    `puts` has, for each GX, the number and the bytes of its newest measurement. Numbers go up by
    one with each measurement of any GX.
    """
    known = [(number, size) for number, size in puts if number]
    highest = max((number for number, _ in known), default=0)
    measured = [size for number, size in known if number > highest - ROUNDS * len(known)]
    return sum(measured) or TYPICAL_BYTES


def hours_of_room(
    limit: int, owed: int, puts: Sequence[tuple[int, int]], interval_s: float
) -> float:
    """Returns the hours until the first entry has to be dropped if the backend stores nothing.

    `limit` is what the outbox may take, `owed` what it holds now, in bytes.
    """
    room = limit - owed - min(limit // SPARE_PART, MOST_SPARE_BYTES)
    return round(max(0, room) / bytes_an_interval(puts) * interval_s / 3600, 1)
