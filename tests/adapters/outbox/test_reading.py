"""Tests how a log is read: names, numbers, and what cannot be read."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import files, reading, records
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.reading import Damage, entries_in, read_log
from mqtt_http_bridge.adapters.outbox.records import Entry
from tests.adapters.outbox.refusing import unreadable
from tests.adapters.outbox.support import PORTAL

LIKELY_LINE = 256
Writer = Callable[..., LogFiles]


def put(number: int, body: bytes = b"{}") -> bytes:
    return records.put(Entry(number, PORTAL, body, is_final=True))


@pytest.fixture
def written(directory: Path) -> Writer:
    """Writes a log with these segments."""

    def write(*segments: bytes) -> LogFiles:
        log_files = LogFiles(directory)
        (directory / "log").mkdir(parents=True)
        for number, data in enumerate(segments, 1):
            Path(log_files.path(number)).write_bytes(data)
        return log_files

    return write


def test_a_log_without_a_line_has_no_name_and_begins_at_1(written: Writer) -> None:
    """So each new log gets a name of its own."""
    found = read_log(written(b"\n" * 100))
    assert (found.log_id, found.index.next_number, found.damage) == ("", 1, [])
    assert found.sizes == {1: 100}


@pytest.mark.parametrize(
    ("head", "next_number"),
    [(b"log 1 y 7", 7), (b"log 1 y -7", 1), (b"log 1 y", 1), (b"log x y 7", 7)],
)
def test_the_number_in_a_head(written: Writer, head: bytes, next_number: int) -> None:
    """The next one is at least that; a head that tells none is one all the same."""
    line = records.encode(*head.split(b" "))
    found = read_log(written(line + b"\n" * 50))
    assert (found.log_id, found.index.next_number) == ("y", next_number)


def test_the_head_of_a_later_segment_takes_no_number_back(written: Writer) -> None:
    """A later entry counts more."""
    found = read_log(written(records.head("a", 1) + put(9), records.head("a", 3)))
    assert found.index.next_number == 10


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_an_error_that_may_pass_says_nothing_of_the_disk(written: Writer, code: int) -> None:
    """Somebody who only looks makes do with the rest."""
    log_files = written(records.head("a", 1) + put(1), records.head("a", 2) + put(2))
    with unreadable(1, code):
        found = read_log(log_files)
    assert [bad.segment for bad in found.unreadable] == [1]
    assert [number for number, _ in found.index.entries()] == [2]


def test_the_numbers_that_may_be_in_segments_that_cannot_be_read(written: Writer) -> None:
    """As many as fit, from where the last readable one ends to where the next begins."""
    sizes = [10 * LIKELY_LINE, 20 * LIKELY_LINE + 255]
    bad = [bytes(size) for size in sizes]
    log_files = written(*bad, records.head("a", 8) + put(8))
    with unreadable(1), unreadable(2):
        found = read_log(log_files)
    assert [list(each.numbers) for each in found.unreadable] == [
        [*range(1, 11)],
        [*range(1, 8)],
    ]
    assert found.index.next_number == 11


def test_the_numbers_that_may_be_in_the_last_segment_are_not_used_again(written: Writer) -> None:
    """The next entry gets one beyond all that fit."""
    log_files = written(records.head("a", 1) + put(6), bytes(10 * LIKELY_LINE + 255))
    with unreadable(2):
        found = read_log(log_files)
    (bad,) = found.unreadable
    assert list(bad.numbers) == [*range(7, 17)]
    assert found.index.next_number == 17


@pytest.mark.parametrize("more", [0, 1])
def test_a_segment_longer_than_any_of_ours(
    written: Writer, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """All behind the last line is bad, and nothing is where there is no more than filler."""
    monkeypatch.setattr(reading, "LONGEST_SEGMENT", 4096)
    monkeypatch.setattr(files, "LONGEST_SEGMENT", 4096)
    lines = records.head("a", 1) + put(1)
    size = 4096 + more
    found = read_log(written(lines + b"\n" * (size - len(lines))))
    assert found.damage == ([Damage(1, len(lines) - 1, size)] if more else [])


def test_bad_stretches_between_good_lines(written: Writer) -> None:
    """Each ends where a good line begins, or filler."""
    lines = [records.head("a", 1), b"bad\n", b"\n", b"worse\n", put(1), b"worst\n\n\n"]
    found = read_log(written(b"".join(lines)))
    starts = [sum(map(len, lines[:n])) for n in range(len(lines))]
    assert found.damage == [
        Damage(1, starts[1], starts[4] - 1),
        Damage(1, starts[5], starts[5] + 5),
    ]


def test_the_entries_in_a_segment() -> None:
    """The last text of each; what is no entry is passed over."""
    lines = [records.head("a", 1), put(1, b"old"), b"bad\n", put(2), records.done(2, PORTAL)]
    found = entries_in(b"".join([*lines, put(1, b"new"), b"\n" * 9]))
    assert {number: entry.body for number, entry in found.items()} == {1: b"new", 2: b"{}"}
