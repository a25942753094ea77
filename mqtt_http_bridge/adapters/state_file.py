"""Keeps the state file on disk. It is small, often replaced, and of no use after a power cut.

So it is in memory (/run) if we may write there, otherwise beside the outbox, and it is never
flushed. It is renamed into place, so that nobody reads half a file.
"""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

RUN_DIRECTORY: Final = Path("/run/mqtt-http-bridge")
MOST_BYTES: Final = 4_000_000
"""A larger file is no state file: with a thousand GX devices it takes a tenth of this."""
_ENDED: Final = ("Z", "X")
"""The kernel's letters for a process that has ended."""


class StateFile:
    """Reads and writes the state file of one outbox's service. One writer; anybody may read."""

    def __init__(
        self, outbox: Path, run_directory: Path = RUN_DIRECTORY, *, what: str = "state"
    ) -> None:
        """Touches nothing yet. The name tells instances apart, as no two share an outbox.

        `what` is in it: the state, or something else that is kept the same way.
        """
        name = hashlib.sha256(os.fsencode(os.path.realpath(outbox))).hexdigest()[:16]
        more = "" if what == "state" else f"-{what}"
        self._places = (run_directory / f"{name}{more}.json", outbox / f"{what}.json")

    def write(self, text: bytes) -> None:
        """Replaces the file, in the first place that accepts it. Raises OSError if none does."""
        first, second = self._places
        try:
            try:
                _replace(first, text)
            except FileNotFoundError:
                first.parent.mkdir(mode=0o700, exist_ok=True)
                _replace(first, text)
        except OSError:
            try:
                _replace(second, text)
            except OSError as error:
                _overwrite(second, text, error)

    def read(self) -> list[bytes]:
        """Reads what is there, in each place; no small file of its own counts as nothing."""
        found = []
        for place in self._places:
            with suppress(OSError):
                found.append(_read(place))
        return found


def _replace(path: Path, text: bytes) -> None:
    new = path.with_name(path.name + ".new")
    try:
        with open(_created(new), "wb") as file:
            file.write(text)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _created(new: Path) -> int:
    """Opens a new file; removes the one that a process left when it was killed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(new, flags, 0o600)
    except FileExistsError:
        new.unlink()
        return os.open(new, flags, 0o600)


def _overwrite(path: Path, text: bytes, reason: OSError) -> None:
    """Overwrites the existing file: a full disk has no room for another one beside it.

    A reader may then find half of each; that is not valid, and the next look finds a whole one.
    Raises `reason` if there is no file.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.truncate()
    except OSError:
        raise reason from None


def _read(path: Path) -> bytes:
    """Reads a file that others may have put there: a pipe or a device would make us wait."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path}: expected a file, found something else")
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise OSError(f"{path}: expected {MOST_BYTES} bytes at most")
    return text


def start_ticks(pid: int | None = None) -> int:
    """Returns the start of a process, or of this one, in kernel ticks.

    Returns 0 if that is not known, or the process has ended and only waits to be noticed.
    """
    try:
        stat_file = Path(f"/proc/{'self' if pid is None else pid}/stat")
        fields = stat_file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in _ENDED else 0
    except (OSError, ValueError, IndexError):
        return 0
