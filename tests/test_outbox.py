"""The outbox as the service uses it, on a disk that is well and on one that is not."""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, inspection, spool
from mqtt_http_bridge.adapters.outbox.files import NumberedFiles, write_small
from mqtt_http_bridge.core.agenda import NEVER, Agenda, Waiting
from mqtt_http_bridge.core.delivery import Route, Verdict
from mqtt_http_bridge.core.errors import OutboxBusy
from mqtt_http_bridge.core.measurement import to_json
from tests.disk_faults import (
    WRITING_CALLS,
    fill_to_the_brim,
    mount_small,
    read_only,
    refuse,
    refusing,
    unmount,
)
from tests.outboxes import (
    BOOT,
    drain,
    drain_parked,
    fill,
    measurement,
    minute_of,
    minutes,
    opened,
    said,
    settings,
    take,
    take_oldest,
)

REFUSES = "the outbox cannot use its disk"
HEALED = "the outbox uses its disk again"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an outbox is going to be; nothing is there yet."""
    return tmp_path / "outbox"


@pytest.fixture
def outbox(directory: Path) -> Iterator[Outbox]:
    """An empty one."""
    with opened(directory) as outbox:
        yield outbox


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB for this test alone."""
    mount_small(tmp_path / "disk")
    yield tmp_path / "disk"
    unmount(tmp_path / "disk")


# --- a disk that is well -----------------------------------------------------------------------


def test_it_keeps_the_order(outbox: Outbox) -> None:
    """What was appended first is the oldest."""
    fill(outbox, 1, 2, 3)
    assert len(outbox) == 3
    assert minutes(outbox) == [1, 2, 3]
    assert len(outbox) == 0


def test_it_outlives_its_process(directory: Path) -> None:
    """What was appended is on the disk by then: nothing has to be closed, and numbers go on."""
    first = Outbox(settings(directory), BOOT)
    fill(first, 1, 2)
    first._disk.close()
    with opened(directory) as second:
        fill(second, 3)
        assert minutes(second) == [1, 2, 3]


def test_the_bytes_sent_are_the_bytes_stored(outbox: Outbox, directory: Path) -> None:
    """On the first try and on each that follows."""
    fill(outbox, 1)
    bodies = []
    for _ in range(3):
        entry = take(outbox, 1)
        bodies.append(entry.body)
        outbox.settle(entry, entry.measurement)
    assert set(bodies) == {to_json(measurement(1)), *inspection.bodies(directory, 1)}


def test_an_entry_is_final_once_it_is_taken(outbox: Outbox) -> None:
    """From then on it may have been sent, and says so; unless it is given back untouched."""
    fill(outbox, 1)
    entry = take(outbox, 1)
    assert not entry.was_final
    outbox.give_back(entry)
    entry = take(outbox, 1)
    assert not entry.was_final
    outbox.settle(entry, entry.measurement)
    entry = take(outbox, 1)
    outbox.give_back(entry)
    assert take(outbox, 1).was_final


def test_what_is_owed_takes_the_place_of_the_whole(directory: Path) -> None:
    """Under the same number and with the same timestamp, and so it is found after a crash."""
    with opened(directory) as outbox:
        outbox.append(measurement(1, "A", "B", "C"))
        fill(outbox, 2)
        outbox.settle(take(outbox, 1), measurement(1, "A", "C"))
    with opened(directory) as outbox:
        assert drain(outbox) == [measurement(1, "A", "C"), measurement(2)]


def test_what_is_not_there_cannot_be_taken(outbox: Outbox) -> None:
    """It may be done, dropped for room, or never have been."""
    fill(outbox, 1)
    outbox.settle(take(outbox, 1), None)
    assert outbox.take(1) is None
    assert outbox.take(99) is None


def test_the_sender_hears_of_each_entry(outbox: Outbox) -> None:
    """All that is new at once, without waiting; nothing when it is woken."""
    fill(outbox, 1, 2)
    assert outbox.wait(None) == [1, 2]
    outbox.wake()
    assert outbox.wait(None) == []
    assert outbox.wait(0.0) == []


