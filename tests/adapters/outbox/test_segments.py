"""Tests the segments of a log by themselves: what is open, and when one is given up."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from mqtt_http_bridge.adapters.outbox import files, reading, records, segments
from mqtt_http_bridge.adapters.outbox.fault_log import FaultLog
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.index import slot_of
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.segments import READ_TRIES, TRY_EVERY_S, Segments
from tests.adapters.outbox.refusing import refusing, unreadable
from tests.adapters.outbox.support import PORTAL

pytestmark = pytest.mark.usefixtures("quick_disk")
SIZE = 16 * 1024
HEAD = records.head("0badf00d", 1)
BAD = OSError(errno.EIO, "bad")
Maker = Callable[[], Segments]


def put(number: int, body: bytes = b"{}") -> bytes:
    return records.put(Entry(number, PORTAL, body, is_final=True))


@pytest.fixture
def own(directory: Path) -> Iterator[Segments]:
    """Three segments, with entry 1 in the first, and so on."""
    found = Segments(LogFiles(directory), FaultLog(directory), lambda: HEAD)
    found.open()
    for number in (1, 2, 3):
        found.roll(SIZE)
        found.write(put(number))
    yield found
    found.close()


def numbers(own: Segments) -> list[list[int]]:
    return [list(own.entries(segment)) for segment in own.sizes]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Clock:
    """The time in the module."""

    now_s = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(segments, "time", SimpleNamespace(monotonic=lambda: own.now_s))
    return own


# --- opening and closing -------------------------------------------------------------------------


def test_what_was_written_is_there_after_opening_again(own: Segments) -> None:
    """Each entry in its segment, however many are read from the disk."""
    for _ in range(2):
        assert numbers(own) == [[1], [2], [3]]
        assert own.sizes == {1: SIZE, 2: SIZE, 3: SIZE}
        assert own.left == SIZE - len(HEAD) - len(put(3))
        own.open()
    own.write(put(4))
    own.open()
    assert numbers(own) == [[1], [2], [3, 4]]


def test_a_line_whose_end_is_missing_is_ended(own: Segments) -> None:
    """The next one is a line of its own."""
    path = Path(own.files.path(3))
    data = path.read_bytes().rstrip(b"\n")
    own.close()
    path.write_bytes(data)
    own.open()
    own.write(put(4))
    assert path.read_bytes() == data + b"\n" + put(4)
    own.open()
    assert numbers(own) == [[1], [2], [3, 4]]


def test_no_more_files_are_open_than_are_needed(own: Segments) -> None:
    """Two after opening, the last one after a flush, none after closing; and the lock."""
    own.close()
    before = open_files()
    own.open()
    assert open_files() == before + 3
    own.roll(SIZE)
    own.roll(SIZE)
    assert open_files() == before + 5
    own.flush()
    assert open_files() == before + 2
    own.open()
    assert open_files() == before + 3
    own.close()
    assert open_files() == before


def test_closing_twice_closes_nothing_of_others(own: Segments) -> None:
    """A number of a file that is closed is soon that of another."""
    own.close()
    with ExitStack() as stack:
        others = [stack.enter_context(Path(os.devnull).open("rb")) for _ in range(8)]
        own.close()
        for other in others:
            os.fstat(other.fileno())


def test_what_cannot_be_opened_is_closed(own: Segments) -> None:
    """Another process may try then."""
    own.close()
    before = open_files()
    with refusing(errno.EIO, "read"), pytest.raises(OSError, match="Input/output error"):
        own.open()
    assert open_files() == before


def test_a_flush_covers_every_segment_that_was_written(
    own: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is full as well; each is flushed once after that."""
    own.flush()
    own.roll(SIZE)
    flushed = list[str]()

    def flush(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().stem)

    monkeypatch.setattr(files, "flush", flush)
    own.flush()
    own.flush()
    assert [int(stem) for stem in flushed] == [3, 4, 4]


