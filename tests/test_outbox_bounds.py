"""However long the backend is away, the outbox takes no more than its share; what goes is told."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, disk, inspection, told
from mqtt_http_bridge.adapters.outbox.losses import MOST_RANGES, Loss, Losses
from mqtt_http_bridge.adapters.outbox.oldest import OldestFirst
from mqtt_http_bridge.adapters.outbox.room import PARKED_SHARE, Room, room_of
from mqtt_http_bridge.core.measurement import to_json
from tests.outboxes import (
    BOOT,
    drain_parked,
    fill,
    measurement,
    minutes,
    opened,
    said,
    settings,
    take,
    take_oldest,
)

EACH = len(to_json(measurement(10)))
"""Bytes of one measurement: minutes of two digits have the same."""
GAVE_UP = "the outbox had to give up"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an outbox is going to be."""
    return tmp_path / "outbox"


def lost(directory: Path) -> list[tuple[int, int, int]]:
    """Count, first and last minute of each range that was lost."""
    minute_of = {measurement(m).timestamp.isoformat(): m for m in range(5000)}
    return [
        (loss.count, minute_of[loss.since], minute_of[loss.until])
        for loss in inspection.status(directory, None, 30.0).lost
    ]


def park(outbox: Outbox, found: Iterable[int], serial: str = "HQ1") -> None:
    """Appends a measurement for each minute, and has the backend refuse it."""
    for minute in found:
        outbox.append(measurement(minute, serial))
        entry = take_oldest(outbox)
        assert outbox.park(entry, serial, "not found")
        outbox.settle(entry, None)


# --- max_bytes ---------------------------------------------------------------------------------


def test_the_oldest_make_room(directory: Path) -> None:
    """As many as have to, and they are counted, with the time they cover, as soon as they go."""
    outbox = Outbox(settings(directory, 5 * EACH), BOOT)
    fill(outbox, *range(10, 25))
    assert lost(directory) == [(10, 10, 19)]
    assert inspection.status(directory, 5 * EACH, 30.0).bytes == 5 * EACH
    assert minutes(outbox) == [20, 21, 22, 23, 24]
    outbox.close()


def test_the_limit_is_reached_to_the_byte(directory: Path) -> None:
    """What fits exactly is kept, one byte less and the oldest goes."""
    for max_bytes, kept in ((3 * EACH, [10, 11, 12]), (3 * EACH - 1, [11, 12])):
        with opened(directory, max_bytes=max_bytes) as outbox:
            fill(outbox, 10, 11, 12)
            assert minutes(outbox) == kept


def test_a_lower_limit_holds_after_a_restart(directory: Path) -> None:
    """With the next measurement, and for what was there before."""
    with opened(directory) as outbox:
        fill(outbox, *range(10, 30))
    with opened(directory, max_bytes=3 * EACH) as outbox:
        fill(outbox, 30)
        assert lost(directory) == [(18, 10, 27)]
        assert minutes(outbox) == [28, 29, 30]


def test_the_entry_under_way_stays(directory: Path) -> None:
    """It may be stored this very moment; the next oldest goes in its place."""
    with opened(directory, max_bytes=3 * EACH) as outbox:
        fill(outbox, 10, 11, 12)
        entry = take(outbox, 1)
        fill(outbox, 13, 14)
        outbox.settle(entry, entry.measurement)
        assert lost(directory) == [(2, 11, 12)]
        assert minutes(outbox) == [10, 13, 14]


