"""Tests the lines of the log one by one: how each is written and read, to the byte."""

from zlib import crc32

import pytest

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.records import Entry

OWED = Entry(17, "c0619ab5c1aa", b'{"a": 1}', is_final=True)
OPEN = Entry(17, "c0619ab5c1aa", b'{"a": 1}', is_final=False)
PARKED = Entry(17, "gx", b'{"a": 1}', True, ("A,/ 1", "B:2"), "not found: no / such")


def rest_of(line: bytes) -> bytes:
    """All of a line behind its checksum, which has to be right, and to be of eight digits."""
    checksum, space, rest = line[:8], line[8:9], line[9:-1]
    assert (checksum, space, line[-1:]) == (b"%08x" % crc32(rest), b" ", b"\n")
    return rest


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (records.put(OWED), b'put 17 c0619ab5c1aa = {"a": 1}'),
        (records.put(OPEN), b'put 17 c0619ab5c1aa ~ {"a": 1}'),
        (records.replaced(OWED), b'narrow 17 c0619ab5c1aa = {"a": 1}'),
        (records.replaced(OPEN), b'narrow 17 c0619ab5c1aa = {"a": 1}'),
        (
            records.replaced(PARKED),
            b'parked 17 gx A%2C%2F%201,B%3A2:not%20found%3A%20no%20%2F%20such {"a": 1}',
        ),
        (records.done(17, "gx"), b"done 17 gx"),
        (records.lost(17, "gx", "no room/left"), b"lost 17 gx no%20room/left"),
        (records.free("gx", "A/ 1"), b"free 0 gx A%2F%201"),
        (records.note(b"clock", '{"a": 1}'), b'clock 0 - {"a": 1}'),
        (records.head("0badf00d", 18), b"log 1 0badf00d 18"),
    ],
)
def test_each_line_as_it_is_written(line: bytes, rest: bytes) -> None:
    """A log that is on a disk already is read by the next version: none of it may change."""
    assert rest_of(line) == rest
    assert records.decode(line[:-1]) == rest.split(b" ", 3)
    assert records.fields_of(line) == rest.split(b" ", 3)


def test_a_checksum_of_few_digits_is_filled_up() -> None:
    """A line in some hundred begins with a zero, and all have the same shape."""
    lines = [records.done(number, "gx") for number in range(1, 200)]
    assert any(line.startswith(b"0") for line in lines)
    assert [rest_of(line) for line in lines] == [b"done %d gx" % n for n in range(1, 200)]


@pytest.mark.parametrize("entry", [OWED, OPEN, PARKED])
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    """The number, the GX, the text, whether it is final, and why it is parked for whom."""
    line = records.replaced(entry) if entry.parked_serials else records.put(entry)
    found = records.entry_in(records.fields_of(line))
    assert found is not None
    assert (found.number, found.portal_id, found.body, found.is_final) == (
        entry.number,
        entry.portal_id,
        entry.body,
        entry.is_final,
    )
    assert (found.parked_serials, found.reason) == (entry.parked_serials, entry.reason)


def test_an_entry_that_is_made_is_parked_for_nobody() -> None:
    """Nor is there a reason for it."""
    assert (OWED.parked_serials, OWED.reason) == ((), "")


@pytest.mark.parametrize(
    "rest",
    [
        b"done 17 gx",
        b"lost 17 gx no room {}",
        b"free 0 gx A b",
        b"clock 5 - {} {}",
        b"unheard-of 17 gx = {}",
        b"put 17 gx",
        b"put 17 gx =",
        b"put 0 gx = {}",
        b"put x gx = {}",
    ],
)
def test_a_line_that_holds_no_text_is_of_no_entry(rest: bytes) -> None:
    """It is over, or of another kind, or not whole, or has no number."""
    fields = records.fields_of(records.encode(rest))
    assert records.entry_in(fields) is None