def test_the_sizes_are_those_after_what_is_bad_was_cut_out(
    own: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that is far too long gets shorter."""
    own.close()
    for module in (files, reading):
        monkeypatch.setattr(module, "LONGEST_SEGMENT", SIZE)
    with Path(own.files.path(1)).open("ab") as stream:
        stream.write(b"\n" * SIZE)
    own.open()
    assert own.sizes == own.files.segments()
    assert own.sizes[1] < SIZE


# --- making and removing -------------------------------------------------------------------------


def test_a_segment_gets_a_number_that_none_had(own: Segments) -> None:
    """One that could not be made may still be there."""
    own.files.create(7, SIZE)
    own.roll(SIZE)
    assert list(own.sizes) == [1, 2, 3, 8]
    Path(own.files.path(7)).unlink()
    Path(own.files.path(8)).unlink()
    own.roll(SIZE)
    assert list(own.sizes) == [1, 2, 3, 8, 9]


def test_the_first_segment_of_all_is_1(directory: Path) -> None:
    """Before it there is no room for a line."""
    own = Segments(LogFiles(directory), FaultLog(directory), lambda: HEAD)
    own.open()
    assert own.left == 0
    own.roll(SIZE)
    assert own.files.segments() == own.sizes == {1: SIZE}
    assert own.files.read(1).rstrip(b"\n") + b"\n" == HEAD
    own.close()


def test_the_oldest_is_removed(own: Segments) -> None:
    """One that cannot be read is kept aside."""
    own.remove_oldest()
    assert own.files.segments() == own.sizes == {2: SIZE, 3: SIZE}
    assert len(own.files.damaged_sizes()) == 0
    own.given_up.add(2)
    own.remove_oldest()
    assert own.files.segments() == own.sizes == {3: SIZE}
    assert len(own.files.damaged_sizes()) == 1
    assert own.given_up == set()


def test_a_segment_grows_if_there_is_no_next_one(own: Segments) -> None:
    """Its size is never less than what is in it, and does not shrink otherwise."""
    own.write(put(4, b"x" * 2 * SIZE))
    assert own.sizes[3] == len(HEAD + put(3) + put(4, b"x" * 2 * SIZE))
    assert own.left == 0
    assert own.sizes[2] == SIZE


def test_a_segment_is_known_by_its_slot(own: Segments) -> None:
    """Also when the oldest are gone."""
    own.remove_oldest()
    assert [own.number_of(slot_of(segment)) for segment in own.sizes] == [2, 3]


# --- whose directory it is -----------------------------------------------------------------------


def test_it_is_in_place_until_somebody_moves_it(own: Segments, directory: Path) -> None:
    """The lock tells it, and the segment that is being filled."""
    assert own.is_in_place()
    assert own.is_known()
    (directory / "lock").rename(directory / "key")
    assert not own.is_in_place()
    assert not own.is_known()
    (directory / "key").rename(directory / "lock")
    assert own.is_in_place()
    Path(own.files.path(3)).rename(directory / "3")
    assert not own.is_in_place()
    assert not own.is_known()


def test_a_directory_with_a_segment_more_is_known(own: Segments) -> None:
    """One less would be another directory."""
    own.files.create(9, SIZE)
    assert own.is_known()
    Path(own.files.path(1)).unlink()
    assert not own.is_known()


# --- reading -------------------------------------------------------------------------------------


def test_a_full_segment_is_read_once(own: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until another one is wanted; those that are open are not read at all."""
    own.flush()
    reads, read = list[int](), LogFiles.read

    def noted(log_files: LogFiles, segment: int) -> bytes:
        reads.append(segment)
        return read(log_files, segment)

    monkeypatch.setattr(LogFiles, "read", noted)
    for segment in (1, 1, 2, 2, 3, 1):
        assert list(own.entries(segment)) == [segment]
    assert reads == [1, 2, 1]


def test_what_is_not_there_has_no_entries(own: Segments) -> None:
    """Nor what is given up, although it can be read again."""
    own.flush()
    assert own.entries(9) == {}
    own.given_up.add(1)
    assert own.entries(1) == {}


def test_three_tries_that_are_apart_are_the_end(own: Segments, clock: Clock) -> None:
    """However many there are in between."""
    tries = list[bool]()
    for wait_s in (0.0, 1.0, TRY_EVERY_S - 1.5, 0.5, 1.0, TRY_EVERY_S - 1.0):
        clock.now_s += wait_s
        tries.append(own.is_lost(1, BAD))
    assert tries == [False] * 5 + [True]
    assert READ_TRIES == 3


def test_a_read_in_between_starts_again(own: Segments, clock: Clock) -> None:
    """Then the disk is better."""
    own.flush()
    for _ in range(READ_TRIES - 1):
        assert not own.is_lost(1, BAD)
        clock.now_s += TRY_EVERY_S
    own.entries(1)
    assert not own.is_lost(1, BAD)


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EIO])
def test_only_a_bad_disk_loses_a_segment(own: Segments, clock: Clock, code: int) -> None:
    """And that is told once, when it has lasted."""
    lost = list[bool]()
    with unreadable(1, code):
        for _ in range(READ_TRIES):
            lost.append(own.is_lost(1, OSError(code, "no")))
            clock.now_s += TRY_EVERY_S
    assert lost == [False, False, code == errno.EIO]
    assert own.given_up == ({1} if code == errno.EIO else set())


def test_with_no_other_that_can_be_read_none_is_lost(own: Segments, clock: Clock) -> None:
    """It is the whole disk that is bad; one other is enough to tell."""
    with unreadable(1), unreadable(2):
        with unreadable(3):
            for _ in range(READ_TRIES):
                assert not own.is_lost(1, BAD)
                clock.now_s += TRY_EVERY_S
        assert own.given_up == set()
        assert own.is_lost(1, BAD)
    assert own.given_up == {1}


def test_at_the_start_each_has_its_tries(own: Segments, clock: Clock) -> None:
    """One that fails for the first time is waited for, even if another is beyond hope."""
    own.close()
    with unreadable(1):
        for _ in range(READ_TRIES - 1):
            with pytest.raises(OSError, match="Input/output error"):
                own.open()
            clock.now_s += TRY_EVERY_S
        with unreadable(2), pytest.raises(OSError, match="Input/output error"):
            own.open()
        assert list(own.files.segments()) == [1, 2, 3]
        assert list(own.open().sizes) == [2, 3]
    assert len(own.files.damaged_sizes()) == 1


def test_at_the_start_none_is_lost_if_none_can_be_read(own: Segments, clock: Clock) -> None:
    """However long it lasts."""
    own.close()
    with refusing(errno.EIO, "read"):
        for _ in range(2 * READ_TRIES):
            with pytest.raises(OSError, match="Input/output error"):
                own.open()
            clock.now_s += TRY_EVERY_S
    assert list(own.open().sizes) == [1, 2, 3]
