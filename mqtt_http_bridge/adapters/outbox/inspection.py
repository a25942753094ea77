"""Reads and changes an outbox from outside: for `outbox status`, `list`, `drop` and the others.

It only reads. To change something, it leaves a request that the service sees within 5 s, as long as
anything waits or is parked; if no service is running, it takes the lock and makes the change
itself. Every function takes the directory of the outbox, and raises LocalFault if it cannot be read
or changed.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from mqtt_http_bridge.adapters.outbox.cleaning import Cleaning
from mqtt_http_bridge.adapters.outbox.contents import PortalContents, portals_in
from mqtt_http_bridge.adapters.outbox.files import LogFiles, as_owner, shown
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.reading import read_log
from mqtt_http_bridge.adapters.outbox.records import Entry, EntryFormat
from mqtt_http_bridge.adapters.outbox.requests import RETRY, drop_requests
from mqtt_http_bridge.core.disk_remedy import disk_remedy
from mqtt_http_bridge.core.errors import LocalFault, OutboxBusy
from mqtt_http_bridge.core.views import Loss

_TRIES: Final = 5
"""The most times to read: if the service cleans up the log meanwhile, it has to be read again."""


class OutboxStatus(NamedTuple):
    """Holds the state of an outbox at one moment."""

    directory: str
    is_in_use: bool
    """True if a service has it open."""
    portals: tuple[PortalContents, ...]
    bytes: int
    """The size of all files of the outbox."""
    max_bytes: int
    """The most bytes that they may take now, given the settings and the disk."""
    owed_bytes: int
    unreadable: tuple[str, ...]
    """The files that cannot be read, and why; they may hold more entries."""
    oldest: str | None
    """The timestamp of the oldest entry that is owed."""
    damaged: int
    """Counts the damaged places that were kept in `damaged`."""
    lost: tuple[Loss, ...]


class _Reader:
    """Reads an outbox that a service may be using meanwhile. Every method may raise OSError."""

    def __init__(self, directory: Path, entry_format: EntryFormat) -> None:
        """Reads the log."""
        self._directory = directory
        self._format = entry_format
        self.unread: dict[int, str] = {}
        """The errors of segments that cannot be read, by number."""
        self.log = self._read()

    def _read(self) -> Log:
        log = Log(LogFiles(self._directory), self._format)
        for _ in range(_TRIES):
            first = next(iter(log.segments.files.segments()), None)
            found = read_log(log.segments.files)
            if next(iter(log.segments.files.segments()), None) == first:
                break
        for bad in found.unreadable:
            self._note(bad.segment, bad.error)
        log.look(found)
        return log

    def entries(self) -> Iterator[Entry]:
        """Yields all entries that can be read, the oldest first."""
        for number, portal_id in self.log.index.entries():
            entry = self._entry(number, portal_id)
            if entry is not None:
                yield entry

    def _entry(self, number: int, portal_id: str) -> Entry | None:
        for _ in range(_TRIES):
            try:
                return self.log.read(number, portal_id)
            except FileNotFoundError:  # Moved by a clean-up meanwhile.
                self.log = self._read()
            except OSError as error:
                self._note(self.log.segment_with(number, portal_id), error)
                break
        return None

    def _note(self, segment: int, error: OSError) -> None:
        why = f"{error.strerror}: {disk_remedy(error.errno)}"
        self.unread.setdefault(segment, f"segment {segment} cannot be read: {why}")


def status(directory: Path, max_bytes: int | None, entry_format: EntryFormat) -> OutboxStatus:
    """Returns the state of the outbox."""
    with _faults(directory):
        reader, files = _Reader(directory, entry_format), LogFiles(directory, max_bytes)
        log, room = reader.log, files.room()
        portals = portals_in(log.index)
        owed = [(portal.oldest, portal.portal_id) for portal in portals if portal.oldest]
        return OutboxStatus(
            directory=shown(directory),
            is_in_use=files.is_locked(),
            portals=portals,
            bytes=room.used,
            max_bytes=room.limit,
            owed_bytes=log.index.live_bytes(),
            unreadable=tuple(reader.unread.values()),
            oldest=(log.timestamp(*min(owed)) or None) if owed else None,
            damaged=len(files.damaged_sizes()),
            lost=log.losses,
        )


def entries(directory: Path, entry_format: EntryFormat) -> Iterator[Entry]:
    """Yields all entries that are owed or parked, the oldest first, as they would be sent.

    It leaves out what cannot be read; at the end it raises LocalFault, which names that.
    """
    with _faults(directory):
        reader = _Reader(directory, entry_format)
        yield from reader.entries()
    if reader.unread:
        unread = "; ".join(reader.unread.values())
        raise LocalFault(f"{shown(directory)}: not all of it: {unread}")


def readable_numbers(directory: Path, entry_format: EntryFormat) -> set[int]:
    """Returns the numbers of all entries that are owed or parked and can be read."""
    with _faults(directory):
        return {entry.number for entry in _Reader(directory, entry_format).entries()}


def entry(directory: Path, number: int, entry_format: EntryFormat) -> Entry | None:
    """Returns an entry, or None if nothing of it is owed."""
    return next((e for e in entries(directory, entry_format) if e.number == number), None)


# --- changes -----------------------------------------------------------------------------------


def request_retry(directory: Path) -> bool:
    """Requests a retry of everything that waits; returns whether a service is running to do it."""
    with _faults(directory), as_owner(directory):
        return _is_asked(LogFiles(directory), [RETRY])


def request_drop(
    directory: Path,
    numbers: Collection[int] | None,
    entry_format: EntryFormat,
    *,
    parked_only: bool,
) -> list[int] | None:
    """Drops entries for good: all of them if `numbers` is None.

    Returns the numbers that were dropped, or None if the service was asked to do it.
    """
    with _faults(directory), as_owner(directory):
        newest = _Reader(directory, entry_format).log.index.next_number - 1
        requests = drop_requests(numbers, parked_only=parked_only, newest=newest)
        files = LogFiles(directory)
        if _is_asked(files, requests):
            return None
        log = Log(files, entry_format)
        try:
            log.reopen()
            cleaning = Cleaning(log)
            cleaning.bring_in()
            return cleaning.drop(requests)
        finally:
            log.segments.close()


def _is_asked(files: LogFiles, requests: Collection[str]) -> bool:
    """Leaves requests, if a service is running to see them."""
    is_in_use = files.is_locked()
    if is_in_use:
        files.leave_requests(requests)
    return is_in_use


@contextmanager
def _faults(directory: Path) -> Iterator[None]:
    where = shown(directory)
    try:
        yield
    except FileNotFoundError as error:
        raise LocalFault(
            f"{where}: expected an outbox, found none: has the service run with this config?"
        ) from error
    except OSError as error:
        what = f"cannot be read or changed: {error.strerror}"
        raise LocalFault(f"{where}: {what}: {disk_remedy(error.errno)}") from error
    except OutboxBusy as error:
        raise LocalFault(str(error)) from error