def test_only_a_line_that_parks_names_devices() -> None:
    """The mark of another is no serial."""
    assert records.parked_in([b"put", b"17", b"gx", b"A:why {}"]) == ((), "")
    assert records.parked_in([b"parked", b"17", b"gx", b"A,B:why {}"]) == (("A", "B"), "why")
    assert records.parked_in([b"parked", b"17", b"gx", b"A {}"]) == (("A",), "")
    assert records.parked_in([b"parked", b"17", b"gx", b"\xff:why {}"]) == (("\ufffd",), "why")


def test_the_device_that_is_free_again() -> None:
    """Any serial comes back as it was."""
    assert records.serial_in(records.fields_of(records.free("gx", "Ä/ 1"))) == "Ä/ 1"
    assert records.serial_in([b"free", b"0", b"gx", b"\xff"]) == "\ufffd"


@pytest.mark.parametrize(
    ("rest", "fields"),
    [
        (b"done 1 gx", [b"done", b"1", b"gx"]),
        (b"put 1 gx = {} {}", [b"put", b"1", b"gx", b"= {} {}"]),
        (b"done 1", None),
        (b"done", None),
    ],
)
def test_a_line_has_three_fields_and_the_rest(rest: bytes, fields: list[bytes] | None) -> None:
    """One with fewer says nothing."""
    assert records.decode(records.encode(rest)[:-1]) == fields


def test_a_line_with_another_checksum_says_nothing() -> None:
    """Nor does one that has lost its end."""
    line = records.done(17, "gx")[:-1]
    assert records.decode(line[:-1]) is None
    assert records.decode(b"00000000" + line[8:]) is None
    assert records.decode(line[:8] + b"_" + line[9:]) is None


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        (b"1", 1),
        (b"0", None),
        (b"-1", None),
        (b"", None),
        (b"x", None),
        (b"34359738367", (1 << 35) - 1),
        (b"34359738368", None),
        (b"00000000017", 17),
        (b"000000000017", None),
    ],
)
def test_the_numbers_that_an_entry_may_have(digits: bytes, number: int | None) -> None:
    """From 1 to below 2^35, in eleven digits at most."""
    assert records.number_in([b"put", digits]) == number


def test_numbers_go_on_where_those_read_end() -> None:
    """There are as many again as a log may leap to; what follows on from others is no leap."""
    assert (records.LEAP_LIMIT, records.NUMBER_LIMIT) == (1 << 34, 1 << 35)
    limit = records.LEAP_LIMIT
    assert not records.is_leap(limit - 1, 1)
    assert records.is_leap(limit, 1)
    assert not records.is_leap(limit, limit)
    assert not records.is_leap(limit + records.LEAP - 1, limit)
    assert records.is_leap(limit + records.LEAP, limit)


@pytest.mark.parametrize(
    ("portal", "expected"),
    [
        (b"c0619ab5c1aa", True),
        (b"A_z-9", True),
        (b"g" * 64, True),
        (b"g" * 65, False),
        (b"", False),
        (b"g/x", False),
        (b"g\n", False),
    ],
)
def test_portal_ids(portal: bytes, expected: bool) -> None:
    """Letters, digits, `_` and `-`, 64 at most."""
    assert records.is_portal_id(portal) is expected


@pytest.mark.parametrize("kind", [b"put", b"narrow", b"parked"])
def test_the_kinds_that_hold_a_text(kind: bytes) -> None:
    """Each is an entry, with the text behind the first space of the rest."""
    found = records.entry_in([kind, b"17", b"gx\xff", b"= a b"])
    assert found is not None
    assert (found.portal_id, found.body, found.is_final) == ("gx\ufffd", b"a b", True)


def test_what_each_kind_makes_of_its_entry() -> None:
    """The table of the module."""
    states = {kind.decode(): state.value for kind, state in records.STATE_AFTER.items()}
    assert states == {
        "put": "owed",
        "narrow": "owed",
        "parked": "parked",
        "done": "gone",
        "lost": "gone",
    }
