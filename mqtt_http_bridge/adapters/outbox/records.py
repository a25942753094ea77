"""Writes and reads the lines of the log, and defines the state that each gives its entry.

A line is the checksum of the rest, the kind, and the fields of that kind.

    5a4b77c0 put 17 c0619ab5c1aa ~ {"timestamp":"2026-03-14T06:10:00.000000+00:00",...}

    kind    then                          says                                        the entry is
    log     format, id of the log, next   begins each segment; the next number        -
    clock   0 - notes (JSON)              follows it; how the clock was set           -
    losses  0 - ranges (JSON)             the same; all that was given up until here  -
    put     number portal mark body       measured; `=`: the clock was trusted,       owed
                                          `~`: the times may still be corrected
    narrow  number portal = body          the text with devices cut out, and final    owed
    parked  number portal mark body       the same; all of its devices wait until     parked
                                          the backend stores them; the mark says
                                          which they are and why
    done    number portal                 the backend has stored all of it            gone
    lost    number portal reason          given up for lack of room, or dropped       gone
    free    0 portal serial               what is parked of the device is owed again  -

Each line of an entry replaces all earlier ones, so the state of an entry does not depend on its
previous state. So losing a line loses nothing else, and lines that a disk has refused can be
written again. One line both parks a device and cuts the others out, because two lines could
reach the disk in either order. Lines of unknown kinds are skipped.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol
from urllib.parse import quote, unquote
from zlib import crc32

FORMAT: Final = 1
"""The highest format of a log that this version understands."""
NUMBER_LIMIT: Final = 1 << 35
"""One more than the highest number: enough for 33 years of a thousand GX devices."""
READ_LIMIT: Final = 1 << 34
"""The highest number read from a log: even after a made-up one, there are numbers left."""
_PORTAL: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_TRUSTED: Final = b"="
_OPEN: Final = b"~"


class State(Enum):
    """The states of an entry."""

    OWED = "owed"
    PARKED = "parked"
    GONE = "gone"


STATE_AFTER: Final = {
    b"put": State.OWED,
    b"narrow": State.OWED,
    b"parked": State.PARKED,
    b"done": State.GONE,
    b"lost": State.GONE,
}
"""The last column of the table above, for the kinds that belong to an entry."""

Fields = list[bytes]
"""The kind, the number, the portal and, where the kind has one, the rest."""


@dataclass(slots=True, eq=False)
class Entry:
    """A measurement in the outbox: the bytes to send, and their state."""

    number: int
    """0 until it is stored. It changes only if the disk turns out to be a different one."""
    portal_id: str
    body: bytes
    is_final: bool
    """True if its times do not change any more."""
    parked_serials: tuple[str, ...] = ()
    """The devices that it is parked for; empty if it is owed."""
    reason: str = ""
    """The reason why it is parked."""


class EntryFormat(Protocol):
    """Tells the outbox what it needs to know about the bytes of an entry. No method raises."""

    def timestamp(self, body: bytes) -> str:
        """Reads the time of an entry, even from its beginning alone, as ISO 8601; empty if none."""

    def shifted(self, body: bytes, step_s: float) -> bytes:
        """Returns the same entry, with its times moved forward by this many seconds."""


# --- writing -----------------------------------------------------------------------------------


def encode(kind: bytes, *fields: bytes) -> bytes:
    """Makes a line, with its line feed."""
    rest = b" ".join((kind, *fields))
    return b"%08x %b\n" % (crc32(rest), rest)


def put(entry: Entry) -> bytes:
    """Makes the line of a new entry, or of one that has not changed since."""
    return _encode_entry(b"put", entry, _TRUSTED if entry.is_final else _OPEN)


def replaced(entry: Entry) -> bytes:
    """Makes the line that replaces an entry's text."""
    if not entry.parked_serials:
        return _encode_entry(b"narrow", entry, _TRUSTED)
    serials = ",".join(quote(serial, safe="") for serial in entry.parked_serials)
    return _encode_entry(b"parked", entry, f"{serials}:{quote(entry.reason, safe='')}".encode())


def _encode_entry(kind: bytes, entry: Entry, mark: bytes) -> bytes:
    return encode(kind, b"%d" % entry.number, entry.portal_id.encode(), mark, entry.body)


def done(number: int, portal_id: str) -> bytes:
    """Makes the line of an entry that the backend has stored."""
    return encode(b"done", b"%d" % number, portal_id.encode())


def lost(number: int, portal_id: str, reason: str) -> bytes:
    """Makes the line of an entry that was given up."""
    return encode(b"lost", b"%d" % number, portal_id.encode(), quote(reason).encode())


def free(portal_id: str, serial: str) -> bytes:
    """Makes the line that makes a device's parked entries owed again."""
    return encode(b"free", b"0", portal_id.encode(), quote(serial, safe="").encode())


def note(kind: bytes, text: str) -> bytes:
    """Makes a line that belongs to no entry: `clock` or `losses`."""
    return encode(kind, b"0", b"-", text.encode())


def head(log_id: str, next_number: int) -> bytes:
    """Makes the first line of a segment."""
    return encode(b"log", b"%d" % FORMAT, log_id.encode(), b"%d" % next_number)


# --- reading -----------------------------------------------------------------------------------


def decode(line: bytes) -> Fields | None:
    """Splits a line without its line feed into fields; None if it is damaged."""
    checksum, _, rest = line.partition(b" ")
    if checksum != b"%08x" % crc32(rest):
        return None
    fields = rest.split(b" ", 3)
    return fields if len(fields) > 2 else None


def fields_of(line: bytes) -> Fields:
    """Splits a line that we made, with its line feed, into fields."""
    return line[9:-1].split(b" ", 3)


def number_in(fields: Fields) -> int | None:
    """Reads the number of a line; None if it is not a possible number of an entry."""
    digits = fields[1]
    number = int(digits) if len(digits) < 12 and digits.isdigit() else 0
    return number if 0 < number < READ_LIMIT else None


def is_portal_id(portal: bytes) -> bool:
    """Tells whether this is a portal id."""
    return _PORTAL.fullmatch(portal) is not None


def entry_in(fields: Fields) -> Entry | None:
    """Reads the entry in a line; None if lines of this kind hold none."""
    number = number_in(fields)
    mark, space, body = fields[3].partition(b" ") if len(fields) > 3 else (b"", b"", b"")
    if number is None or not space or STATE_AFTER.get(fields[0], State.GONE) is State.GONE:
        return None
    serials, reason = parked_in(fields)
    portal_id = fields[2].decode("ascii", "replace")
    return Entry(number, portal_id, body, mark != _OPEN, serials, reason)


def parked_in(fields: Fields) -> tuple[tuple[str, ...], str]:
    """Reads which devices a line parks, and why; empty for lines of other kinds."""
    if fields[0] != b"parked":
        return (), ""
    mark = fields[3].partition(b" ")[0].decode("ascii", "replace")
    serials, _, reason = mark.partition(":")
    return tuple(unquote(serial) for serial in serials.split(",")), unquote(reason)


def serial_in(fields: Fields) -> str:
    """Reads the device in a `free` line."""
    return unquote(fields[3].decode("ascii", "replace"))
