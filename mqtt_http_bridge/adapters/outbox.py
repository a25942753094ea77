"""The outbox: a spool directory in the Maildir tradition, one file for each measurement.

A file is written under a temporary name, flushed to the disk, renamed and the rename flushed: it
is there whole or not at all. Its number gives the order. A verdict replaces or removes it.

*Is*: at-least-once delivery of measurements, across crashes and power cuts.
*Is not*: exactly-once, which the backend cannot give; a general queue.
"""

import fcntl
import os
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.errors import LocalFault, OutboxBusy
from mqtt_http_bridge.core.measurement import Measurement, from_json, to_json

_SUFFIX: Final = ".json"
_WAKE: Final = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """A measurement that waits: `body` are the bytes on the disk, and the bytes that are sent."""

    number: int
    body: bytes
    measurement: Measurement


class Outbox:
    """One spool directory, owned by one process.

    One thread appends, one other does the rest; they share nothing but the directory and the queue
    of new numbers.
    """

    def __init__(self, directory: Path) -> None:
        """Takes the directory over, and makes it if need be.

        Raises OutboxBusy if another process has it, LocalFault if it cannot be used.
        """
        self.directory = directory
        """Where the files are."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(directory)
            self._remove_unfinished()
            self._last_number = max(self.numbers(), default=0)
        except OSError as error:
            raise _fault(directory, error) from error
        self._news: queue.SimpleQueue[int] = queue.SimpleQueue()

    def close(self) -> None:
        """Gives the directory up."""
        os.close(self._lock)

    # --- for the thread that measures ------------------------------------------------------------

    def append(self, measurement: Measurement) -> None:
        """Puts `measurement` on the disk, then tells the other thread. Raises LocalFault."""
        number = self._last_number + 1
        self._write(number, to_json(measurement))
        self._last_number = number
        self._news.put(number)

    def wake(self) -> None:
        """Ends a `wait` of the other thread."""
        self._news.put(_WAKE)

    # --- for the thread that sends ---------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The numbers of all entries, oldest first."""
        names = (Path(entry.name) for entry in os.scandir(self.directory))
        return sorted(int(name.stem) for name in names if _is_entry(name))

    def wait(self, timeout_s: float | None) -> list[int]:
        """The numbers of new entries; empty after `timeout_s` (None: no limit), or when woken."""
        numbers = []
        try:
            numbers.append(self._news.get(timeout=timeout_s))
            while True:
                numbers.append(self._news.get_nowait())
        except queue.Empty:
            return [number for number in numbers if number != _WAKE]

    def read(self, number: int) -> Entry:
        """The entry `number`. Raises LocalFault, or MalformedMeasurement if the file is damaged."""
        try:
            body = self._path(number).read_bytes()
        except OSError as error:
            raise _fault(self._path(number), error) from error
        return Entry(number, body, from_json(body))

    def settle(self, number: int, remaining: Measurement | None) -> None:
        """Leaves of the entry `number` what `remaining` holds, or nothing. Raises LocalFault."""
        if remaining is not None:
            self._write(number, to_json(remaining))
            return
        try:
            self._path(number).unlink(missing_ok=True)
        except OSError as error:
            raise _fault(self._path(number), error) from error

    # --- files -----------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:016d}{_SUFFIX}"

    def _write(self, number: int, body: bytes) -> None:
        path = self._path(number)
        unfinished = path.with_suffix(".part")
        try:
            with unfinished.open("wb") as stream:
                stream.write(body)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.rename(path)
            _flush_directory(self.directory)
        except OSError as error:
            raise _fault(path, error) from error

    def _remove_unfinished(self) -> None:
        for path in self.directory.glob("*.part"):
            path.unlink(missing_ok=True)


def _is_entry(name: Path) -> bool:
    return name.suffix == _SUFFIX and name.stem.isascii() and name.stem.isdigit()


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutboxBusy(
            f"{directory}: expected to own this outbox, found that another mqtt-http-bridge does:"
            " stop it, or set another outbox.directory"
        ) from error
    return descriptor


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fault(path: Path, error: OSError) -> LocalFault:
    return LocalFault(f"{path}: cannot be used as outbox: {error.strerror or error}")