def test_a_wish_to_retry_is_heard_once(outbox: Outbox, directory: Path) -> None:
    """Until there is another one."""
    assert not outbox.is_retry_wanted()
    inspection.request_retry(directory)
    assert outbox.is_retry_wanted()
    assert not outbox.is_retry_wanted()


def test_two_threads_share_it(outbox: Outbox) -> None:
    """What one appends the other takes, each once, in the order of the numbers it hears."""
    count, found = 200, list[int]()
    appending = threading.Thread(target=fill, args=(outbox, *range(count)))
    appending.start()
    while len(found) < count:
        for number in outbox.wait(10.0):
            entry = take(outbox, number)
            found.append(minute_of(entry.measurement))
            outbox.settle(entry, None)
    appending.join()
    assert found == list(range(count))
    assert len(outbox) == 0


def test_a_second_process_is_told_so(outbox: Outbox, directory: Path) -> None:
    """It does not start: both would send the same entries."""
    with pytest.raises(OutboxBusy, match="another mqtt-http-bridge does: stop it, or set another"):
        Outbox(settings(directory), BOOT)
    fill(outbox, 1)
    assert minutes(outbox) == [1]


def test_another_process_can_follow(directory: Path) -> None:
    """Closing gives the directory up; a file called `lock` that is left over locks nothing."""
    for minute in range(3):
        with opened(directory) as outbox:
            fill(outbox, minute)
    with opened(directory) as outbox:
        assert minutes(outbox) == [0, 1, 2]


