"""Tests damaged bytes: a bad line costs at most itself and a neighbour, and is reported."""

import os
import time
from pathlib import Path

import pytest

from tests.adapters.outbox.damaging import (
    SMALL,
    content_end,
    copied,
    damaged,
    line_of,
    owed_in,
    roll,
    segment_of,
)
from tests.adapters.outbox.support import (
    PORTAL,
    numbers,
    opened,
    settled,
    store,
    take,
)

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("quick_disk")]


def test_a_cut_at_every_byte(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All that is before the cut is there; of the line that was cut the rest is kept, and told."""
    data = segment_of(sound).read_bytes()
    caplog.set_level("INFO")
    for cut in range(content_end(sound) + 1):
        directory = copied(sound, "cut")
        segment_of(directory).write_bytes(data[:cut])
        whole = {
            n for n in (1, 2, 3, 4) if data.find(b" put %d " % n) < data.rfind(b"\n", 0, cut + 1)
        }
        is_partial = cut > 0 and data[cut - 1 : cut] != b"\n" and data[cut : cut + 1] != b"\n"
        caplog.clear()
        assert owed_in(directory) == whole, cut
        assert damaged(directory) == ([data[:cut].rpartition(b"\n")[2]] if is_partial else [])
        assert ("damaged in 1 place," in caplog.text) == is_partial, cut


def test_a_flip_of_every_byte(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At most the line and its neighbour are lost, and what they were is kept."""
    data = segment_of(sound).read_bytes()
    caplog.set_level("INFO")
    for place in range(content_end(sound)):
        directory = copied(sound, "flip")
        flipped = bytes([data[place] ^ (1 << place % 8)])
        segment_of(directory).write_bytes(data[:place] + flipped + data[place + 1 :])
        caplog.clear()
        found = owed_in(directory)
        assert found <= {1, 2, 3, 4}
        assert len(found) >= 2, place
        assert "damaged in 1 place," in caplog.text, place
        if found != {1, 2, 3, 4}:
            assert any(b'"timestamp"' in kept or b"put" in kept for kept in damaged(directory))


@pytest.mark.parametrize("filler", [b"\0", b"\n", b"\xff"], ids=["NULs", "line feeds", "ones"])
def test_a_sector_that_is_gone_anywhere(tmp_path: Path, filler: bytes) -> None:
    """The lines that it touches are lost, all the others are there."""
    sound = tmp_path / "sound"
    with opened(sound, max_bytes=SMALL) as outbox:
        store(outbox, *range(1, 11), size=400)
    data = segment_of(sound).read_bytes()
    for start in range(0, content_end(sound) + 512, 512):
        directory = copied(sound, "sector")
        changed = data[:start] + filler * 512 + data[start + 512 :]
        segment_of(directory).write_bytes(changed)
        whole = {n for n in range(1, 11) if line_of(data, n) in changed}
        assert whole <= owed_in(directory)
        assert len(whole) >= 7


def test_damage_is_mended_once(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next start finds a sound log; what was bad stays for a person to look at."""
    data = segment_of(sound).read_bytes()
    segment_of(sound).write_bytes(data.replace(b" put 2 ", b" put 7 "))
    assert owed_in(sound) == {1, 3, 4}
    kept = damaged(sound)
    assert [line[9:].startswith(b"put 7 ") for line in kept] == [True]
    caplog.clear()
    assert owed_in(sound) == {1, 3, 4, 99}
    assert damaged(sound) == kept
    assert "damaged" not in caplog.text


def test_damage_is_bounded(sound: Path) -> None:
    """A thousand bad stretches leave no more than 1 MB."""
    lines = [b"x" * 2000 + b" .\n" + line_of(segment_of(sound).read_bytes(), 1)] * 1000
    segment_of(sound).write_bytes(b"".join(lines))
    assert 1 in owed_in(sound)
    assert 900_000 < sum(map(len, damaged(sound))) <= 1_000_000


def test_an_entry_that_has_gone_bad_is_counted(sound: Path) -> None:
    """The line was good at the start, and its checksum fails now: the other entries are sent."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        data = segment_of(sound).read_bytes()
        segment_of(sound).write_bytes(data.replace(b"06:01:00", b"06:01:01"))
        assert outbox.take(PORTAL, 1) is None
        assert numbers(outbox) == [2, 4, 5, 6, 7]
        assert [loss.reason for loss in outbox.view().losses] == ["damaged"]


def test_an_entry_that_has_gone_bad_is_counted_when_its_segment_goes(sound: Path) -> None:
    """It cannot be written again with its neighbours, which are."""
    with opened(sound, max_bytes=SMALL) as outbox:
        roll(outbox)
        data = segment_of(sound).read_bytes()
        segment_of(sound).write_bytes(data.replace(b"06:01:00", b"06:01:01"))
        for minute in range(100, 130):
            store(outbox, minute, size=2000)
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
        outbox.settle(take(outbox, 7), None)
        settled(outbox)
        assert not segment_of(sound).exists()
        assert numbers(outbox) == [2, 4, 5, 6]
        assert [(loss.count, loss.reason) for loss in outbox.view().losses] == [(1, "damaged")]


def test_a_huge_sparse_file(sound: Path) -> None:
    """3 GB of nothing take no memory and no room; what is in front of it is there."""
    os.truncate(segment_of(sound), 3_000_000_000)
    began_s = time.monotonic()
    assert owed_in(sound) == {1, 2, 3, 4}
    assert time.monotonic() - began_s < 20
    assert segment_of(sound).stat().st_size < 1_000_000


def test_nothing_but_a_huge_sparse_file(tmp_path: Path) -> None:
    """It is cut to nothing, and the disk is used at once: what it seemed to take is free."""
    (tmp_path / "log").mkdir()
    segment_of(tmp_path).touch()
    os.truncate(segment_of(tmp_path), 3_000_000_000)
    with opened(tmp_path) as outbox:
        store(outbox, 1)
        found = outbox.view()
    assert (found.in_memory, found.fault) == (0, None)
    assert owed_in(tmp_path) == {1}
