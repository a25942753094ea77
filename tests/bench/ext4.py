"""Makes a file system of its own for what is measured, and counts what is written to it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.waiting import Failed


@contextmanager
def ext4(above: Path) -> Iterator[Path]:
    """Mounts a new file system of 256 MiB on a loop device, within which nothing else is written.

    Raises Failed where this machine gives no loop device.
    """
    image, place = above / "image", above / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    make = ["mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0", str(image)]
    try:
        subprocess.run(make, check=True)
        subprocess.run(["mount", "-o", "loop,noatime", str(image), str(place)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"expected a loop device and mkfs.ext4, found: {error}") from error
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def written_kib(place: Path) -> float:
    """Counts what the block layer has written to the device of `place` since it was mounted.

    The `write_bytes` of a process are of no use here: newer kernels count all of a large page of
    the cache there, of which one block is written.
    """
    device = place.stat().st_dev
    statistic = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return int(statistic.read_text(encoding="ascii").split()[6]) / 2
