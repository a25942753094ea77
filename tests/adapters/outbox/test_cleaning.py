"""Tests how a log is kept small, without the thread that does it."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mqtt_http_bridge.adapters.outbox import cleaning, records
from mqtt_http_bridge.adapters.outbox.cleaning import LINE_BYTES, Cleaning
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.index import IN_MEMORY, slot_of
from mqtt_http_bridge.adapters.outbox.log import Log
from mqtt_http_bridge.adapters.outbox.losses import DAMAGED
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.room import PARKED_SHARE, Room
from tests.adapters.outbox.refusing import unreadable
from tests.adapters.outbox.support import BOOT, FORMAT, PORTAL, body_of

pytestmark = pytest.mark.usefixtures("quick_disk")
SEGMENT = 16 * 1024
LIMIT = 16 * SEGMENT
AT_A_TIME = 32
SHORT_S = 0.001


@dataclass
class Kept:
    """A log, what keeps it small, and what that has asked for."""

    log: Log
    own: Cleaning
    steps: list[None]
    """One for each call before what takes long."""
    breaths: list[float]
    """The seconds that others were given to get the lock."""

    def put(self, *minutes: int, size: int = 0) -> None:
        for minute in minutes:
            body = body_of(minute, size=size)
            self.own.make_room(len(body) + LINE_BYTES)
            self.log.put(Entry(0, PORTAL, body, is_final=True))
        self.log.flush()

    @property
    def sizes(self) -> dict[int, int]:
        return self.log.segments.sizes

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.log.index.entries()]

    @property
    def lost(self) -> int:
        return sum(loss.count for loss in self.log.losses)

    def done(self, *numbers: int) -> None:
        for number in numbers:
            self.log.tell(records.done(number, PORTAL))


@pytest.fixture
def kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """A log with one segment."""
    steps, breaths = list[None](), list[float]()
    monkeypatch.setattr(cleaning, "time", SimpleNamespace(sleep=breaths.append))
    log = Log(LogFiles(directory, LIMIT), FORMAT, BOOT)
    own = Cleaning(log, lambda: steps.append(None))
    log.reopen()
    own.bring_in()
    yield Kept(log, own, steps, breaths)
    log.segments.close()


def line_of(number: int, size: int, serials: tuple[str, ...] = ()) -> bytes:
    """A line of so many bytes."""
    make = records.replaced if serials else records.put
    entry = Entry(number, PORTAL, b"{}", True, serials, "not found" if serials else "")
    spare = size - len(make(entry))
    return make(replace(entry, body=b"{%b}" % (b" " * spare)))


# --- others --------------------------------------------------------------------------------------


def test_others_get_the_lock_while_entries_are_written_again(kept: Kept) -> None:
    """For a moment, after every 32 of them; before each segment something may be noted."""
    kept.put(*range(2 * AT_A_TIME + 1))
    for _ in range(3):
        kept.log.segments.roll(SEGMENT)
    kept.own.tidy()
    assert list(kept.sizes) == [4]
    assert kept.numbers == list(range(1, 2 * AT_A_TIME + 2))
    assert len(kept.steps) == 3
    assert len(kept.breaths) == 2
    assert 0.0 < max(kept.breaths) < SHORT_S


def test_others_get_the_lock_while_entries_are_dropped(kept: Kept) -> None:
    """The same; when it is told which ones are dropped, that is on the disk."""
    kept.put(*range(2 * AT_A_TIME + 1))
    assert kept.own.drop(["drop.all.999"]) == list(range(1, 2 * AT_A_TIME + 2))
    assert (kept.numbers, kept.lost) == ([], 2 * AT_A_TIME + 1)
    assert kept.log.unflushed == {}
    assert (len(kept.steps), len(kept.breaths)) == (3, 3)


def test_what_waits_is_on_the_disk_once_it_is_brought_in(directory: Path) -> None:
    """However many segments it takes."""
    log = Log(LogFiles(directory, LIMIT), FORMAT, BOOT)
    for minute in range(30):
        log.put(Entry(0, PORTAL, body_of(minute, size=1000), is_final=True))
    log.reopen()
    Cleaning(log).bring_in()
    assert (log.is_on_disk, log.waiting, log.unflushed) == (True, {}, {})
    assert list(log.segments.sizes.values()) == [SEGMENT, SEGMENT]
    log.segments.close()


# --- segments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("live", "left"), [(4096, [1, 2, 3]), (4064, [3])])
def test_segments_take_twice_what_is_owed_and_two(kept: Kept, live: int, left: list[int]) -> None:
    """Two of the largest; with a byte more, the oldest goes."""
    kept.log.write(line_of(1, live))
    kept.log.segments.roll(SEGMENT + 4096)
    kept.log.segments.roll(SEGMENT - 4096)
    kept.own.tidy()
    assert list(kept.sizes) == left
    assert kept.numbers == [1]


def test_a_segment_that_owes_nothing_goes(kept: Kept) -> None:
    """Even if there is only one more; the last one stays."""
    kept.put(1)
    kept.log.segments.roll(SEGMENT)
    kept.own.tidy()
    assert list(kept.sizes) == [1, 2]
    kept.done(1)
    kept.own.tidy()
    assert list(kept.sizes) == [2]
    kept.own.tidy()
    assert list(kept.sizes) == [2]
    assert kept.log.index._units.keys() <= {slot_of(2), IN_MEMORY}


def unflushed_at_removals(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that gets, at each removal, how many lines are not flushed."""
    unflushed = list[int]()
    remove = kept.log.segments.remove_oldest

    def watched() -> None:
        unflushed.append(len(kept.log.unflushed))
        remove()

    monkeypatch.setattr(kept.log.segments, "remove_oldest", watched)
    return unflushed


