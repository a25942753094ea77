"""A disk, or a person, does something odd: no sound byte is touched, and nothing false is said."""

import errno
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.installation import client_id, only_process
from mqtt_http_bridge.adapters.outbox import Boot, Entry, Outbox, inspection, segments
from mqtt_http_bridge.core.errors import LocalFault
from tests.adapters.outbox.refusing import refusing, unreadable
from tests.adapters.outbox.support import (
    BOOT,
    FORMAT,
    PORTAL,
    crash,
    give_back,
    lost,
    minutes,
    numbers,
    opened,
    outbox_in,
    parked,
    settled,
    store,
    take,
)

SMALL = 16 * 16 * 1024
HUGE = 3_000_000_000
SOMEBODY = 65_534


@pytest.fixture
def sound(directory: Path) -> Path:
    """A closed outbox of four segments at least, that owes minutes 1 to 39."""
    with opened(directory, max_bytes=SMALL) as outbox:
        store(outbox, *range(1, 40), size=2000)
    return directory


def look_now(outbox: Outbox) -> None:
    """The pause before the next look is over."""
    outbox.writer._next_look_s = 0.0
    settled(outbox)


def contents(directory: Path) -> dict[str, bytes]:
    """All bytes of the log, and of what is damaged."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for folder in ("log", "damaged")
        for path in sorted((directory / folder).glob("*"))
    }


def owed_in(directory: Path) -> list[int]:
    with opened(directory, max_bytes=SMALL) as outbox:
        return minutes(outbox)


# --- reading -------------------------------------------------------------------------------------


@contextmanager
def short_reads(then: int | None) -> Iterator[None]:
    """A disk that gives 1,000 bytes at a time, and then more, or an error."""
    pread = os.pread

    def read(descriptor: int, size: int, offset: int) -> bytes:
        if offset and then is not None:
            raise OSError(then, os.strerror(then))
        return pread(descriptor, min(size, 1000), offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", read)
        yield


def test_a_read_that_gives_a_part_is_gone_on_with(sound: Path) -> None:
    """A disk may do so at any time; what was not read yet is neither missing nor damaged."""
    with short_reads(None):
        assert owed_in(sound) == list(range(1, 40))
    assert not (sound / "damaged").exists()
    assert owed_in(sound) == list(range(1, 40))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM])
def test_a_read_that_breaks_off_takes_nothing_for_damaged(sound: Path, code: int) -> None:
    """Up to the bad place it gives what is there: the rest is not to be written over."""
    before = contents(sound)
    with short_reads(code), opened(sound, max_bytes=SMALL) as outbox:
        look_now(outbox)
        assert outbox.view().fault == os.strerror(code)
        assert lost(outbox) == 0
    assert contents(sound) == before
    assert owed_in(sound) == list(range(1, 40))


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_a_disk_that_gives_nothing_for_a_while_loses_nothing(
    sound: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """However often it was asked while the service ran: all of it is there afterwards."""
    monkeypatch.setattr(segments, "TRY_EVERY_S", 0.0)
    with opened(sound, max_bytes=SMALL) as outbox:
        with refusing(code, "read"):
            for number in numbers(outbox):
                for _ in range(5):
                    entry = outbox.take(PORTAL, number)
                    if entry is not None:  # It was only just stored: it is still in memory.
                        give_back(outbox, entry)
            settled(outbox)
        assert lost(outbox) == 0
        assert minutes(outbox) == list(range(1, 40))
    assert not (sound / "damaged").exists()


def test_how_long_a_segment_is_tried() -> None:
    """A minute: sticks and cards that come back are back by then."""
    assert (segments.READ_TRIES - 1) * segments.TRY_EVERY_S >= 60.0


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_what_is_no_file_is_no_segment(sound: Path, make: Callable[[Path], None]) -> None:
    """It is left where it is, and nobody waits for it."""
    make(sound / "log" / "0000000000000900.log")
    assert owed_in(sound) == list(range(1, 40))


@pytest.mark.parametrize(
    "name", ["log/0000000000000900.log", "log/notes", "requests/retry", "damaged/x"]
)
def test_a_huge_sparse_file_anywhere(sound: Path, name: str) -> None:
    """It takes no memory, and no room of what is stored."""
    (sound / name).parent.mkdir(exist_ok=True)
    (sound / name).touch()
    os.truncate(sound / name, HUGE)
    tracemalloc.start()
    try:
        with opened(sound, max_bytes=SMALL) as outbox:
            look_now(outbox)
            store(outbox, *range(40, 60), size=2000)
            assert outbox.view().fault is None
            assert (minutes(outbox)[-1], lost(outbox)) == (59, 0)
            inspection.status(sound, SMALL, FORMAT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


# --- what is said --------------------------------------------------------------------------------


def test_a_device_that_is_mended_is_no_fault_of_the_disk(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever was parked of it, over however many segments."""
    with opened(directory, max_bytes=SMALL) as outbox:
        for minute in range(1, 30):
            store(outbox, minute, size=2000)
            entry = take(outbox, numbers(outbox)[-1])
            outbox.park(entry, entry.body, ["HQ1"], "not found")
        settled(outbox)
        left = len(parked(outbox, "HQ1"))
        outbox.unpark(PORTAL, "HQ1")
        look_now(outbox)
        assert len(minutes(outbox)) == left
    assert [r.getMessage() for r in caplog.records if "disk" in r.getMessage()] == []


