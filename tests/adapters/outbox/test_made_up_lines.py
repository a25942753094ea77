"""Tests lines, bytes and names that no outbox would write: nothing breaks."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.clock import Boot, ClockNotes, Step, clock_notes
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.losses import read_losses
from mqtt_http_bridge.adapters.outbox.reading import read_log
from mqtt_http_bridge.adapters.outbox.records import Entry
from tests.adapters.outbox.damaging import (
    SMALL,
    content_end,
    damaged,
    owed_in,
    segment_of,
)
from tests.adapters.outbox.refusing import refusing
from tests.adapters.outbox.support import (
    PORTAL,
    bodies,
    body_of,
    minutes,
    opened,
    store,
)

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_a_newer_format_is_left_alone(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says so, touches nothing, and keeps what is measured in memory."""
    data = segment_of(sound).read_bytes()
    head = data.split(b"\n")[0]
    newer = records.encode(b"log", b"2", *head[9:].split(b" ")[2:4])
    segment_of(sound).write_bytes(data.replace(head + b"\n", newer + b"garbage\n"))
    before = segment_of(sound).read_bytes()
    with opened(sound, max_bytes=SMALL) as outbox:
        assert "expected a log of format 1 or lower, found 2" in caplog.text
        store(outbox, 5)
        assert minutes(outbox) == [5]
    assert segment_of(sound).read_bytes() == before
    assert damaged(sound) == []


def crafted(rest: bytes) -> bytes:
    """A line with a good checksum, whatever it says."""
    return b"%08x %b\n" % (crc32(rest), rest)


@pytest.mark.parametrize(
    "rest",
    [
        b"put 0 gx = {}",
        b"put 99999999999 gx = {}",
        b"put -5 gx = {}",
        b"put 12 g/x = {}",
        b"put 12 " + b"g" * 65 + b" = {}",
        b"put 12 gx",
        b"put",
        b"parked 12 gx",
        b"parked 12 gx %zz,%ff:%00 {}",
        b"done 12",
        b"done 12 gx",
        b"free 0 gx",
        b"free x gx HQ1",
        b"lost 12 gx",
        b"log",
        b"log x y z",
        b"log 1 y 99999999999999999999",
        b"log 1 \xff 5",
        b"clock 0 -",
        b"clock 0 - []",
        b'clock 0 - {"boot":{"boot_id":"b","distance_s":1e999},"first":1,"steps":[]}',
        b'clock 0 - {"boot":{"boot_id":"b","distance_s":1},"first":1,"steps":[{"first":1}]}',
        b"clock 0 - " + b"[" * 100_000,
        b"losses 0 - {}",
        b"losses 0 - [1]",
        b'losses 0 - [{"count":"x","since":1,"until":2,"reasons":[3]}]',
        b'losses 0 - [{"count":1,"since":"","until":"","reasons":"text"}]',
        b"from a later version",
    ],
)
def test_lines_that_somebody_made_up(sound: Path, rest: bytes) -> None:
    """Their checksum is good and their content is not: nothing falls over them."""
    with segment_of(sound).open("r+b") as stream:
        stream.seek(content_end(sound) + 1)
        stream.write(crafted(rest))
    assert {1, 2, 3, 4} <= owed_in(sound)
    assert {1, 2, 3, 4, 99} <= owed_in(sound)


@pytest.mark.parametrize("kind", [b"put %d gx = {}", b"done %d gx", b"log 1 0badf00d %d"])
@pytest.mark.parametrize("number", [records.LEAP_LIMIT - 1, records.NUMBER_LIMIT - 1])
def test_after_a_made_up_number_there_are_others(sound: Path, kind: bytes, number: int) -> None:
    """All that is measured after it is kept, at this start and at the next."""
    with segment_of(sound).open("r+b") as stream:
        stream.seek(content_end(sound) + 1)
        stream.write(crafted(kind % number))
    for minute in (5, 6, 7):
        with opened(sound, max_bytes=SMALL) as outbox:
            store(outbox, minute)
    assert {1, 2, 3, 4, 5, 6, 7} <= owed_in(sound)


@pytest.mark.parametrize(
    "step",
    [
        (0, 5, 1.0),
        (1, 1 << 40, 1.0),
        (1, 5, 1e300),
        (True, 5, 1.0),
        (1, 5, "1"),
        (1, 5, float("nan")),
    ],
)
def test_steps_of_the_clock_that_somebody_made_up(step: tuple[object, ...]) -> None:
    """No number in them can bring the outbox down, or move an entry out of all time."""
    notes = ClockNotes(Boot("b", 1.0), 1, (Step(1, 5, 3.0),))
    assert clock_notes(notes.to_text().encode()) == notes
    good = '{"first":1,"before":5,"step_s":3.0}'
    assert good in notes.to_text()
    bad = '{{"first":{},"before":{},"step_s":{}}}'.format(
        *(repr(x).replace("'", '"').replace("True", "true").replace("nan", "NaN") for x in step)
    )
    assert clock_notes(notes.to_text().replace(good, bad).encode()) is None


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_to_the_end(data: bytes) -> None:
    """Nothing is overlooked: what is no filler is in a bad stretch, and those are in order."""
    with tempfile.TemporaryDirectory() as name:
        log_files = LogFiles(Path(name))
        (log_files.directory / "log").mkdir()
        Path(log_files.path(1)).write_bytes(data)
        found = read_log(log_files)
    places = [place for bad in found.damage for place in range(bad.offset, bad.end)]
    assert places == sorted(set(places))
    assert {place for place in range(len(data)) if data[place] != 10} <= set(places)
    assert read_losses(data) in (None, ())
    assert clock_notes(data) is None


def test_a_directory_whose_name_is_no_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used like any other, and the log can name it."""
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert owed_in(directory) == set()
    with refusing(errno.EIO, "open"), opened(directory, max_bytes=SMALL):
        assert "caf\\xe9" in caplog.text
        caplog.text.encode()


def test_a_body_is_one_line(sound: Path) -> None:
    """Everything that would break the log is refused where it is made."""
    with opened(sound, max_bytes=SMALL) as outbox:
        for body, portal in ((b"a\nb", PORTAL), (b"", PORTAL), (b"a", "no portal")):
            with pytest.raises(ValueError, match="expected a portal id and one line"):
                outbox.store(body, portal_id=portal, is_clock_trusted=True)


def test_a_text_that_looks_like_lines(sound: Path) -> None:
    """A charger's name may hold anything: the right text is found all the same."""
    with opened(sound, max_bytes=SMALL) as outbox:
        body = body_of(5, "put 1 put 2 done 3 . put 5 ", "x\\n" + "0" * 8 + " put 1 gx = {} .")
        outbox.store(body, portal_id=PORTAL, is_clock_trusted=True)
    with opened(sound, max_bytes=SMALL) as outbox:
        assert bodies(outbox) == [body_of(1), body_of(2), body_of(4), body]


@pytest.mark.parametrize("write", [records.put, records.replaced])
def test_a_line_of_any_length_takes_what_it_is_long(
    tmp_path: Path, write: Callable[[Entry], bytes]
) -> None:
    """In units of 32 bytes, its line feed too: from that is told how much room is left."""
    lines = [write(Entry(n, PORTAL, b"x" * n, is_final=True)) for n in range(1, 65)]
    (tmp_path / "log").mkdir()
    segment_of(tmp_path).write_bytes(records.head("0badf00d", 1) + b"".join(lines))
    found = read_log(LogFiles(tmp_path))
    assert found.index.live_bytes() == sum(-(-len(line) // 32) * 32 for line in lines)
