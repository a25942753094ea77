"""Tests that the outbox never takes more than its share, and reports what it gives up."""

import time
from functools import partialmethod
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox import Outbox, fault_log
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.index import Index, bytes_in
from mqtt_http_bridge.adapters.outbox.losses import (
    MOST_RANGES,
    losses_text,
    read_losses,
    with_loss,
)
from mqtt_http_bridge.adapters.outbox.room import SEGMENT_BYTES, Room
from mqtt_http_bridge.core.views import Loss
from tests.adapters.outbox.support import (
    FORMAT,
    PORTAL,
    body_of,
    crash,
    lost,
    minute_of,
    minutes,
    numbers,
    opened,
    parked,
    settled,
    store,
    take,
)
from tests.support.extent import extent

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("quick_disk")]
LIMIT = 400_000


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


# --- max_bytes ---------------------------------------------------------------------------------


def test_the_oldest_make_room(directory: Path) -> None:
    """The outbox is never larger than it may be, and uses most of that; what goes is counted."""
    with opened(directory, max_bytes=LIMIT) as outbox:
        for first in range(1, 1001, 20):
            store(outbox, *range(first, first + 20), size=1000)
            assert size_of(directory) <= LIMIT
        kept = minutes(outbox)
        assert kept == list(range(1001 - len(kept), 1001))
        assert len(kept) * 1000 > 0.75 * LIMIT
        gone = outbox.view().losses
        assert sum(loss.count for loss in gone) == 1000 - len(kept)
        assert gone[0].since == FORMAT.timestamp(body_of(1))
        assert gone[-1].until == FORMAT.timestamp(body_of(1000 - len(kept)))
        assert {loss.reason for loss in gone} == {"no room"}
        crash(outbox)
    with opened(directory, max_bytes=LIMIT) as outbox:
        assert minutes(outbox) == kept
        assert outbox.view().losses == gone


def test_nothing_goes_while_tidying_up_makes_room(directory: Path) -> None:
    """Gaps that were left by what was sent out of turn are closed before anything is given up."""
    limit = 16 * 16_384
    with opened(directory, max_bytes=limit) as outbox:
        for minute in range(1, 1000):
            store(outbox, minute, size=2000)
            if minute % 3 == 0:
                owed = numbers(outbox)
                outbox.settle(take(outbox, owed[len(owed) // 2]), None)
            settled(outbox)
            if outbox.view().losses:
                break
        assert len(minutes(outbox)) * 2000 > 0.7 * limit


def test_the_next_segment_is_made_ahead(directory: Path) -> None:
    """A measurement finds room in one: it need not wait until another is on the disk."""
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        log = LogFiles(directory)
        for minute in range(1, 40):
            store(outbox, minute, size=500)
            settled(outbox)
            newest, size = list(log.segments().items())[-1]
            assert size - len(log.read(newest).rstrip(b"\n")) > size / 16 - 1


def test_what_is_sent_leaves_the_disk(directory: Path) -> None:
    """All files take twice what is owed at most, and the segments it takes to tidy them up."""
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        store(outbox, *range(1, 81), size=2000)
        for number in numbers(outbox):
            if number % 3:
                outbox.settle(take(outbox, number), None)
        settled(outbox)
        assert len(minutes(outbox)) == 26
        assert size_of(directory) <= 2 * 26 * 2000 + 3 * 16_384


def test_the_oldest_go_whosesoever_they_are(directory: Path) -> None:
    """One GX that is never delivered does not keep the others out; the newest of all stay."""
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, *range(1, 200), portal="old", size=1000)
        store(outbox, *range(200, 700), portal="new", size=1000)
        assert minutes(outbox, "old") == []
        assert minutes(outbox, "new")[-1] == 699


def test_an_entry_under_way_stays(directory: Path) -> None:
    """It may be stored this very moment; those after it go in its place."""
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, 1, 2, 3, size=1000)
        entry = take(outbox, 2)
        store(outbox, *range(4, 1000), size=1000)
        assert minutes(outbox)[:1] == [2]
        take(outbox, 2)
        outbox.settle(entry, None)
        assert minutes(outbox)[0] > 500


def test_a_lower_limit_holds_after_a_restart(directory: Path) -> None:
    """With what comes next, for what was there before."""
    with opened(directory, max_bytes=4 * LIMIT) as outbox:
        store(outbox, *range(1, 1001), size=1000)
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, *range(1001, 1200), size=1000)
        assert size_of(directory) <= LIMIT
        assert minutes(outbox)[-1] == 1199


