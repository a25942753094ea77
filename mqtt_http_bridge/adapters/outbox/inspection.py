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

from mqtt_http_bridge.adapters.directories import make_directory
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
"""The most times to read: the service may clean up the log meanwhile, and then it must be read
again."""


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


def status(directory: Path, max_bytes: int | None, entry_format: EntryFormat) -> OutboxStatus:
    """Returns the state of the outbox."""
    with _faults(directory):
        unread = _Unread()
        log = _read(directory, entry_format, unread)
        files = log.segments.files
        room = LogFiles(directory, max_bytes).room()
        portals = portals_in(log.index)
        owed = [(portal.oldest, portal.portal_id) for portal in portals if portal.oldest]
        return OutboxStatus(
            directory=shown(directory),
            is_in_use=files.is_locked(),
            portals=portals,
            bytes=room.used,
            max_bytes=room.limit,
            owed_bytes=log.index.live_bytes(),
            unreadable=tuple(unread.values()),
            oldest=(log.timestamp(*min(owed)) or None) if owed else None,
            damaged=files.count_damaged(),
            lost=log.losses,
        )


def entries(directory: Path, entry_format: EntryFormat) -> Iterator[Entry]:
    """Yields all entries that are owed or parked, the oldest first, as they would be sent.

    It leaves out what cannot be read; at the end it raises LocalFault, which names that.
    """
    unread = _Unread()
    yield from _entries(directory, entry_format, unread)
    if unread:
        raise LocalFault(f"{shown(directory)}: not all of it: {'; '.join(unread.values())}")


_Unread = dict[int, str]
"""The errors of segments that cannot be read, by number."""


def _note_unread(unread: _Unread, segment: int, error: OSError) -> None:
    why = f"{error.strerror}: {disk_remedy(error.errno)}"
    unread.setdefault(segment, f"segment {segment} cannot be read: {why}")


def _entries(directory: Path, entry_format: EntryFormat, unread: _Unread) -> Iterator[Entry]:
    last, is_over = 0, False
    with _faults(directory):
        while not is_over:
            log, is_over = _read(directory, entry_format, unread), True
            for number, portal_id in log.index.entries():
                if number > last:
                    entry = None
                    try:
                        entry = log.read(number, portal_id)
                    except FileNotFoundError:  # Moved by a clean-up meanwhile.
                        is_over = False
                        break
                    except OSError as error:
                        _note_unread(unread, log.segment_with(number, portal_id), error)
                    last = number
                    if entry is not None:
                        yield entry


def readable_numbers(directory: Path, entry_format: EntryFormat) -> set[int]:
    """Returns the numbers of all entries that are owed or parked and can be read."""
    return {each.number for each in _entries(directory, entry_format, _Unread())}


def entry(directory: Path, number: int, entry_format: EntryFormat) -> Entry | None:
    """Returns an entry, or None if nothing of it is owed."""
    return next((e for e in entries(directory, entry_format) if e.number == number), None)


def _read(directory: Path, entry_format: EntryFormat, unread: _Unread) -> Log:
    """Reads the log; reads it again if it was cleaned up meanwhile and entries have moved."""
    log = Log(LogFiles(directory), entry_format)
    for _ in range(_TRIES):
        first = next(iter(log.segments.files.segments()), None)
        found = read_log(log.segments.files)
        if next(iter(log.segments.files.segments()), None) == first:
            break
    for bad in found.unreadable:
        _note_unread(unread, bad.segment, bad.error)
    log.look(found)
    return log


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
        newest = _read(directory, entry_format, {}).index.next_number - 1
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
        make_directory(files.requests, 0o700)
        for name in requests:
            (files.requests / name).touch(mode=0o600)
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
