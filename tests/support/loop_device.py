"""Makes a file system of its own on a loop device, within which nothing else is written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_BYTES = 256 << 20


class NoLoopDevice(OSError):
    """This machine gives no loop device, or lets nobody mount one."""


@contextmanager
def ext4(above: Path) -> Iterator[Path]:
    """Mounts a new file system of 256 MiB, from the file `image` in this directory.

    Raises NoLoopDevice.
    """
    image = above / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _call("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0", str(image))
    with mounted(image, above / "mounted") as place:
        yield place


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mounts an image. Raises NoLoopDevice."""
    place.mkdir()
    _call("mount", "-o", "loop,noatime", str(image), str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def _call(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoLoopDevice(f"expected {command[0]}, found none") from error
    except subprocess.CalledProcessError as error:
        raise NoLoopDevice(f"expected a loop device, found: {error.stderr.strip()}") from error


def written_kib(place: Path) -> float:
    """Counts what the block layer has written to the device of `place` since it was mounted.

    The `write_bytes` of a process are of no use here: newer kernels count all of a large page of
    the cache there, of which one block is written.
    """
    return int(_statistics(place)[6]) / 2


def writes(place: Path) -> tuple[int, int]:
    """Counts the writes to the device of `place`: those that are done, and those under way."""
    fields = _statistics(place)
    return int(fields[4]), int(fields[8])


def _statistics(place: Path) -> list[str]:
    device = place.stat().st_dev
    path = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return path.read_text(encoding="ascii").split()