def test_requests_of_somebody_else_are_no_fault_of_the_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with what fixes it, and what is stored goes to the disk as before."""
    with opened(directory) as outbox:
        assert inspection.request_retry(directory)
        with refusing(errno.EACCES, "take_requests"):
            look_now(outbox)
            look_now(outbox)
            store(outbox, 1)
            assert (outbox.view().fault, outbox.view().in_memory) == (None, 0)
        (line,) = [record.getMessage() for record in caplog.records]
        assert line == (
            f"the outbox cannot take requests from {directory}/requests: Permission denied: give"
            " its files back to the user that the service runs as (chown -R)"
        )
        look_now(outbox)
        assert outbox.retry_requests == 1


def test_a_request_that_stays_is_heard_no_second_time(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be removed: or everything would be tried each 5 s."""
    unlink = os.unlink

    def refuse(path: Path) -> None:
        if path.name == "retry":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(path)

    with opened(directory) as outbox:
        inspection.request_retry(directory)
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", refuse)
            for _ in range(3):
                look_now(outbox)
        assert outbox.retry_requests == 0


def test_a_directory_that_cannot_be_looked_at_has_not_been_moved(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short of memory, the system does not even tell what a name stands for."""
    stat = os.stat

    def refuse(path: object, **options: object) -> os.stat_result:
        if isinstance(path, str) and str(directory) in path:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return stat(path, **options)  # type: ignore[arg-type]

    with opened(directory) as outbox:
        store(outbox, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", refuse)
            outbox._incoming.wake()
            settled(outbox)
            assert outbox.view().fault is None


# --- the clock -----------------------------------------------------------------------------------


def test_a_clock_that_is_trusted_while_the_log_is_away_is_trusted_in_it(directory: Path) -> None:
    """Everything that was in the log by then may be sent from now on, so it changes no more."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        crash(outbox)
    with refusing(errno.EIO, "take"):
        outbox = outbox_in(directory, boot=Boot(BOOT.boot_id, BOOT.distance_s + 60.0))
        outbox.trust_clock()
        settled(outbox)
    look_now(outbox)
    assert minutes(outbox) == [2]  # By the step before it was trusted.
    outbox.note_clock_step(600.0)
    settled(outbox)
    assert minutes(outbox) == [2]
    outbox.close()
    with opened(directory, boot=Boot(BOOT.boot_id, BOOT.distance_s + 3600.0)) as outbox:
        assert minutes(outbox) == [2]


# --- looking, and asking -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_one_segment_that_cannot_be_read_hides_no_other(sound: Path, code: int) -> None:
    """All others are listed, and at the end it says what is missing, and why."""
    found = list[Entry]()
    with unreadable(2, code):
        with pytest.raises(LocalFault, match=f"segment 2 cannot be read: {os.strerror(code)}: "):
            found += inspection.entries(sound, FORMAT)
        (text,) = inspection.status(sound, SMALL, FORMAT).unreadable
        assert "segment 2 cannot be read" in text
        assert inspection.readable_numbers(sound, FORMAT) == {entry.number for entry in found}
    missing = set(range(1, 40)) - {entry.number for entry in found}
    assert 5 <= len(missing) <= 10
    assert len(list(inspection.entries(sound, FORMAT))) == 39


def test_one_that_cannot_be_read_in_the_middle_of_it(sound: Path) -> None:
    """It was readable a moment ago."""
    entries = inspection.entries(sound, FORMAT)
    found = [next(entries)]
    with unreadable(2, errno.EIO), pytest.raises(LocalFault, match="segment 2 cannot be read"):
        found += entries
    assert (found[0].number, found[-1].number) == (1, 39)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files that others cannot use")
def test_what_root_does_leaves_nothing_that_the_service_cannot_use(
    sound: Path, open_directory: Path
) -> None:
    """The service runs as somebody else; root drops entries, and asks for a retry."""
    outbox = shutil.copytree(sound, open_directory / "outbox")
    for path in (outbox, *outbox.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    (outbox / "requests").rmdir()
    segment = outbox / "log" / "0000000000000002.log"
    segment.write_bytes(segment.read_bytes().replace(b" put ", b" but ", 1))
    assert inspection.request_drop(outbox, [1], FORMAT, parked_only=False) == [1]
    with opened(outbox, max_bytes=SMALL):
        os.chown(outbox / "lock", SOMEBODY, SOMEBODY)
        (outbox / "requests").rmdir()
        assert inspection.request_retry(outbox)
        owners = {path.stat().st_uid for path in outbox.rglob("*")}
    assert owners == {SOMEBODY}
    assert (os.geteuid(), os.getegid()) == (0, 0)


# --- the very first start ------------------------------------------------------------------------


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A small disk at `place`."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("options", ["size=1m,ro", "size=1m,nr_inodes=1", "size=1m"])
def test_the_very_first_start_on_a_disk_that_takes_nothing(
    tmp_path: Path, options: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Read-only, without a free inode, or full: it runs in memory, until the disk takes it."""
    place = tmp_path / "small"
    with mounted(place, options):
        filler = place / "filler"
        if options == "size=1m":
            filler.write_bytes(b"\0" * 1024 * 1024)
        directory = place / "outbox"
        with only_process(directory):
            drawn = client_id(directory)
            assert drawn.startswith("mqtt-http-bridge-")
            assert ("cannot keep the MQTT client id" in caplog.text) == (drawn not in kept(place))
            with opened(directory, max_bytes=100_000) as outbox:
                store(outbox, 1, 2)
                assert (minutes(outbox), outbox.view().in_memory) == ([1, 2], 2)
                subprocess.run(
                    ["mount", "-o", "remount,rw,size=2m,nr_inodes=1000", str(place)], check=True
                )
                filler.unlink(missing_ok=True)
                look_now(outbox)
                assert (outbox.view().fault, outbox.view().in_memory) == (None, 0)
                crash(outbox)
        assert owed_in(directory) == [1, 2]
        assert client_id(directory) == client_id(directory)


def kept(place: Path) -> str:
    path = place / "outbox" / "client-id"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_retry_on_a_full_disk(tmp_path: Path, kind: str) -> None:
    """The service hears of it: an empty file has room."""
    place = tmp_path / "small"
    disk = mounted(place, "size=1m") if kind == "tmpfs" else mounted_ext4(tmp_path, place)
    with disk, opened(place / "outbox", max_bytes=200_000) as outbox:
        store(outbox, 1)
        with suppress(OSError), (place / "filler").open("wb", 0) as out:
            while out.write(b"\0" * 4096):
                pass
        assert os.statvfs(place).f_bavail == 0
        assert inspection.request_retry(place / "outbox")
        look_now(outbox)
        assert outbox.retry_requests == 1


@contextmanager
def mounted_ext4(tmp_path: Path, place: Path) -> Iterator[None]:
    """A file system that has blocks for the names in a directory, too."""
    place.mkdir()
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 8_000_000)
    make = ["mkfs.ext4", "-q", "-m", "0", str(image)]
    for command in (make, ["mount", "-o", "loop", str(image), str(place)]):
        try:
            status = subprocess.run(command, check=False, capture_output=True).returncode
        except FileNotFoundError:
            status = 1
        if status:
            pytest.skip("mounting a file is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
