"""Tests how much room the outbox takes, given the size of a disk."""

from typing import Any

import pytest

from mqtt_http_bridge.adapters.outbox.room import Room

GB = 1_000_000_000


def room(**others: Any) -> Room:
    """A large disk with little on it, but for what is given."""
    given = {"free": 10 * GB, "size": 100 * GB, "used": 1_000_000, "max_bytes": None}
    return Room(**{**given, **others})


@pytest.mark.parametrize(
    ("size", "floor"), [(100 * GB, 50_000_000), (499_999_980, 49_999_998), (30_000_000, 3_000_000)]
)
def test_what_stays_free_for_others(size: int, floor: int) -> None:
    """50 MB, or a tenth of a small disk."""
    assert room(size=size).floor == floor


@pytest.mark.parametrize(
    ("others", "allowed"),
    [
        ({}, 64_000_000),
        ({"free": 99_000_000}, 20_000_000),
        ({"max_bytes": 5_000_000}, 5_000_000),
        ({"max_bytes": 20 * GB}, 16 * GB),
        ({"max_bytes": 0}, 0),
    ],
)
def test_what_is_allowed(others: dict[str, Any], allowed: int) -> None:
    """By the settings, or a fifth of what is free for it, 64 MB at most."""
    assert room(**others).allowed == allowed


@pytest.mark.parametrize(
    ("free", "ceiling"), [(60_000_000, 11_000_000), (50_000_000, 1_000_000), (1, 1_000_000)]
)
def test_the_disk_sets_a_ceiling(free: int, ceiling: int) -> None:
    """It is what the outbox has, and what is free beyond what has to stay so."""
    found = room(free=free)
    assert found.ceiling == ceiling
    assert found.limit == min(found.allowed, ceiling)


@pytest.mark.parametrize(
    ("max_bytes", "size"),
    [
        (64_000_000, 262_144),
        (1_000_000, 61_440),
        (16 * 20_480, 20_480),
        (16 * 20_480 - 1, 16_384),
        (100_000, 16_384),
    ],
)
def test_a_segment_is_a_sixteenth(max_bytes: int, size: int) -> None:
    """In whole pages, from 16 KiB to 256 KiB."""
    assert room(max_bytes=max_bytes).segment_bytes == size


@pytest.mark.parametrize(
    ("left", "size", "largest", "expected"),
    [
        (GB, 1000, 0, 262_144),
        (GB, 300_000, 0, 311_296),
        (GB, 253_952, 0, 262_144),
        (GB, 253_953, 0, 266_240),
        (8 * 40_960, 1000, 0, 40_960),
        (8 * 40_960 - 1, 1000, 0, 36_864),
        (16_384, 1000, 0, 16_384),
        (16_383, 1000, 0, 262_144),
        (16_383, 1000, 20_480, 20_480),
        (16_384, 1000, 20_480, 16_384),
        (0, 1000, 1 << 20, 262_144),
    ],
)
def test_the_next_segment(left: int, size: int, largest: int, expected: int) -> None:
    """It holds the line; on a disk that is nearly full it is an eighth of what is left."""
    found = room(free=50_000_000 + left, max_bytes=64_000_000)
    assert found.segment_for(size, largest) == expected


@pytest.mark.parametrize(
    ("size", "kept", "free", "most"),
    [
        (1_000_000, 0, 10 * GB, 4_000_000),
        (1_000_000, 3_000_000, 10 * GB, 1_000_000),
        (1_000_000, 3_000_001, 10 * GB, 999_999),
        (4_000_001, 0, 10 * GB, 999_999),
        (1_000_000, 3_000_000, 50_000_000, 500_000),
        (1_000_000, 0, 50_000_000, 500_000),
        (1_000_000, 0, 50_500_000, 1_000_000),
        (1_000_000, 0, 50_499_999, 999_999),
    ],
)
def test_room_for_a_segment(size: int, kept: int, free: int, most: int) -> None:
    """By the settings, `kept` bytes more have to fit beside what is in use; not by the disk.

    On the disk, lines that say what was given up may take half of it before.
    """
    assert room(max_bytes=5_000_000, free=free).most_beside(size, kept) == most


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({}, "of the 64000000 that the free space allows: make room on the disk"),
        ({"max_bytes": 5_000_000}, "of the 5000000 that outbox.max_bytes allows: set it higher"),
        ({"max_bytes": 5_000_000, "free": 54_000_000}, "outbox.max_bytes allows"),
        ({"max_bytes": 5_000_000, "free": 53_999_999}, "of the 4999999 that the free space"),
    ],
)
def test_the_complaint_names_what_is_too_small(others: dict[str, Any], words: str) -> None:
    """And the remedy for it."""
    found = room(**others).complaint(9)
    assert found.startswith("expected room for 9 bytes more, found 1000000 in use ")
    assert words in found
