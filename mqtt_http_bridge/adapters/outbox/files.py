"""Numbered files in one directory: there whole or not at all, and in order.

A file is written under a temporary name, flushed to the disk, renamed, and the rename flushed. One
that is read-only is final: it has been sent, or may have been, and never changes again but to lose
devices.
"""

import heapq
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.directories import flush_directory, make_directory

_SUFFIX: Final = ".json"
_UNFINISHED: Final = ".part"
_OPEN_MODE: Final = 0o600
_FINAL_MODE: Final = 0o400
_READ_BYTES: Final = 65_536


@dataclass(slots=True)
class Extent:
    """How many numbered files there are, the bytes they hold, and the highest number."""

    count: int = 0
    size: int = 0
    highest: int = 0


class NumberedFiles:
    """The files of one directory. OSError, as the system gives it, from every method."""

    def __init__(self, directory: Path) -> None:
        """Touches nothing yet."""
        self.directory = directory
        # What runs for each measurement uses plain strings: a Path costs as much as the call.
        self._prefix = f"{directory}{os.sep}"

    def prepare(self) -> None:
        """Makes the directory if need be, and removes what a crash left unfinished."""
        make_directory(self.directory, 0o700)
        with os.scandir(self.directory) as found:
            unfinished = [Path(entry.path) for entry in found if entry.name.endswith(_UNFINISHED)]
        for path in unfinished:
            path.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[int]:
        """The numbers of all files, in no order."""
        with os.scandir(self.directory) as found:
            for entry in found:
                number = _number(entry.name)
                if number is not None:
                    yield number

    def oldest(self, most: int) -> list[int]:
        """The lowest numbers, in order; memory for no more than `most` of them."""
        return heapq.nsmallest(most, self)

    def write(self, number: int, body: bytes, *, is_final: bool) -> None:
        """Makes the file `number`, or replaces it. When this returns, it is on the disk."""
        _write_whole(self._path(number), body, _FINAL_MODE if is_final else _OPEN_MODE)

    def read(self, number: int) -> bytes | None:
        """What the file holds, or None if it is not there."""
        try:
            descriptor = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return b"".join(iter(lambda: os.read(descriptor, _READ_BYTES), b""))
        finally:
            os.close(descriptor)

    def is_final(self, number: int) -> bool:
        """Whether the file has been made final, or is not there."""
        with suppress(FileNotFoundError):
            return not os.stat(self._path(number)).st_mode & stat.S_IWUSR
        return True

    def set_final(self, number: int, *, is_final: bool) -> None:
        """Marks the file as final, or takes the mark back.

        Not flushed: a mark that a power cut takes back was good for that boot only.
        """
        with suppress(FileNotFoundError):
            os.chmod(self._path(number), _FINAL_MODE if is_final else _OPEN_MODE)

    def remove(self, number: int) -> None:
        """Removes the file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(number))

    def move(self, number: int, directory: Path) -> None:
        """Moves the file, if it is there, to another directory of the same file system."""
        with suppress(FileNotFoundError):
            move_into(Path(self._path(number)), directory)

    def foreign(self) -> list[Path]:
        """What lies in the directory and is none of its files."""
        with os.scandir(self.directory) as found:
            return [
                Path(entry.path)
                for entry in found
                if _number(entry.name) is None or not entry.is_file(follow_symlinks=False)
            ]

    def extent(self) -> Extent:
        """How much there is; no file is opened."""
        extent = Extent()
        with os.scandir(self.directory) as found:
            for entry in found:
                number = _number(entry.name)
                if number is not None:
                    with suppress(FileNotFoundError):
                        extent.size += entry.stat().st_size
                        extent.count += 1
                        extent.highest = max(extent.highest, number)
        return extent

    def _path(self, number: int) -> str:
        return f"{self._prefix}{number:016d}{_SUFFIX}"


def _number(name: str) -> int | None:
    stem = name.removesuffix(_SUFFIX)
    is_ours = stem != name and len(stem) == 16 and stem.isascii() and stem.isdigit()
    return int(stem) if is_ours else None


def write_small(path: Path, text: str) -> None:
    """Replaces a small file of notes as a whole. Raises OSError."""
    _write_whole(str(path), text.encode(), _OPEN_MODE)


def _write_whole(path: str, body: bytes, mode: int) -> None:
    unfinished = path + _UNFINISHED
    try:
        descriptor = _create(unfinished, mode)
        try:
            rest = memoryview(body)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(unfinished, path)
    except OSError:
        with suppress(OSError):
            os.unlink(unfinished)
        raise
    flush_directory(os.path.dirname(path) or os.curdir)


def _create(path: str, mode: int) -> int:
    """A new file, open for writing; one that a crash left there goes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, mode)


def move_into(path: Path, directory: Path) -> None:
    """Moves a file or directory under a name that nothing has in `directory`. Raises OSError."""
    make_directory(directory, 0o700)
    target, count = directory / path.name, 1
    while os.path.lexists(target):
        target, count = directory / f"{path.name}.{count}", count + 1
    path.rename(target)
