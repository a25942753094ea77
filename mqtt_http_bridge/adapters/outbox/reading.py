"""Reads a log from its first segment to its last, and finds what is damaged."""

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.clock import Boot, ClockNotes, clock_notes
from mqtt_http_bridge.adapters.outbox.files import LONGEST_SEGMENT, LogFiles
from mqtt_http_bridge.adapters.outbox.index import Index, slot_of
from mqtt_http_bridge.adapters.outbox.losses import read_losses
from mqtt_http_bridge.adapters.outbox.records import Entry, Fields

if TYPE_CHECKING:
    from mqtt_http_bridge.core.views import Loss

_LIKELY_LINE: Final = 256
"""An unreadable segment is assumed to hold at most one entry for this many bytes."""


class Damage(NamedTuple):
    """A stretch of a segment without a single good line, from `offset` up to `end`."""

    segment: int
    offset: int
    end: int


class Unreadable(NamedTuple):
    """A segment that the disk cannot read, and the numbers that its entries may have."""

    segment: int
    error: OSError
    numbers: range


class Found:
    """Everything that was found in a log."""

    def __init__(self) -> None:
        self.log_id = ""
        self.index = Index()
        self.clock = ClockNotes(Boot("", 0.0))
        self.losses: tuple[Loss, ...] = ()
        self.damage: list[Damage] = []
        self.unreadable: list[Unreadable] = []
        self.sizes: dict[int, int] = {}
        """The sizes of the segments that could be read, by number."""


def read_log(files: LogFiles) -> Found:
    """Reads all segments that can be read; changes nothing. Raises OSError if none can be found."""
    found = Found()
    for segment, size in files.segments().items():
        try:
            data = files.read(segment).rstrip(b"\n")
        except FileNotFoundError:  # It was removed at this very moment.
            continue
        except OSError as error:
            first = found.index.next_number
            numbers = range(first, first + size // _LIKELY_LINE)
            found.unreadable.append(Unreadable(segment, error, numbers))
            continue
        found.sizes[segment] = size
        _take_in(found, segment, data, size)
    ends = (bad.numbers.stop for bad in found.unreadable)
    found.index.next_number = max([found.index.next_number, *ends])
    return found


def entries_in(data: bytes) -> dict[int, Entry]:
    """Returns the last text of each entry in the bytes of a segment, by number."""
    lines = (records.decode(line) for line in data.rstrip(b"\n").split(b"\n"))
    entries = (records.entry_in(fields) for fields in lines if fields is not None)
    return {entry.number: entry for entry in entries if entry is not None}


def _take_in(found: Found, segment: int, data: bytes, size: int) -> None:
    slot, apply, decode = slot_of(segment), found.index.apply, records.decode
    offset, ends = 0, dict[int, int]()
    start: int | None = None
    for line in data.split(b"\n"):
        fields, length = decode(line), len(line) + 1
        if fields is not None:
            start = None
            if not apply(fields, slot, length):
                _take_in_note(fields, found)
        elif line:
            start = offset if start is None else start
            ends[start] = offset + len(line)
        offset += length
    if size > LONGEST_SEGMENT:
        ends[len(data) if start is None else start] = size
    found.damage += [Damage(segment, *stretch) for stretch in ends.items()]


def _take_in_note(fields: Fields, found: Found) -> None:
    match fields[0]:
        case b"log":
            _take_in_head(fields, found)
        case b"clock":
            found.clock = clock_notes(b" ".join(fields[3:])) or found.clock
        case b"losses":
            ranges = read_losses(b" ".join(fields[3:]))
            found.losses = found.losses if ranges is None else ranges


def _take_in_head(fields: Fields, found: Found) -> None:
    log_format = int(fields[1]) if fields[1].isdigit() else 0
    if log_format > records.FORMAT:
        raise OSError(
            errno.EPROTO,
            f"expected a log of format {records.FORMAT} or lower, found {log_format}: a newer"
            " version has written it: install that one again, or set another outbox.directory",
        )
    found.log_id = fields[2].decode("ascii", "replace")
    number = (records.number_in([b"", fields[3]]) if len(fields) > 3 else None) or 1
    found.index.next_number = max(found.index.next_number, number)
    if found.unreadable:
        bad = found.unreadable[-1]
        numbers = range(bad.numbers.start, min(bad.numbers.stop, number))
        found.unreadable[-1] = bad._replace(numbers=numbers)
