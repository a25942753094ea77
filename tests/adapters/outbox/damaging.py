"""Makes an outbox to damage, and shows what is left of it afterwards."""

import shutil
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from tests.adapters.outbox.support import (
    FORMAT,
    PORTAL,
    minutes,
    opened,
    store,
)

SMALL = 16 * 16 * 1024
SEGMENT = "0000000000000001.log"


def segment_of(directory: Path) -> Path:
    return directory / "log" / SEGMENT


def copied(sound: Path, name: str) -> Path:
    """The same outbox once more, and nothing else of that name."""
    directory = sound.parent / name
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sound, directory)
    return directory


def owed_in(directory: Path) -> set[int]:
    """The minutes that an outbox owes, parked or not; it still takes more."""
    with opened(directory, max_bytes=SMALL) as outbox:
        outbox.unpark(PORTAL, "HQ1")
        found = set(minutes(outbox))
        store(outbox, 99)
        assert 99 in minutes(outbox)
    return found


def damaged(directory: Path) -> list[bytes]:
    found = directory / "damaged"
    return [path.read_bytes() for path in sorted(found.iterdir())] if found.is_dir() else []


def content_end(directory: Path) -> int:
    return len(segment_of(directory).read_bytes().rstrip(b"\n"))


def line_of(data: bytes, number: int) -> bytes:
    place = data.find(b" put %d " % number)
    return data[data.rfind(b"\n", 0, place) : data.find(b"\n", place) + 1]


def roll(outbox: Outbox) -> None:
    """Stores so much that the first segment is full, and read from the disk from then on."""
    store(outbox, *range(90, 93), size=12_000)


def numbers_in(directory: Path) -> list[int]:
    return [entry.number for entry in inspection.entries(directory, FORMAT)]