def test_what_it_writes_is_for_its_user_alone(outbox: Outbox, directory: Path) -> None:
    """Serials and yields are nobody else's business."""
    outbox.append(measurement(1, "A", "B"))
    outbox.park(take(outbox, 1), "A", "not found")
    for path in [directory, *directory.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_was_left_unfinished_is_begun_anew(tmp_path: Path) -> None:
    """A disk that refused a write and its undoing does not refuse that number for ever."""
    files = NumberedFiles(tmp_path)
    (tmp_path / "0000000000000007.json.part").write_bytes(b"half")
    files.write(7, b"whole", is_final=False)
    assert files.read(7) == b"whole"
    assert files.foreign() == []


def test_a_file_is_whole_however_little_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may write less than it was given, and read less than there is."""
    files, body, write = NumberedFiles(tmp_path), bytes(range(256)) * 1000, os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10_000]))
        files.write(7, body, is_final=False)
    assert files.read(7) == body


def test_a_note_in_the_directory_it_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without a directory is one like any other."""
    monkeypatch.chdir(tmp_path)
    write_small(Path("note"), "kept")
    assert (tmp_path / "note").read_text() == "kept"


# --- parked ------------------------------------------------------------------------------------


def test_a_device_is_parked_by_itself(outbox: Outbox, directory: Path) -> None:
    """With its reason; the rest of the entry goes on without it."""
    outbox.append(measurement(1, "A", "B"))
    entry = take(outbox, 1)
    assert outbox.park(entry, "B", "Device B not found")
    outbox.settle(entry, None)
    assert len(outbox) == 0
    assert outbox.parked_serials() == ["B"]
    assert (directory / "parked" / "serial-B" / "reason").read_text() == "Device B not found"
    parked = outbox.take_parked("B")
    assert parked is not None
    assert parked.measurement == entry.measurement.only(["B"])
    assert parked.was_final


def test_parked_entries_leave_oldest_first(directory: Path) -> None:
    """Also after a restart; with the last one the device is gone from the list."""
    with opened(directory) as outbox:
        fill(outbox, 1, 2, 3)
        for number in (3, 1, 2):
            entry = take(outbox, number)
            outbox.park(entry, "HQ1", "not found")
            outbox.settle(entry, None)
    with opened(directory) as outbox:
        assert outbox.parked_serials() == ["HQ1"]
        assert drain_parked(outbox, "HQ1") == [1, 2, 3]
        assert outbox.parked_serials() == []
    assert not list((directory / "parked").iterdir())


@pytest.mark.parametrize(
    "serial",
    [
        "",
        "..",
        "/etc/passwd",
        "0162268 HQ2108RHQJZ",
        "a%2Fb",
        "Süd",
        "\0",
        "#",
        "x" * 300,
        "ü" * 99,
    ],
    ids=ascii,
)
def test_any_serial_can_be_parked(directory: Path, serial: str) -> None:
    """A serial is what a charger says, and it is no path; a restart tells it to the letter."""
    with opened(directory) as outbox:
        outbox.append(measurement(1, serial))
        entry = take(outbox, 1)
        assert outbox.park(entry, serial, "not found")
        outbox.settle(entry, None)
    with opened(directory) as outbox:
        assert outbox.parked_serials() == [serial]
        assert drain_parked(outbox, serial) == [1]


def test_long_serials_are_told_apart(outbox: Outbox) -> None:
    """Though they begin alike, and have something parked of the same entry."""
    serials = ["x" * 300 + end for end in "AB"]
    outbox.append(measurement(1, *serials))
    entry = take(outbox, 1)
    for serial in serials:
        outbox.park(entry, serial, "not found")
    assert outbox.parked_serials() == serials
    assert [drain_parked(outbox, serial) for serial in serials] == [[1], [1]]


def test_parking_again_changes_nothing(directory: Path) -> None:
    """After a crash between parking and settling the same entry is refused once more."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.park(take(outbox, 1), "HQ1", "not found")
    with opened(directory) as outbox:
        outbox.park(take(outbox, 1), "HQ1", "Unauthorized")
        assert (directory / "parked" / "serial-HQ1" / "reason").read_text() == "Unauthorized"
        assert drain_parked(outbox, "HQ1") == [1]


def test_numbers_of_parked_entries_are_not_given_again(directory: Path) -> None:
    """An entry made after a restart must not take the place of an older one in the parking."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        entry = take(outbox, 1)
        outbox.park(entry, "HQ1", "not found")
        outbox.settle(entry, None)
    with opened(directory) as outbox:
        fill(outbox, 2)
        outbox.park(take_oldest(outbox), "HQ1", "not found")
        assert drain_parked(outbox, "HQ1") == [1, 2]


# --- a disk that refuses -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", WRITING_CALLS)
def test_it_goes_on_in_memory(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, call: str, code: int
) -> None:
    """Said once, whichever call fails; when the disk heals all is there, once and in order."""
    caplog.set_level("INFO")
    fill(outbox, 1)
    with refusing(code, call):
        fill(outbox, 2, 3, 4)
        assert len(outbox) == 4
    fill(outbox, 5)
    assert (said(caplog, REFUSES), said(caplog, HEALED)) == (1, 1)
    assert len(outbox) == 5
    assert sorted(outbox._disk.layout.waiting) == outbox.oldest(9)
    assert minutes(outbox) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("call", WRITING_CALLS)
def test_nothing_unfinished_is_left(outbox: Outbox, directory: Path, call: str) -> None:
    """A disk without room is not filled further with what could not be finished."""
    with refusing(errno.ENOSPC, call):
        fill(outbox, 1)
    assert not list((directory / "waiting").iterdir())


def test_memory_is_sent_from(outbox: Outbox) -> None:
    """A disk that refuses holds nothing up: what it has and what it has not taken are sent."""
    fill(outbox, 1)
    with read_only():
        fill(outbox, 2)
        assert minutes(outbox) == [1, 2]
        assert len(outbox) == 0
    fill(outbox, 3)
    assert minutes(outbox) == [3]


def test_what_is_done_stays_done(directory: Path) -> None:
    """Though the disk would not let go of it: it is removed, or made smaller, when that heals."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.append(measurement(2, "A", "B"))
        with read_only():
            outbox.settle(take(outbox, 1), None)
            outbox.settle(take(outbox, 2), measurement(2, "B"))
            assert outbox.oldest(9) == [2]
        fill(outbox, 3)
    with opened(directory) as outbox:
        assert drain(outbox) == [measurement(2, "B"), measurement(3)]


def test_a_final_mark_outlasts_a_disk_that_refuses_it(outbox: Outbox) -> None:
    """What was sent in the meantime is not put right by a later step of the clock."""
    fill(outbox, 1)
    with read_only():
        entry = take(outbox, 1)
        outbox.settle(entry, entry.measurement)
    fill(outbox, 2)
    outbox.note_clock_step(3600.0)
    assert take(outbox, 1).body == to_json(measurement(1))


def test_a_change_of_which_only_the_flush_failed(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and yet was refused: it is made again, and counted once."""
    outbox.append(measurement(1, "A", "B"))
    entry, fsync = take(outbox, 1), os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", only_files)
        fill(outbox, 2)
        outbox.settle(entry, entry.measurement.only("B"))
    fill(outbox, 3)
    assert len(outbox) == 3
    assert drain(outbox) == [entry.measurement.only("B"), measurement(2), measurement(3)]


def test_one_file_that_stays_does_not_hold_up_the_rest(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk lets go of one entry no more: it is not sent again, and new ones get there."""
    fill(outbox, 1, 2)
    entry = take(outbox, 1)
    refuse(monkeypatch, errno.EPERM, "unlink")
    outbox.settle(entry, None)
    monkeypatch.undo()
    remove = NumberedFiles.remove

    def all_but_one(files: NumberedFiles, number: int) -> None:
        if number == 1:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        remove(files, number)

    monkeypatch.setattr(NumberedFiles, "remove", all_but_one)
    fill(outbox, 3)
    assert sorted(outbox._disk.layout.waiting) == [1, 2, 3]
    assert minutes(outbox) == [2, 3]


def test_memory_is_bounded(
    outbox: Outbox, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of those in memory go, counted, with the time they cover; the disk's stay."""
    monkeypatch.setattr(spool, "MOST_IN_MEMORY", 3)
    fill(outbox, 1)
    with refusing(errno.EIO, "write"):
        fill(outbox, 2, 3, 4, 5, 6, 7)
    fill(outbox, 8)
    assert minutes(outbox) == [1, 5, 6, 7, 8]
    (loss,) = inspection.status(directory, None, 30.0).lost
    assert (loss.count, loss.reason) == (3, "the disk refuses")
    assert (loss.since, loss.until) == tuple(
        measurement(minute).timestamp.isoformat() for minute in (2, 4)
    )


def test_the_entry_under_way_is_not_given_up(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little memory there is: its fate is with the backend."""
    monkeypatch.setattr(spool, "MOST_IN_MEMORY", 2)
    with refusing(errno.EIO, "write"):
        fill(outbox, 1)
        entry = take(outbox, 1)
        fill(outbox, 2, 3, 4)
        outbox.settle(entry, entry.measurement)
        assert minutes(outbox) == [1, 4]


def test_a_disk_that_lets_go_of_nothing_is_not_sent_on_and_on(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it would be sent again after a restart, and memory for it has a bound: so has this."""
    monkeypatch.setattr(spool, "MOST_IN_MEMORY", 3)
    fill(outbox, 1, 2, 3, 4, 5)
    with read_only():
        assert minutes(outbox) == [1, 2, 3]
        fill(outbox, 6)
        assert minutes(outbox) == [6]
    fill(outbox, 7)
    assert minutes(outbox) == [4, 5, 7]


def test_what_only_memory_had_is_missed_aloud(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service ends while the disk refuses: nothing is lost without a line in the log."""
    outbox = Outbox(settings(directory), BOOT)
    with refusing(errno.EIO, "write"):
        fill(outbox, 1)
        outbox.close()
    assert said(caplog, "measurements are lost") == 1


def test_parking_is_refused_with_the_disk(outbox: Outbox) -> None:
    """The sender keeps owing what could not be parked."""
    fill(outbox, 1)
    entry = take(outbox, 1)
    with refusing(errno.EIO, "write"):
        assert not outbox.park(entry, "HQ1", "not found")
    assert outbox.park(entry, "HQ1", "not found")


def test_what_was_parked_is_taken_once(outbox: Outbox) -> None:
    """Though the disk does not let go of it."""
    fill(outbox, 1, 2)
    for number in (1, 2):
        outbox.park(take(outbox, number), "HQ1", "not found")
    with read_only():
        assert drain_parked(outbox, "HQ1") == [1, 2]


def test_the_sender_hears_of_what_it_could_not_read(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets an entry that the disk does not give; when the disk heals it is told again."""
    fill(outbox, 1, 2)
    outbox.wait(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(NumberedFiles, "read", _broken_read)
        assert outbox.take(1) is None
    fill(outbox, 3)
    assert {1, 2} <= set(outbox.wait(0.0))
    assert minutes(outbox) == [1, 2, 3]


def _broken_read(files: NumberedFiles, number: int) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_a_file_that_cannot_be_read_is_set_aside(
    outbox: Outbox, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is well otherwise, so not at the first try; and it is said in few words."""
    fill(outbox, 1, 2)
    read = NumberedFiles.read
    monkeypatch.setattr(
        NumberedFiles, "read", lambda f, n: _broken_read(f, n) if n == 1 else read(f, n)
    )
    assert outbox.take(1) is None
    fill(outbox, 3)
    assert outbox.take(1) is None
    assert minutes(outbox) == [2, 3]
    assert inspection.status(directory, None, 30.0).damaged == 1


# --- a directory that comes and goes -----------------------------------------------------------


def test_a_directory_that_vanishes_is_made_again(outbox: Outbox, directory: Path) -> None:
    """What was in it is gone with it; what comes is kept, on the disk, and in order."""
    fill(outbox, 1)
    shutil.rmtree(directory)
    assert outbox.take(1) is None
    fill(outbox, 2, 3)
    assert len(outbox) == 2
    assert [path.name for path in sorted((directory / "waiting").iterdir())] == [
        f"{number:016d}.json" for number in (2, 3)
    ]
    assert minutes(outbox) == [2, 3]


def test_a_directory_that_is_away_for_a_while(
    outbox: Outbox, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a stick that is pulled and put back: said once, and everything is there in order."""
    caplog.set_level("INFO")
    fill(outbox, 1, 2)
    away = directory.rename(directory.with_name("away"))
    directory.write_bytes(b"something else")
    fill(outbox, 3, 4)
    assert len(outbox) == 2
    directory.unlink()
    away.rename(directory)
    fill(outbox, 5)
    assert (said(caplog, REFUSES), said(caplog, HEALED)) == (1, 1)
    assert minutes(outbox) == [1, 2, 3, 4, 5]


def test_what_is_settled_meanwhile_is_settled(outbox: Outbox, directory: Path) -> None:
    """The directory that comes back has the entry still, and it is not sent again."""
    fill(outbox, 1)
    outbox.append(measurement(2, "A", "B"))
    first, second = take(outbox, 1), take(outbox, 2)
    away = directory.rename(directory.with_name("away"))
    directory.write_bytes(b"something else")
    outbox.settle(first, None)
    outbox.settle(second, measurement(2, "B"))
    directory.unlink()
    away.rename(directory)
    fill(outbox, 3)
    assert drain(outbox) == [measurement(2, "B"), measurement(3)]


def test_a_directory_that_is_another_process_s_is_left_alone(
    outbox: Outbox, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ours was moved away and another outbox is in its place: memory is what is left, said once."""
    directory.rename(directory.with_name("ours"))
    with opened(directory) as other:
        fill(other, 10)
        fill(outbox, 1, 2)
        assert said(caplog, REFUSES) == 1
        assert minutes(other) == [10]
    fill(outbox, 3)
    assert minutes(outbox) == [1, 2, 3]


def test_a_directory_with_another_history(outbox: Outbox, directory: Path) -> None:
    """Another stick is in its place: what is done is not looked for among the entries there."""
    fill(outbox, 1, 2)
    done, owed = take(outbox, 1), take(outbox, 2)
    with opened(directory.with_name("other")) as other:
        fill(other, 50, 51)
    directory.rename(directory.with_name("away"))
    directory.write_bytes(b"nothing yet")
    outbox.settle(done, None)
    outbox.settle(owed, owed.measurement)
    directory.unlink()
    directory.with_name("other").rename(directory)
    fill(outbox, 3)
    assert minutes(outbox) == [50, 51, 3]


def test_a_lock_that_was_removed_is_taken_again(outbox: Outbox, directory: Path) -> None:
    """Somebody tidied up: a second process still finds the directory taken."""
    (directory / "lock").unlink()
    fill(outbox, 1)
    with pytest.raises(OutboxBusy):
        Outbox(settings(directory), BOOT)
    assert minutes(outbox) == [1]


def test_a_place_that_cannot_be_a_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service starts all the same and keeps in memory what it measures."""
    (tmp_path / "file").write_bytes(b"")
    with opened(tmp_path / "file" / "outbox") as outbox:
        fill(outbox, 1, 2)
        assert minutes(outbox) == [1, 2]
    assert said(caplog, REFUSES) == 1


def fill_then_leave(directory: Path, *held: int) -> Path:
    """A spool with entries, moved to where it is not found at the start."""
    with opened(directory) as outbox:
        fill(outbox, *held)
    away = directory.rename(directory.with_name("away"))
    directory.write_bytes(b"something else")
    return away


def bring_back(directory: Path, away: Path) -> None:
    directory.unlink()
    away.rename(directory)


def test_a_disk_that_comes_late(directory: Path) -> None:
    """Its entries keep their numbers and go first; the sender hears of them and of the others."""
    away = fill_then_leave(directory, 1, 2, 3)
    with opened(directory) as outbox:
        fill(outbox, 4, 5)
        assert outbox.wait(0.0) == [1, 2]
        bring_back(directory, away)
        fill(outbox, 6)
        assert set(outbox.wait(0.0)) == {1, 2, 3, 4, 5, 6}
        assert minutes(outbox) == [1, 2, 3, 4, 5, 6]


def test_a_long_backlog_that_comes_late_is_sent(directory: Path) -> None:
    """The agenda keeps a thousand in mind: of the others it hears in its turn, to the last one."""
    away = fill_then_leave(directory, *range(1200))
    with opened(directory) as outbox:
        agenda = Agenda(1000.0, min)
        agenda.add_backlog(outbox.oldest(agenda.most_wanted))
        bring_back(directory, away)
        fill(outbox, 1200)
        for number in outbox.wait(0.0):
            agenda.add_fresh(number)
        found, now_s = list[int](), 0.0
        while agenda.wants_backlog or agenda.next_due_s() < NEVER:
            if agenda.wants_backlog:
                agenda.add_backlog(outbox.oldest(agenda.most_wanted))
            now_s += 1.0
            choice = agenda.choose(now_s)
            if isinstance(choice, Waiting):
                entry = take(outbox, choice.number)
                outbox.settle(entry, None)
                agenda.judged(choice.number, Verdict(Route.OPEN), now_s)
                found.append(minute_of(entry.measurement))
        assert found == [1200, *range(1200)]


@pytest.mark.parametrize("is_owed", [True, False])
def test_a_disk_that_comes_late_while_an_entry_is_under_way(directory: Path, is_owed: bool) -> None:
    """The verdict is on the entry that was sent, not on the one on the disk with its number."""
    away = fill_then_leave(directory, 1, 2)
    with opened(directory) as outbox:
        outbox.append(measurement(3, "A", "B"))
        entry = take(outbox, 1)
        bring_back(directory, away)
        fill(outbox, 4)
        outbox.settle(entry, measurement(3, "B") if is_owed else None)
        owed = [measurement(3, "B")] if is_owed else []
        assert drain(outbox) == [measurement(1), measurement(2), *owed, measurement(4)]


def test_a_late_disk_parks_under_the_new_number(directory: Path) -> None:
    """What is parked of the entry under way takes nobody else's place."""
    away = fill_then_leave(directory, 1)
    with opened(directory) as outbox:
        fill(outbox, 2)
        entry = take(outbox, 1)
        bring_back(directory, away)
        fill(outbox, 3)
        outbox.park(entry, "HQ1", "not found")
        outbox.settle(entry, None)
        first = take(outbox, 1)
        outbox.park(first, "HQ1", "not found")
        outbox.settle(first, None)
        assert drain_parked(outbox, "HQ1") == [1, 2]
        assert minutes(outbox) == [3]


def test_a_late_disk_and_a_clock_that_was_set(directory: Path) -> None:
    """What was stamped before the step is put right, what came after is not, wherever it was."""
    away = fill_then_leave(directory, 1)
    hour = timedelta(hours=1)
    with opened(directory) as outbox:
        fill(outbox, 2)
        outbox.note_clock_step(3600.0)
        outbox.append(measurement(3).shifted(hour))
        bring_back(directory, away)
        outbox.append(measurement(4).shifted(hour))
        assert drain(outbox) == [measurement(minute).shifted(hour) for minute in (1, 2, 3, 4)]


@pytest.mark.parametrize("call", ["scandir", "open", "fsync", "stat"])
def test_a_disk_that_fails_while_it_is_opened(
    directory: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is opened anew, not half: entries that were not seen yet are not written over."""
    with opened(directory) as outbox:
        fill(outbox, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _fails_after(getattr(os, call), 2))
        outbox = Outbox(settings(directory), BOOT)
    fill(outbox, 3)
    assert minutes(outbox) == [1, 2, 3]
    outbox.close()


def _fails_after(call: object, good: int) -> object:
    left = [good]

    def failing(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, "Input/output error")
        return call(*arguments, **options)  # type: ignore[operator]

    return failing


# --- real file systems -------------------------------------------------------------------------


def test_a_disk_filled_to_the_brim(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first byte is refused as much as the last: memory it is, until there is room again."""
    caplog.set_level("INFO")
    with opened(small_disk / "outbox") as outbox:
        filler = fill_to_the_brim(small_disk)
        fill(outbox, 1, 2, 3)
        filler.unlink()
        fill(outbox, 4)
        assert (said(caplog, REFUSES), said(caplog, HEALED)) == (1, 1)
        assert len(list((small_disk / "outbox" / "waiting").iterdir())) == 4
        assert minutes(outbox) == [1, 2, 3, 4]


def test_a_start_on_a_full_disk(small_disk: Path) -> None:
    """Not even the directory can be made: it is made later."""
    filler = fill_to_the_brim(small_disk)
    with opened(small_disk / "outbox") as outbox:
        fill(outbox, 1)
        filler.unlink()
        fill(outbox, 2)
        assert minutes(outbox) == [1, 2]


def test_a_full_disk_drains(small_disk: Path) -> None:
    """Taking and settling needs no room, and what is owed in part is not lost for want of it."""
    with opened(small_disk / "outbox") as outbox:
        outbox.append(measurement(1, "A", "B"))
        fill(outbox, 2)
        filler = fill_to_the_brim(small_disk)
        outbox.settle(take(outbox, 1), measurement(1, "B"))
        assert take(outbox, 1).measurement == measurement(1, "B")
        outbox.settle(take(outbox, 2), None)
        filler.unlink()
    with opened(small_disk / "outbox") as outbox:
        assert drain(outbox) == [measurement(1, "B")]


def test_a_disk_that_is_unmounted(tmp_path: Path) -> None:
    """What lies at its place is another directory, which is taken over; its return is noticed."""
    disk = tmp_path / "disk"
    mount_small(disk)
    away = tmp_path / "away"
    away.mkdir()
    with opened(disk / "outbox") as outbox:
        fill(outbox, 1)
        unmount(disk)
        fill(outbox, 2)
        assert (disk / "outbox" / "waiting" / f"{2:016d}.json").exists()
        assert minutes(outbox) == [2]