def test_a_limit_that_holds_nothing(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It goes through memory, and which setting is too low is said."""
    with opened(directory, max_bytes=10_000) as outbox:
        store(outbox, 1)
        assert minutes(outbox) == [1]
        assert "outbox.max_bytes allows: set it higher" in caplog.text


def test_an_entry_longer_than_a_segment(directory: Path) -> None:
    """A GX with two hundred chargers: it gets a segment of its size."""
    with opened(directory) as outbox:
        store(outbox, 1, size=700_000)
        store(outbox, 2)
        assert minutes(outbox) == [1, 2]
        crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]


def test_an_entry_of_a_whole_segment_at_the_limit(directory: Path) -> None:
    """Room is made for all that the new segment takes: the entry does not stay in memory."""
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, *range(1, 400), size=1000)
        for size in range(20_000, 29_000, 1000):
            store(outbox, 400 + size // 1000, size=size)
            assert outbox.view().fault is None
            assert size_of(directory) <= LIMIT


# --- free space --------------------------------------------------------------------------------


class Space:
    """Free space as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 10**9
        self.size = 10**10
        self._room = LogFiles.room
        monkeypatch.setattr(LogFiles, "room", partialmethod(_room_with, self))

    def as_wanted(self, log_files: LogFiles) -> Room:
        found = self._room(log_files)
        return found._replace(free=self.free - found.used, size=self.size)


def _room_with(log_files: LogFiles, space: Space) -> Room:
    return space.as_wanted(log_files)


def test_below_the_floor_it_grows_no_more(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go for the newest: others have filled the disk, not the outbox."""
    space = Space(monkeypatch)
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, *range(1, 101), size=1000)
        before = size_of(directory)
        space.free = 50_000_000
        store(outbox, *range(101, 301), size=1000)
        assert size_of(directory) <= before + 2 * 24_576
        assert minutes(outbox)[-1] == 300
        assert lost(outbox) + len(minutes(outbox)) == 300
        space.free = 10**9
        store(outbox, *range(301, 400), size=1000)
        assert size_of(directory) > before + 3 * 24_576


def test_a_start_on_a_full_disk_is_not_for_ever(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of nothing is nothing; once there is space, the default is a fifth of that."""
    space = Space(monkeypatch)
    space.free = 0
    with opened(directory, max_bytes=None) as outbox:
        store(outbox, 1, 2)
        assert outbox.view().in_memory == 2
        space.free = 10**9
        outbox.writer._next_look_s = 0.0
        settled(outbox)
        assert outbox.view().in_memory == 0
        assert minutes(outbox) == [1, 2]


@pytest.mark.parametrize("left", [60_000, 100_000, 200_000, 300_000, 1_000_000, 3_000_000])
def test_a_disk_that_is_nearly_full_is_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Nothing is given up, or kept in memory only, while most of what may be used is not."""
    space = Space(monkeypatch)
    space.size, space.free = 10**8, 10**7 + left
    with opened(directory, max_bytes=None) as outbox:
        room = outbox.room()
        assert room is not None
        most = min(left, room.allowed)
        count = 0
        while not lost(outbox):
            count += 8
            store(outbox, *range(count - 7, count + 1), size=1000)
            assert outbox.view().fault is None
            assert size_of(directory) <= most + 8192
        assert 1000 * count > 0.7 * most
        for last in range(count + 8, count + 88, 8):
            store(outbox, *range(last - 7, last + 1), size=1000)
            assert 1000 * len(minutes(outbox)) > 0.4 * most
            assert outbox.view().fault is None


@pytest.mark.parametrize(
    ("size", "floor"), [(10**10, 50_000_000), (10**8, 10_000_000), (5 * 10**8, 50_000_000)]
)
def test_the_floor(size: int, floor: int) -> None:
    """50 MB, or a tenth of a disk that is small; what is free above it may be used."""
    assert Room(0, size, 0, None).floor == floor
    assert Room(floor + 7, size, 5, 10**9).limit == 12
    assert Room(floor - 7, size, 5, 10**9).limit == 5
    assert Room(floor - 7, size, 5, 10**9).most_beside(1, kept=9) == 4


@pytest.mark.parametrize(
    ("free", "used", "allowed"),
    [(10**10, 0, 64_000_000), (10**8, 0, 20_000_000), (0, 0, 0), (9 * 10**7, 10**7, 20_000_000)],
)
def test_the_limit_where_none_is_set(free: int, used: int, allowed: int) -> None:
    """64 MB, or a fifth of what is free if that is less; our own files do not shrink it."""
    assert Room(free, 10**11, used, None).allowed == allowed


def test_the_size_of_a_segment() -> None:
    """256 KiB, whole pages, and smaller where there is little room."""
    assert Room(10**10, 10**11, 0, 64_000_000).segment_bytes == SEGMENT_BYTES
    assert Room(10**10, 10**11, 0, 1_000_000).segment_bytes == 61_440
    assert Room(10**10, 10**11, 0, 1000).segment_bytes == 16_384


def test_a_segment_for_a_long_line() -> None:
    """It is as long as it has to be, in whole pages."""
    assert Room(10**10, 10**11, 0, 64_000_000).segment_for(1000, 0) == SEGMENT_BYTES
    assert Room(10**10, 10**11, 0, 64_000_000).segment_for(SEGMENT_BYTES, 0) == 270_336


# --- parked ------------------------------------------------------------------------------------


def test_the_parked_take_a_quarter(directory: Path) -> None:
    """The oldest of them go first, counted; what is owed is not touched for them."""
    with opened(directory, max_bytes=LIMIT) as outbox:
        store(outbox, 1, size=1000)
        for minute in range(2, 200):
            store(outbox, minute, serials=["B"], size=1000)
            entry = take(outbox, outbox.newest(PORTAL) or 0)
            outbox.park(entry, entry.body, ["B"], "not found")
        settled(outbox)
        kept = parked(outbox, "B")
        assert kept == list(range(200 - len(kept), 200))
        assert 0.15 * LIMIT < 1000 * len(kept) < 0.25 * LIMIT
        assert minutes(outbox) == [1]
        assert lost(outbox) == 198 - len(kept)


# --- no entry comes back -----------------------------------------------------------------------


BEATS = extent(2016, 7 * 24 * 120)
"""Measurements of each GX: a tenth of a week, or all of it."""
BODY_BYTES = extent(0, 600)
"""The least length of a body: no more than it must have, or about that of two chargers."""
MOST_BYTES = extent(8_000_000, 100_000_000)
"""Room for all that is parked, which may take a quarter."""


@pytest.mark.once
@pytest.mark.slow
def test_one_refused_device_of_sixty_gx_devices_for_a_week(directory: Path) -> None:
    """Every restart knows exactly what is owed, and the disk holds at most twice that.

    The short run has a tenth of the entries, of a tenth of the length: as many segments a day.
    """
    refused, held = "gx7", list[int]()
    with opened(directory, max_bytes=MOST_BYTES) as outbox:
        for beat in range(BEATS):
            for portal in range(60):
                body = body_of(beat, size=BODY_BYTES)
                outbox.store(body, portal_id=f"gx{portal}", is_clock_trusted=True)
            if beat % 4 == 3:
                settled(outbox)
                for name in outbox.portal_ids():
                    settle_all(outbox, name, is_parked=name == refused)
            held.append(beat)
    for _ in range(3):
        with opened(directory, max_bytes=MOST_BYTES) as outbox:
            assert [p.portal_id for p in outbox.view().portals if p.owed] == []
            assert parked(outbox, "HQ1", refused) == held
            settled(outbox)
            owed = outbox._log.index.live_bytes()
            sizes = LogFiles(directory).segments().values()
            assert sum(sizes) <= 2 * owed + 2 * SEGMENT_BYTES
            crash(outbox)


def settle_all(outbox: Outbox, portal: str, *, is_parked: bool) -> None:
    for number in numbers(outbox, portal):
        entry = take(outbox, number, portal)
        if is_parked:
            outbox.park(entry, entry.body, ["HQ1"], "the backend fails on it")
        else:
            outbox.settle(entry, None)


# --- how losses are told -----------------------------------------------------------------------


def test_losses_are_told_once_an_hour(
    directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, then all that came since in one line; earlier ones never."""
    now = [100_000.0]
    told = fault_log.FaultLog(directory)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ranges = with_loss((), "2026-03-14T06:00:00", "no room")
    told.lost(ranges)
    assert "give up" not in caplog.text
    for after_s, count in ((0.0, 1), (3599.0, 0), (1.0, 2)):
        now[0] += after_s
        caplog.clear()
        ranges = with_loss(ranges, "2026-03-14T06:10:00", "no room")
        told.lost(ranges)
        assert (f"give up {count} measurement" in caplog.text) == bool(count)


def stamp(day: int, hour: int = 0) -> str:
    return f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T{hour:02d}:00:00+00:00"


def test_losses_are_told_apart_by_day_and_reason() -> None:
    """A range does not claim more time than was lost, nor another reason."""
    ranges = tuple[Loss, ...]()
    for day, hour, reason in ((1, 1, "a"), (1, 5, "a"), (2, 1, "a"), (2, 2, "b"), (2, 3, "a")):
        ranges = with_loss(ranges, stamp(day, hour), reason)
    assert ranges == (
        Loss(2, stamp(1, 1), stamp(1, 5), ("a",)),
        Loss(2, stamp(2, 1), stamp(2, 3), ("a",)),
        Loss(1, stamp(2, 2), stamp(2, 2), ("b",)),
    )
    assert read_losses(losses_text(ranges).encode()) == ranges


def test_no_loss_is_forgotten_after_many_days() -> None:
    """The oldest ranges become one: their count, time and reasons stay; the text stays short."""
    ranges = tuple[Loss, ...]()
    for day in range(MOST_RANGES + 10):
        ranges = with_loss(ranges, stamp(day), "a" if day else "b")
    assert len(ranges) == MOST_RANGES
    assert ranges[0] == Loss(11, stamp(0), stamp(10), ("b", "a"))
    for number in range(500):
        ranges = with_loss(ranges, stamp(number), f"reason {number}")
    assert sum(loss.count for loss in ranges) == MOST_RANGES + 510
    assert len(losses_text(ranges)) < 6000


def test_a_reason_that_is_a_part_of_another_one_is_kept() -> None:
    """And one that is there already is not added again."""
    longer = Loss(1, stamp(1), stamp(1), ("no room in memory",))
    both = longer.merged(Loss(1, stamp(2), stamp(2), ("no room",)))
    assert both.reason == "no room in memory, no room"
    assert both.merged(both).reasons == both.reasons
    assert both.merged(Loss(1, stamp(3), stamp(3), ("x" * 200,))).reasons == both.reasons


# --- the index ---------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.integers(1, 40),
            st.sampled_from(["put", "done", "free", "parked"]),
            st.integers(0, 3),
        )
    )
)
def test_the_index_knows_what_is_owed(lines: list[tuple[int, str, int]]) -> None:
    """Whatever the order of lines, it has the last word of each; and the bytes add up."""
    index, model = Index(), dict[int, tuple[str, int, int]]()
    for number, kind, slot in lines:
        size = 32 * (1 + crc32(b"%d" % number) % 5)
        rest = {"put": [b"= {}"], "done": [], "free": [b"S"], "parked": [b"S:why {}"]}[kind]
        name = 0 if kind == "free" else number
        index.apply([kind.encode(), b"%d" % name, b"gx", *rest], slot, size)
        if kind == "free":
            model = {n: ("put", *where) for n, (_, *where) in model.items()}  # type: ignore[misc]
        elif kind == "done":
            model.pop(number, None)
        else:
            model[number] = (kind, slot, size)
    portal = index.portals.get(b"gx")
    owed = [n for n, (kind, _, _) in sorted(model.items()) if kind == "put"]
    assert list(portal.owed if portal else []) == owed
    assert [n for n, _ in index.entries()] == sorted(model)
    for slot in range(4):
        assert index.live_bytes(slot) == sum(size for _, s, size in model.values() if s == slot)
    for number, (_, _, size) in model.items():
        assert bytes_in(index.find(number, "gx") or 0) == size
    assert index.parked_bytes == sum(size for kind, _, size in model.values() if kind == "parked")
    assert minute_of(body_of(3)) == 3


def test_what_allows_no_more_is_named() -> None:
    """A limit that nobody has set is none that anybody could raise."""
    full = Room(free=0, size=1_000_000_000, used=0, max_bytes=None)
    assert "that the free space allows: make room on the disk" in full.complaint(1000)
    limited = Room(free=900_000_000, size=1_000_000_000, used=1000, max_bytes=1000)
    assert "that outbox.max_bytes allows: set it higher" in limited.complaint(1000)
