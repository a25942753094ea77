"""Tests a segment that the disk cannot read: it is not damaged, and is waited for."""

import errno
import os
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import segments
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.reading import read_log
from tests.adapters.outbox.damaging import (
    SEGMENT,
    SMALL,
    damaged,
    numbers_in,
    owed_in,
    roll,
    segment_of,
)
from tests.adapters.outbox.refusing import refusing, unreadable
from tests.adapters.outbox.support import (
    PORTAL,
    crash,
    give_back,
    minutes,
    numbers,
    opened,
    settled,
    store,
    take,
)

pytestmark = pytest.mark.usefixtures("quick_disk")
GONE = "the disk cannot read segment 1"


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_what_cannot_be_read_now_is_not_damaged(sound: Path, code: int) -> None:
    """Nothing is moved, nothing is written; once it can be read again it is all there."""
    before = segment_of(sound).read_bytes()
    with refusing(code, "open"), opened(sound, max_bytes=SMALL) as outbox:
        assert outbox.view().fault == os.strerror(code)
        store(outbox, 5)
        assert minutes(outbox) == [5]
    assert segment_of(sound).read_bytes() == before
    assert damaged(sound) == []
    assert owed_in(sound) == {1, 2, 3, 4}


def pass_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try comes so much later that it counts."""
    monkeypatch.setattr(segments, "TRY_EVERY_S", 0.0)


def test_an_entry_that_cannot_be_read_now_stays(sound: Path) -> None:
    """It is handed out once the disk gives it again, however often it was wanted meanwhile."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        with unreadable(1):
            for _ in range(10):
                assert outbox.take(PORTAL, 1) is None
        assert minutes(outbox) == [1, 2, 4, 90, 91, 92]


def test_a_read_that_fails_at_times_never_adds_up(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three failures count only in a row."""
    pass_some_seconds(monkeypatch)
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        for _ in range(3):
            with unreadable(1):
                assert outbox.take(PORTAL, 1) is None
                assert outbox.take(PORTAL, 1) is None
            give_back(outbox, take(outbox, 1))
            give_back(outbox, take(outbox, 6))


def test_a_segment_that_can_never_be_read_again(
    sound: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its entries are given up after three tries, with where they were; all the rest goes on."""
    pass_some_seconds(monkeypatch)
    with unreadable(1), opened(sound, max_bytes=SMALL) as outbox:
        pass
    assert numbers_in(sound) == [1, 2, 3, 4]
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        with unreadable(1):
            assert [outbox.take(PORTAL, 1) for _ in range(3)] == [None] * 3
            assert minutes(outbox) == [91, 92]
            settled(outbox)
        (loss,) = outbox.view().losses
        assert (loss.count, loss.reason) == (5, GONE)
        assert str(loss) == f"5 of unknown time ({GONE})"
        assert outbox.view().fault is None
        assert caplog.text.count("the outbox cannot read segment 1") == 1
        assert not segment_of(sound).exists()
        assert (sound / "damaged" / SEGMENT).exists()
        crash(outbox)
    assert numbers_in(sound) == [6, 7]


def test_a_segment_that_is_given_up_is_not_read_for_each_of_its_entries(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad disk takes seconds to say no, and everybody else waits for it meanwhile."""
    pass_some_seconds(monkeypatch)
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        with unreadable(1), monkeypatch.context() as patch:
            refused, reads = LogFiles.read, list[int]()

            def read(log_files: LogFiles, segment: int) -> bytes:
                reads.append(segment)
                return refused(log_files, segment)

            patch.setattr(LogFiles, "read", read)
            assert [outbox.take(PORTAL, 1) for _ in range(3)] == [None] * 3
            settled(outbox)
        assert reads.count(1) == 3
        assert minutes(outbox) == [91, 92]


def test_a_segment_that_cannot_be_read_now_is_tidied_up_later(sound: Path) -> None:
    """The writer does not try again and again meanwhile, but goes on with what comes."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        outbox.settle(take(outbox, 5), None)
        with unreadable(1):
            for number in (6, 7):
                outbox.settle(take(outbox, number), None)
            store(outbox, 93)
            settled(outbox)
            assert segment_of(sound).exists()
        settled(outbox)
        assert not segment_of(sound).exists()
        assert minutes(outbox) == [1, 2, 4, 93]


def test_a_segment_that_somebody_removes(sound: Path) -> None:
    """It is gone, as after a start: nobody waits for its entries, and the others go on."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        segment_of(sound).unlink()
        assert outbox.take(PORTAL, 1) is None
        outbox.writer._next_look_s = 0.0
        settled(outbox)
        assert numbers(outbox) == [6, 7]
        assert minutes(outbox) == [91, 92]
        assert outbox.view().fault is None
        crash(outbox)
    assert numbers_in(sound) == [6, 7]


def test_what_was_settled_in_a_segment_that_is_lost_stays_settled(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `done` of an entry may lie in it: what lies before it is written again first."""
    pass_some_seconds(monkeypatch)
    with opened(sound, max_bytes=SMALL) as outbox:
        store(outbox, 91, size=12_000)
        store(outbox, 92, size=12_000)
        outbox.settle(take(outbox, 1), None)
        store(outbox, *range(93, 98), size=12_000)
        with unreadable(2):
            assert [outbox.take(PORTAL, 6) for _ in range(3)] == [None] * 3
            settled(outbox)
        assert (sound / "damaged" / "0000000000000002.log").exists()
        crash(outbox)
    with opened(sound, max_bytes=SMALL) as outbox:
        assert minutes(outbox) == [2, 4, 91, 93, 94, 95, 96, 97]


def test_a_segment_that_cannot_be_read_at_the_start(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, and after three tries the rest goes on: what may be lost is counted."""
    pass_some_seconds(monkeypatch)
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
    with unreadable(1), opened(sound, max_bytes=SMALL) as outbox:
        for _ in range(2):
            assert minutes(outbox) == []
            assert outbox.view().fault == "Input/output error"
            outbox.writer._next_look_s = 0.0
            settled(outbox)
        assert minutes(outbox) == [91, 92]
        assert outbox.view().fault is None
        (loss,) = outbox.view().losses
        assert (loss.count, loss.reason) == (5, f"{GONE}: at most so many")
        crash(outbox)
    assert (sound / "damaged" / SEGMENT).exists()
    assert numbers_in(sound) == [6, 7]


def test_a_disk_that_gives_nothing_is_waited_for(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no segment at all can be read, none is given up."""
    pass_some_seconds(monkeypatch)
    with refusing(errno.EIO, "read"), opened(sound, max_bytes=SMALL) as outbox:
        for _ in range(5):
            outbox.writer._next_look_s = 0.0
            settled(outbox)
        assert minutes(outbox) == []
    assert owed_in(sound) == {1, 2, 3, 4}


def test_a_segment_that_is_cleaned_away_while_somebody_looks(sound: Path) -> None:
    """It owes nothing any more; those after it are read all the same."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        in_others = numbers_in(sound)[-2:]
    with unreadable(1, errno.ENOENT):
        found = read_log(LogFiles(sound))
    assert [number for number, _ in found.index.entries()] == in_others == [6, 7]
    assert found.unreadable == []


def test_only_what_may_lie_in_a_segment_that_cannot_be_read_counts_as_lost(sound: Path) -> None:
    """The segments before it and after it tell which numbers that is."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
    with unreadable(2):
        (bad,) = read_log(LogFiles(sound)).unreadable
    assert list(bad.numbers) == [6]