def test_nothing_is_removed_before_it_is_on_the_disk_elsewhere(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may come in between."""
    kept.put(1)
    for _ in range(3):
        kept.log.segments.roll(SEGMENT)
    unflushed = unflushed_at_removals(kept, monkeypatch)
    kept.own.tidy()
    assert unflushed == [0, 0, 0]
    assert kept.numbers == [1]


def test_what_took_an_entry_out_of_a_segment_is_flushed_before_it_goes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device of the last entry in it was stored a moment ago: the rest is not on the disk yet."""
    kept.put(1)
    kept.log.segments.roll(SEGMENT)
    kept.log.flush()
    kept.log.tell(line_of(1, 500, ("HQ1",)))
    unflushed = unflushed_at_removals(kept, monkeypatch)
    kept.own.tidy()
    assert unflushed == [0]
    assert kept.numbers == [1]


def test_a_flush_that_fails_while_room_is_made_ahead_is_not_overlooked(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was written again nobody knows what is on the disk: a later flush would not tell."""
    filled(kept, 3, ENTRY + SEGMENT // 16)
    limited(kept, monkeypatch, 4 * SEGMENT)
    for number in (4, 5, 6):
        kept.done(number)
    kept.log.flush()

    def refused() -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(kept.log.segments, "flush", refused)
    kept.own.tidy()
    assert not kept.log.is_on_disk
    assert kept.log.unflushed == {}
    assert kept.log.waiting.keys() >= {1, 2}
    assert 1 in kept.sizes


def test_a_segment_that_cannot_be_read_now_stays(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """That is told, and counts as a try."""
    kept.put(1)
    kept.log.segments.roll(SEGMENT)
    kept.log.segments.roll(SEGMENT)
    kept.log.flush()
    with unreadable(1):
        assert not kept.own._clean_oldest()
    assert "the outbox cannot read segment 1" in caplog.text
    assert list(kept.sizes) == [1, 2, 3]
    assert kept.numbers == [1]


def test_an_entry_whose_text_is_gone_is_counted_as_lost(kept: Kept) -> None:
    """The disk gives something else for it; the rest of the segment is written again."""
    kept.put(1, 2)
    kept.log.segments.roll(SEGMENT)
    kept.log.segments.roll(SEGMENT)
    kept.log.flush()
    path = Path(kept.log.segments.files.path(1))
    path.write_bytes(path.read_bytes().replace(b" put 1 ", b" but 1 "))
    assert kept.own._clean_oldest()
    assert kept.numbers == [2]
    (loss,) = kept.log.losses
    assert (loss.count, loss.reasons) == (1, (DAMAGED,))


def test_only_the_last_two_segments_may_be_unflushed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start flushes no others: after kill -9, a power cut would take what is in them."""
    for number in range(1, 17):
        kept.log.write(line_of(number, SEGMENT // 4))
    kept.log.segments.roll(SEGMENT)
    unflushed = list[int]()
    roll = kept.log.segments.roll

    def watched(size: int) -> None:
        roll(size)
        unflushed.append(len(kept.log.segments._tails))

    monkeypatch.setattr(kept.log.segments, "roll", watched)
    kept.own._clean_oldest()
    assert len(unflushed) >= 4
    assert max(unflushed) == 2


def refuse(kept: Kept) -> None:
    """Makes the disk refuse a flush and, as Linux does, drop what was to be flushed."""
    path = Path(kept.log.segments.files.path(1))
    before = path.read_bytes()
    kept.log.put(Entry(0, PORTAL, body_of(1), is_final=True))
    kept.log.fail(OSError(errno.EIO, "it refuses"))
    path.write_bytes(before)


def test_what_memory_has_is_not_lost_with_its_segment(kept: Kept) -> None:
    """The segment goes, and what waits is written where there is room."""
    refuse(kept)
    kept.log.reopen()
    kept.log.segments.roll(SEGMENT)
    assert kept.own._clean_oldest()
    assert (kept.numbers, kept.lost, list(kept.sizes)) == ([1], 0, [2])
    assert kept.log.waiting == {}


def test_a_rest_that_waits_is_written_before_the_whole_goes(kept: Kept) -> None:
    """Until then, the whole entry is all that the disk has of it."""
    kept.put(1)
    kept.log.segments.roll(SEGMENT)
    kept.log.flush()
    kept.log.tell(line_of(1, 500, ("HQ1",)))
    kept.log.fail(OSError(errno.EIO, "it refuses"))
    kept.log.reopen()
    kept.log.segments.roll(SEGMENT)
    assert kept.own._clean_oldest()
    assert (kept.numbers, kept.log.waiting, kept.log.unflushed) == ([1], {}, {})


def test_what_memory_has_is_not_given_up_with_its_segment(kept: Kept) -> None:
    """The segment cannot be read any more."""
    refuse(kept)
    kept.log.lose_all_in(1, DAMAGED)
    assert (kept.numbers, kept.lost) == ([1], 0)


@pytest.mark.parametrize(("missing", "left"), [(0, [3]), (1, [3, 4])])
def test_what_is_written_again_makes_no_segment_grow(
    kept: Kept, missing: int, left: list[int]
) -> None:
    """If it might not fit, there is a new one."""
    kept.log.write(line_of(1, 3000))
    (entry,) = kept.log.needed_in(1)
    for _ in range(2):
        kept.log.segments.roll(SEGMENT)
    needed = len(entry.body) + LINE_BYTES - missing
    kept.log.segments.write(records.note(b"x", "").ljust(kept.log.segments.left - needed, b" "))
    assert kept.log.segments.left == needed
    kept.log.flush()
    kept.own._clean_oldest()
    kept.own._clean_oldest()
    assert list(kept.sizes) == left
    assert set(kept.sizes.values()) == {SEGMENT}
    assert kept.numbers == [1]


@pytest.mark.parametrize(("missing", "left"), [(0, [1]), (1, [1, 2])])
def test_the_next_segment_is_made_when_a_sixteenth_is_left(
    kept: Kept, missing: int, left: list[int]
) -> None:
    """Not before."""
    segments = kept.log.segments
    kept.log.write(line_of(1, segments.left - SEGMENT // 16 + missing))
    kept.own.tidy()
    assert list(kept.sizes) == left


# --- room ----------------------------------------------------------------------------------------

ENTRY = SEGMENT * 7 // 16
"""A segment with two such entries is as full as counts as full."""
SIZE = 4000
"""More than is left in it."""


def limited(kept: Kept, monkeypatch: pytest.MonkeyPatch, max_bytes: int, free: int = 10**9) -> None:
    """Sets what the outbox may take, and what is free on its disk."""
    files = kept.log.segments.files

    def room() -> Room:
        return Room(free, 10**10, sum(files.segments().values()), max_bytes)

    monkeypatch.setattr(kept.log.segments.files, "room", room)


def filled(kept: Kept, count: int, last: int = ENTRY) -> None:
    """Fills so many segments, each with two entries."""
    for number in range(1, 2 * count + 1):
        if number % 2 and number > 1:
            kept.log.segments.roll(SEGMENT)
        kept.log.write(line_of(number, last if number == 2 * count else ENTRY))
    kept.log.flush()


def test_what_there_is_room_for_costs_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the new segment, and for one more, is enough."""
    filled(kept, 3)
    limited(kept, monkeypatch, 5 * SEGMENT)
    kept.own.make_room(SIZE)
    assert list(kept.sizes) == [1, 2, 3, 4]
    assert (kept.steps, kept.lost) == ([], 0)


@pytest.mark.parametrize("count", [2, 5])
def test_the_oldest_go_at_once_if_seven_eighths_are_owed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """As many as make up a segment; cleaning up would not help."""
    filled(kept, count)
    limited(kept, monkeypatch, (count + 1) * SEGMENT)
    kept.own.make_room(SIZE)
    assert kept.numbers == [*range(4, 2 * count + 1)]
    assert list(kept.sizes) == [*range(2, count + 2)]
    assert len(kept.steps) == 2  # One for what is given up, one for the segment.


def test_the_oldest_go_last_if_cleaning_up_may_help(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each segment is written again once, and one more."""
    filled(kept, 5, ENTRY - 512)
    limited(kept, monkeypatch, 6 * SEGMENT)
    kept.own.make_room(SIZE)
    assert kept.numbers == [4, 5, 6, 7, 8, 9, 10]
    assert len(kept.steps) == 6 + 2


def test_the_only_segment_stays(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing that could make room for a second one."""
    filled(kept, 1)
    limited(kept, monkeypatch, 2 * SEGMENT)
    with pytest.raises(OSError, match="expected room for"):
        kept.own.make_room(SIZE)
    assert (kept.numbers, list(kept.sizes)) == ([1, 2], [1])


def test_nothing_goes_for_a_segment_that_cannot_be_read_now(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be read later; until then, what comes is kept in memory."""
    filled(kept, 5, ENTRY - 512)
    limited(kept, monkeypatch, 6 * SEGMENT)
    with unreadable(1), pytest.raises(OSError, match="expected room for"):
        kept.own.make_room(SIZE)
    assert (len(kept.numbers), kept.lost) == (10, 0)
    assert list(kept.sizes) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("more", "is_enough"), [(0, True), (1, False)])
def test_cleaning_up_ends_when_there_is_room(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, more: int, *, is_enough: bool
) -> None:
    """To the byte."""
    kept.log.write(line_of(1, 4096))
    kept.log.write(line_of(2, 4096))
    kept.log.segments.roll(SEGMENT)
    for number in (3, 4):
        kept.log.write(line_of(number, ENTRY))
    kept.log.flush()
    limited(kept, monkeypatch, 3 * SEGMENT)
    again = 2 * (4096 + len("narrow") - len("put"))
    kept.own.make_room(SEGMENT - len(kept.log._head()) - again + more)
    assert (list(kept.sizes) == [2, 3]) is is_enough
    assert (len(kept.steps) == 1) is is_enough


@pytest.mark.parametrize(("less", "left"), [(0, [1, 2, 3]), (1, [2, 3])])
def test_there_has_to_be_room_for_the_largest_segment_once_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, less: int, left: list[int]
) -> None:
    """All that it owes may have to be written again."""
    largest = SEGMENT + 4096
    kept.log.write(line_of(1, ENTRY))
    kept.log.segments.roll(largest)
    kept.log.write(line_of(2, largest - 2048))
    kept.log.flush()
    limited(kept, monkeypatch, SEGMENT + largest + SEGMENT + largest - less)
    kept.own.make_room(SIZE)
    assert list(kept.sizes) == left


def test_on_a_full_disk_a_segment_is_as_long_as_the_largest(kept: Kept) -> None:
    """So that it can replace that one; the very first is as long as any."""
    full = Room(0, 10**10, 0, 10**9)
    kept.sizes.clear()
    assert kept.own._wanted_for(100, full) == full.segment_bytes
    kept.sizes.update({1: 20_480, 2: 40_960, 3: 20_480})
    assert kept.own._wanted_for(100, full) == 40_960


# --- entries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("over", "gone"), [(0, 0), (1, 1), (320, 1), (321, 2)])
def test_as_many_parked_entries_go_as_it_takes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, over: int, gone: int
) -> None:
    """The oldest, and none that is owed."""
    kept.log.write(line_of(1, 320))
    for number in range(2, 12):
        kept.log.write(line_of(number, 320, ("HQ1",)))
    allowed = int((3200 - over) / PARKED_SHARE)
    monkeypatch.setattr(kept.log.segments.files, "room", lambda: Room(10**9, 10**10, 0, allowed))
    kept.own.tidy()
    assert kept.numbers == [1, *range(2 + gone, 12)]
    assert kept.lost == gone


def test_while_nothing_is_parked_the_room_is_not_looked_up(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a system call for each file, and the writer tidies up at each turn."""
    kept.put(1)
    monkeypatch.setattr(kept.log.segments.files, "room", None)
    kept.own.tidy()
    assert kept.numbers == [1]


@pytest.mark.parametrize(("over", "gone"), [(0, 0), (1, 1), (320, 1), (321, 2)])
def test_as_many_entries_in_memory_go_as_it_takes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, over: int, gone: int
) -> None:
    """The oldest of them; those on the disk stay."""
    kept.log.write(line_of(1, 320))
    kept.log.flush()
    kept.log.fail(OSError(errno.EIO, "no"))
    for number in range(2, 12):
        kept.log.tell(line_of(number, 320))
    monkeypatch.setattr(cleaning, "MEMORY_BYTES", 3200 - over)
    kept.own.bound_memory()
    assert kept.numbers == [1, *range(2 + gone, 12)]
    assert kept.lost == gone