def test_a_limit_below_one_measurement(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is dropped for what would not fit anyway: it goes through memory, and is said."""
    with opened(directory) as outbox:
        fill(outbox, 10)
    with opened(directory, max_bytes=EACH + 10) as outbox:
        outbox.append(measurement(11, "A", "B"))
        assert said(caplog, "outbox.max_bytes is less than one measurement takes") == 1
        assert minutes(outbox) == [10, 11]


def test_what_a_person_removes_makes_room(directory: Path) -> None:
    """Nothing is dropped by a count that is no longer true once the sender has met a gap."""
    with opened(directory, max_bytes=3 * EACH) as outbox:
        fill(outbox, 10, 11, 12)
        inspection.drop(directory, [1, 2], parked_only=False)
        assert outbox.take(1) is None
        fill(outbox, 13, 14)
        assert lost(directory) == []
        assert minutes(outbox) == [12, 13, 14]


def test_what_is_taken_makes_room(directory: Path) -> None:
    """Whole or in part, and from the parking as well."""
    with opened(directory, max_bytes=4 * EACH) as outbox:
        for minute in range(10, 60):
            outbox.append(measurement(minute, "A", "B"))
            outbox.settle(take_oldest(outbox), measurement(minute, "B"))
            entry = take_oldest(outbox)
            outbox.park(entry, "B", "not found")
            outbox.settle(entry, None)
            drain_parked(outbox, "B")
        fill(outbox, *range(60, 64))
        assert lost(directory) == []


# --- free space --------------------------------------------------------------------------------


class Space:
    """Free space as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 10**9
        monkeypatch.setattr(disk, "room_of", lambda _: Room(self.free, size=10**10, block=4096))


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Space:
    """A disk of 10 GB with 1 GB free: the floor is at 50 MB."""
    return Space(monkeypatch)


def test_below_the_floor_it_grows_no_more(directory: Path, space: Space) -> None:
    """The oldest go for the newest, one for one: others have filled the disk, not the outbox."""
    with opened(directory) as outbox:
        fill(outbox, *range(10, 20))
        space.free = 50_000_000
        fill(outbox, 20, 21, 22)
        assert lost(directory) == [(3, 10, 12)]
        space.free = 50_000_001
        fill(outbox, 23)
        assert minutes(outbox) == list(range(13, 24))


def test_below_the_floor_with_nothing_to_drop(
    directory: Path, space: Space, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory it is, said once, and back to the disk when there is room."""
    with opened(directory) as outbox:
        space.free = 0
        fill(outbox, 10, 11, 12)
        assert said(caplog, "too little free space") == 1
        assert not list((directory / "waiting").iterdir())
        space.free = 10**9
        fill(outbox, 13)
        assert len(list((directory / "waiting").iterdir())) == 4
        assert minutes(outbox) == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("size", "floor"), [(10**10, 50_000_000), (10**8, 10_000_000), (5 * 10**8, 50_000_000)]
)
def test_the_floor(size: int, floor: int) -> None:
    """50 MB, or a tenth of a disk that is small; at the floor is not above it."""
    assert Room(0, size, 4096).floor == floor
    assert not Room(floor, size, 4096).is_above_floor
    assert Room(floor + 1, size, 4096).is_above_floor


@pytest.mark.parametrize(("free", "limit"), [(10**10, 64_000_000), (10**8, 20_000_000), (0, 0)])
def test_the_limit_where_none_is_set(free: int, limit: int) -> None:
    """64 MB, or a fifth of what is free if that is less."""
    assert Room(free, 10**11, 4096).default_max_bytes == limit


def test_what_waits_already_is_not_held_against_the_default(directory: Path, space: Space) -> None:
    """A restart on a disk that we ourselves have filled does not shrink the limit."""
    with opened(directory) as outbox:
        fill(outbox, *range(10, 20))
    space.free = 50_000_001
    with opened(directory, max_bytes=None) as outbox:
        fill(outbox, 20)
        assert lost(directory) == []
        assert minutes(outbox) == list(range(10, 21))


def test_the_room_of_a_real_disk(tmp_path: Path) -> None:
    """Plausible, in bytes."""
    room = room_of(tmp_path)
    assert 0 <= room.free <= room.size
    assert 0 < room.block <= 1 << 20


# --- parked ------------------------------------------------------------------------------------


def test_the_parked_take_a_quarter(directory: Path) -> None:
    """The oldest of them go first, counted; what waits is not touched for them."""
    with opened(directory, max_bytes=40 * EACH) as outbox:
        park(outbox, range(10, 30))
        fill(outbox, *range(30, 60))
        assert lost(directory) == [(10, 10, 19)]
        assert drain_parked(outbox, "HQ1") == list(range(20, 30))
        assert minutes(outbox) == list(range(30, 60))
    assert PARKED_SHARE == 0.25


def test_the_oldest_parked_goes_first_whosesoever(directory: Path) -> None:
    """Devices share the limit: one that was parked long ago does not keep a new one out."""
    with opened(directory, max_bytes=40 * EACH) as outbox:
        park(outbox, range(10, 20), "HQ1")
        park(outbox, range(20, 24), "HQ2")
        assert drain_parked(outbox, "HQ1") == list(range(14, 20))
        assert drain_parked(outbox, "HQ2") == list(range(20, 24))


def test_what_waits_goes_before_what_is_parked(directory: Path) -> None:
    """Only when nothing waits any more is the parking emptied for a new measurement."""
    with opened(directory, max_bytes=4 * EACH) as outbox:
        park(outbox, [10])
        fill(outbox, *range(11, 20))
        assert drain_parked(outbox, "HQ1") == [10]
        assert minutes(outbox) == [17, 18, 19]


def test_parked_entries_go_when_nothing_waits(directory: Path) -> None:
    """A backend that refuses a device for ever does not keep the others out."""
    with opened(directory, max_bytes=40 * EACH) as outbox:
        park(outbox, range(10, 20))
    with opened(directory, max_bytes=4 * EACH) as outbox:
        fill(outbox, 20)
        assert lost(directory) == [(7, 10, 16)]
        assert drain_parked(outbox, "HQ1") == [17, 18, 19]


def test_the_oldest_parked_is_known_though_it_came_last(directory: Path) -> None:
    """A backlog is refused after what was measured just now: its entries are older all the same."""
    with opened(directory, max_bytes=12 * EACH) as outbox:
        fill(outbox, 10, 11, 12, 13, 14)
        for number in (5, 4, 3, 1, 2):
            entry = take(outbox, number)
            outbox.park(entry, "HQ1", "not found")
            outbox.settle(entry, None)
        assert drain_parked(outbox, "HQ1") == [11, 13, 14]


# --- how losses are told -----------------------------------------------------------------------


class Watch:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_losses_are_told_once_an_hour(
    directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, then all that came since in one line, with its time; nothing twice."""
    watch = Watch()
    monkeypatch.setattr(told, "time", watch)
    with opened(directory, max_bytes=2 * EACH) as outbox:
        fill(outbox, *range(10, 20))
        assert said(caplog, GAVE_UP) == 1
        assert said(caplog, "give up 1 measurements: 1 from 2026-03-14T06:10:00+00:00 to") == 1
        watch.now_s += 3599.0
        fill(outbox, 20)
        assert said(caplog, GAVE_UP) == 1
        watch.now_s += 1.0
        fill(outbox, 21)
        assert said(caplog, "give up 9 measurements: 9 from 2026-03-14T06:11:00+00:00 to") == 1
        watch.now_s += 7200.0
        minutes(outbox)
        fill(outbox, 22)
        assert said(caplog, GAVE_UP) == 2


def test_losses_outlive_a_crash(directory: Path) -> None:
    """They are on the disk as soon as they are made, and are added to after a restart."""
    for start in (10, 20):
        outbox = Outbox(settings(directory, 2 * EACH), BOOT)
        fill(outbox, *range(start, start + 5))
        outbox._disk.close()
    assert lost(directory) == [(8, 10, 22)]


def test_old_losses_are_not_told_again(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A restart is no news of them."""
    with opened(directory, max_bytes=2 * EACH) as outbox:
        fill(outbox, *range(10, 15))
    caplog.clear()
    with opened(directory, max_bytes=2 * EACH) as outbox:
        assert said(caplog, GAVE_UP) == 0


def stamp(day: int, hour: int = 0) -> str:
    return f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T{hour:02d}:00:00+00:00"


def test_losses_are_told_apart_by_day_and_reason(tmp_path: Path) -> None:
    """A range does not claim more time than was lost, nor another reason."""
    losses = Losses(tmp_path / "lost.json")
    for day, hour, reason in ((1, 1, "a"), (1, 5, "a"), (2, 1, "a"), (2, 2, "b"), (2, 3, "b")):
        losses.add(stamp(day, hour), reason)
    assert losses.ranges == [
        Loss(2, stamp(1, 1), stamp(1, 5), "a"),
        Loss(1, stamp(2, 1), stamp(2, 1), "a"),
        Loss(2, stamp(2, 2), stamp(2, 3), "b"),
    ]


def test_no_loss_is_forgotten_after_many_days(tmp_path: Path) -> None:
    """The oldest ranges become one: their count, time and reasons stay."""
    losses = Losses(tmp_path / "lost.json")
    for day in range(MOST_RANGES + 10):
        losses.add(stamp(day), "a" if day else "b")
    assert len(losses.ranges) == MOST_RANGES
    assert losses.ranges[0] == Loss(11, stamp(0), stamp(10), "b, a")
    assert sum(loss.count for loss in losses.ranges) == MOST_RANGES + 10
    assert sum(loss.count for loss in losses.take_untold()) == MOST_RANGES + 10
    assert losses.take_untold() == []
    losses.save()
    again = Losses(tmp_path / "lost.json")
    again.load()
    assert again.ranges == losses.ranges


# --- which is the oldest -----------------------------------------------------------------------


def test_the_oldest_are_looked_up_by_the_thousand() -> None:
    """Dropping one after the other does not read the directory for each."""
    there = [(number, "") for number in range(1, 2501)]
    scans: list[int] = []

    def scan(most: int) -> list[tuple[int, str]]:
        scans.append(most)
        return there[:most]

    oldest, found = OldestFirst(scan), []
    while (key := oldest.pop()) is not None:
        found.append(key)
        there.remove(key)
    assert [number for number, _ in found] == list(range(1, 2501))
    assert scans == [1000] * 4


def test_one_that_comes_late_is_still_the_oldest() -> None:
    """It is handed out in its place; one beyond the horizon waits for the next look."""
    there = [(2, ""), (4, "")]
    oldest = OldestFirst(lambda most: list(there))
    assert oldest.pop() == (2, "")
    oldest.add((3, ""))
    oldest.add((9, ""))
    assert oldest.pop() == (3, "")
    assert oldest.pop() == (4, "")
    there[:] = [(9, "")]
    assert oldest.pop() == (9, "")
