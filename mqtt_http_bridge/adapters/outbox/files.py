"""Makes the system calls: the outbox uses its directory only through this module.

lock        locked by the process that has the outbox
log/        segments, numbered; the last one may be only filler: it is used next
damaged/    bytes that are no lines, named by the segment and the offset they were at; and segments
            that could not be read
requests/   empty files whose names say what somebody wants: `retry`, `drop.17`, `drop.all`

A segment is written to its full length with line feeds, and flushed, before it is used: then a
flush writes data and no metadata. Every function may raise OSError.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.directories import flush_directory, make_directory
from mqtt_http_bridge.adapters.outbox.disk_waits import WAITS
from mqtt_http_bridge.adapters.outbox.room import Room
from mqtt_http_bridge.core.errors import OutboxBusy

DAMAGED_BYTES: Final = 1_000_000
"""The most bytes to keep of damaged parts."""
LONGEST_SEGMENT: Final = 1 << 23
"""No segment of ours is longer; anything behind that is not read."""
_DAMAGED_PIECE: Final = 65_536
_FILLER: Final = b"\n" * 65_536
_SUFFIX: Final = ".log"
_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`, on every file system."""
_LOOKS: Final = 5
_LOOK_S: Final = 0.02


class LogFiles:
    """The files of an outbox in one directory."""

    def __init__(self, directory: Path, max_bytes: int | None = None) -> None:
        """Does not touch the disk yet. `max_bytes` is the limit in the settings, if any."""
        self.directory = directory
        self.damaged = directory / "damaged"
        self.requests = directory / "requests"
        self._max_bytes = max_bytes
        self._log = str(directory / "log")
        self._lock = str(directory / "lock")
        self._locked: int | None = None

    # --- whose it is ---------------------------------------------------------------------------

    @WAITS.waiting()
    def take(self) -> None:
        """Takes over the directory. Raises OutboxBusy if another process has it.

        `give_up` has to follow, also after an error.
        """
        make_directory(Path(self._log), 0o700)
        self._locked = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(_LOOKS):  # Somebody may be checking right now whether it is in use.
            if _is_locked(self._locked, fcntl.LOCK_EX):
                break
            time.sleep(_LOOK_S)
        else:
            raise OutboxBusy(shown(self.directory))
        with suppress(OSError):  # A full disk takes empty files, but no directory.
            os.mkdir(self.requests, 0o700)

    @WAITS.waiting()
    def give_up(self) -> None:
        """Releases the directory."""
        descriptor, self._locked = self._locked, None
        if descriptor is not None:
            close(descriptor)

    @WAITS.waiting()
    def is_ours(self) -> bool:
        """Tells whether the lock is still in place: nobody has moved the directory."""
        return self._locked is not None and self._is_at(self._lock, self._locked)

    @WAITS.waiting()
    def is_in_place(self, segment: int, descriptor: int) -> bool:
        """Tells whether an open segment is still in place."""
        return self._is_at(self.path(segment), descriptor)

    def _is_at(self, path: str, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # If something is wrong, the next write will show it.
            return True

    @WAITS.waiting()
    def is_locked(self) -> bool:
        """Tells whether another process has the outbox."""
        # If it is a pipe, this must not wait for somebody at the other end.
        with _closing(os.open(self._lock, os.O_RDONLY | os.O_NONBLOCK)) as descriptor:
            return not _is_locked(descriptor, fcntl.LOCK_SH)

    # --- segments ------------------------------------------------------------------------------

    @WAITS.waiting()
    def segments(self) -> dict[int, int]:
        """Returns the sizes of all segments by number, the oldest first."""
        found = {}
        with os.scandir(self._log) as entries:
            for entry in entries:
                stem = entry.name.removesuffix(_SUFFIX)
                is_numbered = len(stem) == 16 and stem.isascii() and stem.isdigit()
                if is_numbered and entry.name.endswith(_SUFFIX) and entry.is_file():
                    with suppress(FileNotFoundError):
                        found[int(stem)] = entry.stat().st_size
        return dict(sorted(found.items()))

    @WAITS.waiting()
    def create(self, segment: int, size: int) -> None:
        """Makes a segment of filler. When this returns, it and its name are on the disk."""
        with _closing(self.open(segment, os.O_WRONLY | os.O_CREAT | os.O_EXCL)) as descriptor:
            try:
                _fill(descriptor, 0, size)
                flush(descriptor)
                flush_directory(self._log)
            except OSError:
                with suppress(OSError):
                    os.unlink(self.path(segment))
                raise

    @WAITS.waiting()
    def open(self, segment: int, flags: int) -> int:
        """Opens a segment."""
        return os.open(self.path(segment), flags, 0o600)

    @WAITS.waiting()
    def read(self, segment: int) -> bytes:
        """Reads a segment, up to the longest that ours can be."""
        with _closing(self.open(segment, os.O_RDONLY)) as descriptor:
            return _read(descriptor, min(os.fstat(descriptor).st_size, LONGEST_SEGMENT))

    @WAITS.waiting()
    def remove(self, segment: int) -> None:
        """Removes a segment, and flushes that, so that it cannot reappear after later ones go."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(segment))
        flush_directory(self._log)

    def path(self, segment: int) -> str:
        """Returns the path of a segment."""
        return f"{self._log}/{segment:016d}{_SUFFIX}"

    # --- damage, requests, room ----------------------------------------------------------------

    @WAITS.waiting()
    def cut_out(self, segment: int, offset: int, end: int) -> int:
        """Replaces a bad stretch with filler, after copying it to `damaged`.

        One that goes to the end of the segment is cut off. Returns the size of the segment then.
        """
        with _closing(self.open(segment, os.O_RDWR)) as descriptor:
            data = os.pread(descriptor, min(end - offset, _DAMAGED_PIECE), offset)
            self._keep(f"{segment:016d}-{offset:08d}", data)
            if end >= os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, offset)
            else:
                _fill(descriptor, offset, end)
            flush(descriptor)
            return os.fstat(descriptor).st_size

    def _keep(self, name: str, data: bytes) -> None:
        if self._is_room_in_damaged(len(data)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with _closing(os.open(self.damaged / name, flags, 0o600)) as descriptor:
                write(descriptor, 0, data)
                flush(descriptor)

    @WAITS.waiting()
    def set_aside(self, segment: int) -> None:
        """Moves a segment that cannot be read to `damaged`, if there is room for it."""
        path = self.path(segment)
        if self._is_room_in_damaged(os.stat(path).st_size):
            os.rename(path, self.damaged / os.path.basename(path))
            flush_directory(str(self.damaged))
        self.remove(segment)

    def _is_room_in_damaged(self, size: int) -> bool:
        make_directory(self.damaged, 0o700)
        return sum(self.damaged_sizes()) + size <= DAMAGED_BYTES

    @WAITS.waiting()
    def damaged_sizes(self) -> list[int]:
        """Returns how many bytes each damaged part takes that is kept."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.damaged) as found:
            return [_bytes_on_disk(entry.stat()) for entry in found]
        return []

    @WAITS.waiting()
    def leave_requests(self, names: Iterable[str]) -> None:
        """Leaves requests for the process that has the outbox."""
        make_directory(self.requests, 0o700)
        for name in names:
            (self.requests / name).touch(mode=0o600)

    @WAITS.waiting()
    def take_requests(self, *only: str) -> list[str]:
        """Returns the names of the requests and removes them; leaves out those it cannot remove.

        With `only`, the other requests stay for later.
        """
        taken = []
        try:
            for name in os.listdir(self.requests):
                if not only or name in only:
                    os.unlink(self.requests / name)
                    taken.append(name)
        except FileNotFoundError:
            pass
        except OSError:
            if not taken:
                raise
        return taken

    @WAITS.waiting()
    def room(self) -> Room:
        """Returns how much room there is, and how much of it the outbox takes."""
        found = os.statvfs(self.directory)
        return Room(
            free=found.f_bavail * found.f_frsize,
            size=found.f_blocks * found.f_frsize,
            used=sum(self.segments().values()) + sum(self.damaged_sizes()),
            max_bytes=self._max_bytes,
        )


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Lets root act as the owner of a directory, so that the owner can use the files made there."""
    found, user, group = os.stat(directory), os.geteuid(), os.getegid()
    if user != 0 or found.st_uid == 0:
        yield
        return
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def _is_locked(descriptor: int, operation: int) -> bool:
    """Locks a file; returns whether that could be done."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _bytes_on_disk(found: os.stat_result) -> int:
    """Returns the bytes that a file takes on the disk: a sparse one takes less than its length."""
    return min(found.st_size, found.st_blocks * _BLOCK_BYTES)


def _fill(descriptor: int, offset: int, end: int) -> None:
    for start in range(offset, end, len(_FILLER)):
        write(descriptor, start, _FILLER[: end - start])


def write(descriptor: int, offset: int, data: bytes) -> None:
    """Writes all of the data."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        if not written:
            raise OSError(errno.EIO, "the disk accepts no data")
        rest, offset = rest[written:], offset + written


def _read(descriptor: int, size: int) -> bytes:
    """Reads `size` bytes from the beginning; fewer only if the file is shorter."""
    data = os.pread(descriptor, size, 0)
    # Before a bad sector, a disk returns less than was asked for; the next read gives the error.
    while len(data) < size and (more := os.pread(descriptor, size - len(data), len(data))):
        data += more
    return data


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        close(descriptor)


def close(descriptor: int) -> None:
    """Closes a file. An error does not matter: what is important has been flushed."""
    with suppress(OSError):
        os.close(descriptor)


def flush(descriptor: int) -> None:
    """Flushes what was written to the disk."""
    os.fdatasync(descriptor)


def shown(directory: Path) -> str:
    """Returns a path as text, whatever bytes are in it."""
    return os.fsencode(directory).decode(errors="backslashreplace")
