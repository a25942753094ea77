"""Tests that a refusing disk turns the outbox into a memory queue, and back, and is logged once."""

import errno
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import (
    Boot,
    Outbox,
    cleaning,
    fault_log,
    files,
    incoming,
    inspection,
)
from mqtt_http_bridge.adapters.outbox import outbox as outbox_module
from mqtt_http_bridge.core.errors import OutboxBusy
from tests.adapters.outbox.refusing import (
    LONGEST_HANG_S,
    HangingFlush,
    refusing,
    refusing_everything,
)
from tests.adapters.outbox.support import (
    FORMAT,
    NEXT_BOOT,
    PORTAL,
    body_of,
    crash,
    lost,
    minute_of,
    minutes,
    numbers,
    opened,
    outbox_in,
    settled,
    store,
    take,
    until,
)


def retry_now(outbox: Outbox) -> None:
    """The pause before the next try is over."""
    outbox.writer._next_look_s = 0.0
    settled(outbox)


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


WAYS = [
    (errno.EIO, ("write",)),
    (errno.EIO, ("flush",)),
    (errno.EROFS, ("write", "flush", "create", "remove")),
    (errno.ENOSPC, ("write", "create")),
]


@pytest.mark.parametrize(("code", "names"), WAYS)
def test_memory_and_back(
    directory: Path, caplog: pytest.LogCaptureFixture, code: int, names: tuple[str, ...]
) -> None:
    """Whatever is stored and settled meanwhile is sent, then on the disk; said once each."""
    caplog.set_level("INFO")
    with opened(directory) as outbox:
        store(outbox, 1, 2, 3)
        with refusing(code, *names):
            store(outbox, 4, 5)
            assert minutes(outbox) == [1, 2, 3, 4, 5]
            assert outbox.view().in_memory == 2
            outbox.settle(take(outbox, 2), None)
            outbox.settle(take(outbox, 4), None)
            entry = take(outbox, 5)
            outbox.park(entry, body_of(5, "B"), ["B"], "not found")
            retry_now(outbox)
            assert said(caplog, "cannot use its disk") == 1
        retry_now(outbox)
        assert said(caplog, "uses its disk again") == 1
        store(outbox, 6)
        crash(outbox)
    with opened(directory) as outbox:
        outbox.unpark(PORTAL, "B")
        assert minutes(outbox) == [1, 3, 5, 6]
        assert lost(outbox) == 0


@pytest.mark.parametrize("names", [("create",), ("take",), ("open", "create"), ("segments",)])
def test_a_disk_that_refuses_at_the_start(directory: Path, names: tuple[str, ...]) -> None:
    """It is memory from the very start, and the disk once there is one; nothing has two numbers."""
    with opened(directory) as outbox:
        store(outbox, 1, 2)
    with refusing(errno.ENOSPC, *names):
        outbox = outbox_in(directory, boot=NEXT_BOOT)
        store(outbox, 3, 4)
    if "create" not in names[:1]:
        assert minutes(outbox) == [3, 4]
    entry = take(outbox, outbox.newest(PORTAL) or 0)
    retry_now(outbox)
    assert minute_of(take(outbox, entry.number).body) == 4
    outbox.settle(entry, None)
    assert minutes(outbox) == [1, 2, 3]
    crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2, 3]


def test_a_disk_that_is_full_from_the_very_first_start(directory: Path) -> None:
    """Not even the directory can be made; later it is."""
    with refusing(errno.ENOSPC, "take"):
        outbox = outbox_in(directory)
        store(outbox, 1)
        assert minutes(outbox) == [1]
    retry_now(outbox)
    assert outbox.view().fault is None
    outbox.close()
    with opened(directory) as outbox:
        assert minutes(outbox) == [1]


def test_memory_is_bounded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, counted, but for the one under way; the disk's stay."""
    monkeypatch.setattr(cleaning, "MEMORY_BYTES", 10_000)
    with opened(directory) as outbox:
        store(outbox, 1)
        with refusing_everything():
            store(outbox, 2, size=1000)
            entry = take(outbox, 2)
            store(outbox, *range(3, 30), size=1000)
            kept = minutes(outbox)
            assert kept[:2] == [1, 2]
            assert kept[2:] == list(range(30 - len(kept) + 2, 30))
            assert lost(outbox) == 29 - len(kept)
            assert outbox.view().losses[0].reason == "the disk refuses"
            outbox.settle(entry, None)
        retry_now(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, *kept[2:]]
        assert lost(outbox) == 29 - len(kept)


def test_what_memory_gave_up_before_the_disk_came_is_counted(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together with what the log already had, and also after a restart."""
    monkeypatch.setattr(cleaning, "MEMORY_BYTES", 10_000)
    with opened(directory) as outbox:
        store(outbox, 1, 2)
        inspection.request_drop(directory, [1], FORMAT, parked_only=False)
        retry_now(outbox)
        assert lost(outbox) == 1
    with refusing(errno.EIO, "take"):
        outbox = outbox_in(directory)
        store(outbox, *range(3, 30), size=1000)
        gone = lost(outbox)
    retry_now(outbox)
    assert gone > 10
    assert len(minutes(outbox)) == 28 - gone
    assert lost(outbox) == 1 + gone
    crash(outbox)
    with opened(directory) as outbox:
        assert lost(outbox) == 1 + gone


def test_what_waits_is_told_in_its_order(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that was parked and freed again while the disk was away is free afterwards.

    Also if the disk refuses once more in the middle of what it is told.
    """
    write = files.write

    def all_but_free(descriptor: int, offset: int, data: bytes) -> None:
        if b" free " in data:
            raise OSError(errno.EIO, "refused")
        write(descriptor, offset, data)

    with opened(directory) as outbox:
        store(outbox, 1)
        with refusing_everything():
            entry = take(outbox, 1)
            outbox.park(entry, entry.body, ["HQ1"], "not found")
            outbox.unpark(PORTAL, "HQ1")
        with monkeypatch.context() as patch:
            patch.setattr(files, "write", all_but_free)
            retry_now(outbox)
        retry_now(outbox)
        assert minutes(outbox) == [1]
        crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [1]


def test_a_disk_that_hangs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storing never waits for it, what it takes is bounded, and what had to go is counted."""
    monkeypatch.setattr(incoming, "MEMORY_BYTES", 10_000)
    with opened(directory) as outbox:
        with monkeypatch.context() as patch:
            disk = HangingFlush(patch)
            outbox.store(body_of(0), portal_id=PORTAL, is_clock_trusted=True)
            disk.wait()
            slowest_s = 0.0
            for minute in range(1, 100):
                began_s = time.perf_counter()
                outbox.store(body_of(minute, size=500), portal_id=PORTAL, is_clock_trusted=True)
                slowest_s = max(slowest_s, time.perf_counter() - began_s)
            assert numbers(outbox) == []  # Nothing is seen before its flush.
            assert 15 < outbox.view().in_memory < 25
            disk.let_go()
        until(lambda: minutes(outbox)[-1:] == [99])
        settled(outbox)
        assert len(minutes(outbox)) + lost(outbox) == 100
        assert 15 < len(minutes(outbox)) < 25
        assert slowest_s < LONGEST_HANG_S / 2
    with opened(directory) as outbox:
        assert len(minutes(outbox)) + lost(outbox) == 100


def test_what_only_memory_had_is_missed_aloud(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service ends while the disk refuses: how many are lost, and of which time."""
    with refusing_everything(), opened(directory) as outbox:
        store(outbox, 1, 2)
        outbox.settle(take(outbox, 1), None)
    assert said(caplog, "these are lost: 1 from 2026-03-14T06:02:00+00:00 to") == 1


def test_what_only_memory_had_for_days_is_one_line(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the number of all and the whole time."""
    with refusing_everything(), opened(directory) as outbox:
        store(outbox, 1, 1441, 2881)
    span = "3 from 2026-03-14T06:01:00+00:00 to 2026-03-16T06:01:00+00:00"
    assert said(caplog, f"these are lost: {span}") == said(caplog, "these are lost:") == 1


def test_what_the_disk_has_is_not_missed(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of what was cut down or parked while the disk refuses, it has the earlier text."""
    with opened(directory) as outbox:
        store(outbox, 1, 2, serials=("A", "B"))
        with refusing_everything():
            outbox.settle(take(outbox, 1), body_of(1, "B"))
            outbox.park(take(outbox, 2), body_of(2, "B"), ["B"], "not found")
            store(outbox, 3, serials=("A", "B"))
            outbox.settle(take(outbox, 3), body_of(3, "B"))
            outbox.close()
    assert said(caplog, "these are lost: 1 from 2026-03-14T06:03:00+00:00 to") == 1
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]


def test_a_directory_that_is_removed(directory: Path) -> None:
    """Everything that was in it is gone with it; what comes is kept, and numbers go on."""
    with opened(directory) as outbox:
        store(outbox, 1, 2)
        shutil.rmtree(directory)
        store(outbox, 3)
        retry_now(outbox)
        store(outbox, 4)
        assert minutes(outbox)[-2:] == [3, 4]
        assert numbers(outbox)[-2:] == [3, 4]
        crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [3, 4]


def test_a_directory_that_is_away_for_a_while(directory: Path, tmp_path: Path) -> None:
    """As on a stick that is pulled and put back: what was settled meanwhile is settled."""
    with opened(directory) as outbox:
        store(outbox, 1, 2, 3)
        entry = take(outbox, 1)
        directory.rename(tmp_path / "away")
        directory.write_bytes(b"")
        store(outbox, 4)
        outbox.settle(entry, None)
        directory.unlink()
        (tmp_path / "away").rename(directory)
        retry_now(outbox)
        assert minutes(outbox) == [2, 3, 4]
        crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [2, 3, 4]


def test_losses_of_a_directory_that_was_away(directory: Path, tmp_path: Path) -> None:
    """An entry that somebody dropped where it was is not forgotten when it is back."""
    away = tmp_path / "away"
    with opened(directory) as outbox:
        store(outbox, 1, 2)
        directory.rename(away)
        directory.write_bytes(b"")
        retry_now(outbox)  # In vain, and it lets go of the directory.
        with opened(away) as other:
            (away / "requests").mkdir(exist_ok=True)
            (away / "requests" / f"drop.{numbers(other)[0]}").touch()
            retry_now(other)
            assert lost(other) == 1
        directory.unlink()
        away.rename(directory)
        retry_now(outbox)
        assert minutes(outbox) == [2]
        assert lost(outbox) == 1


def test_a_directory_with_another_history(directory: Path, tmp_path: Path) -> None:
    """Another stick: its entries are its own, ours get new numbers, verdicts find their entry."""
    with opened(tmp_path / "other") as other:
        store(other, 11, 12, 13, 14)
    with opened(directory) as outbox:
        store(outbox, 1, 2)
        away = [take(outbox, 1), take(outbox, 2)]
        directory.rename(tmp_path / "away")
        directory.write_bytes(b"")
        store(outbox, 3, 4)
        entry = take(outbox, 3)
        outbox.settle(away[1], None)
        directory.unlink()
        (tmp_path / "other").rename(directory)
        retry_now(outbox)
        outbox.settle(away[0], None)
        assert outbox._log.in_flight[entry.number] is entry
        outbox.settle(entry, None)
        assert minutes(outbox) == [11, 12, 13, 14, 4]
        crash(outbox)
    with opened(directory) as outbox:
        assert minutes(outbox) == [11, 12, 13, 14, 4]


def test_another_history_just_before_a_verdict_is_noted(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of an entry is written under its new number, not over another entry."""
    with opened(tmp_path / "other") as other:
        store(other, 11, 12)
    with refusing(errno.EIO, "take"):
        outbox = outbox_in(directory)
        store(outbox, 1, serials=("A", "B"))
    entry = take(outbox, 1)
    mutex = outbox._mutex

    @contextmanager
    def held_late() -> Iterator[None]:
        monkeypatch.undo()
        shutil.copytree(tmp_path / "other", directory, dirs_exist_ok=True)
        retry_now(outbox)
        with mutex:
            yield

    monkeypatch.setattr(outbox, "_mutex", held_late())
    outbox.settle(entry, FORMAT.only(entry.body, ["B"]))
    assert minutes(outbox) == [11, 12, 1]
    outbox.close()


def test_a_step_of_the_clock_before_the_disk_came(directory: Path) -> None:
    """All that was stamped before it is put right, what came after is not, wherever it was."""
    with opened(directory) as outbox:
        store(outbox, 1)
    with refusing(errno.EIO, "take"):
        outbox = outbox_in(directory, boot=NEXT_BOOT)
        store(outbox, 2, is_trusted=False)
        outbox.note_clock_step(600.0)
        store(outbox, 30, is_trusted=False)
    retry_now(outbox)
    assert minutes(outbox) == [1, 12, 30]
    outbox.close()
    with opened(directory, boot=Boot(NEXT_BOOT.boot_id, NEXT_BOOT.distance_s + 600.0)) as outbox:
        assert minutes(outbox) == [1, 12, 30]


def test_a_segment_that_the_disk_does_not_let_go_of(directory: Path) -> None:
    """It goes before the next one all the same: the ends of its entries lie in that."""
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        store(outbox, *range(1, 7), size=2000)
        with refusing(errno.EIO, "remove"):
            for minute in range(7, 14):
                store(outbox, minute, size=2000)
                outbox.settle(take(outbox, numbers(outbox)[0]), None)
            settled(outbox)
            assert outbox.view().fault
        retry_now(outbox)
        for minute in range(14, 60):
            store(outbox, minute, size=2000)
            outbox.settle(take(outbox, numbers(outbox)[0]), None)
        owed = minutes(outbox)
        assert outbox.view().fault is None
        crash(outbox)
    assert not (directory / "log" / "0000000000000001.log").exists()
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        assert minutes(outbox) == owed


def test_two_services(directory: Path) -> None:
    """The second ends at once, and leaves the first alone."""
    with opened(directory) as outbox:
        store(outbox, 1)
        with pytest.raises(OutboxBusy, match="another mqtt-http-bridge"):
            outbox_in(directory)
        program = (
            "import sys; from pathlib import Path\n"
            "from tests.adapters.outbox.support import outbox_in\n"
            "outbox_in(Path(sys.argv[1]))"
        )
        second = subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"OutboxBusy" in second.stderr
        store(outbox, 2)
        assert minutes(outbox) == [1, 2]


def test_a_lock_that_was_removed_is_taken_again(directory: Path) -> None:
    """Somebody tidied up: a second process still finds the directory taken."""
    with opened(directory) as outbox:
        store(outbox, 1)
        (directory / "lock").unlink()
        outbox.writer._next_look_s = 0.0
        store(outbox, 2)
        retry_now(outbox)
        with pytest.raises(OutboxBusy):
            outbox_in(directory)
        assert minutes(outbox) == [1, 2]


def test_a_disk_that_is_read_only_does_not_send_for_ever(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that it does not let go of would be sent again after a restart: there is a limit."""
    monkeypatch.setattr(outbox_module, "MOST_WAITING", 10)
    with opened(directory) as outbox:
        store(outbox, *range(1, 41))
        with refusing_everything(errno.EROFS):
            sent = 0
            while (number := outbox.oldest_after(PORTAL)) is not None:
                outbox.settle(take(outbox, number), None)
                sent += 1
            assert sent == 11
        retry_now(outbox)
        assert len(numbers(outbox)) == 29


def mount_small(directory: Path) -> None:
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")


def fill_to_the_brim(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", 0) as out:
        while True:
            out.write(b"\0" * 4096)


def test_a_disk_filled_to_the_brim(tmp_path: Path) -> None:
    """It goes on in what it has, then in memory, drains all the same, and then it is back."""
    place = tmp_path / "small"
    mount_small(place)
    try:
        with opened(place / "outbox", max_bytes=400_000) as outbox:
            store(outbox, *range(1, 20), size=1000)
            filler = place / "filler"
            fill_to_the_brim(filler)
            store(outbox, *range(20, 80), size=1000)
            assert minutes(outbox)[-1] == 79
            assert len(minutes(outbox)) + lost(outbox) == 79
            for number in numbers(outbox)[:-2]:
                outbox.settle(take(outbox, number), None)
            filler.unlink()
            retry_now(outbox)
            assert outbox.view().fault is None
            store(outbox, 80)
            crash(outbox)
        with opened(place / "outbox", max_bytes=400_000) as outbox:
            assert minutes(outbox) == [78, 79, 80]
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_flush_that_hangs_is_told_while_it_hangs(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By whoever looks or stores, once; and once more when the disk is fast again."""
    caplog.set_level("INFO")
    monkeypatch.setattr(fault_log, "SLOW_S", 1.0)
    with opened(directory) as outbox:
        with monkeypatch.context() as patch:
            disk = HangingFlush(patch)
            outbox.store(body_of(0), portal_id=PORTAL, is_clock_trusted=True)
            disk.wait()
            until(lambda: "s so far" in (outbox.view().fault or ""))
            outbox.store(body_of(1), portal_id=PORTAL, is_clock_trusted=True)
            assert said(caplog, "slow: a flush has taken") == 1
            disk.let_go()
        until(lambda: minutes(outbox) == [0, 1])
        assert said(caplog, "slow") == 1
        assert said(caplog, "fast again") == 1
        assert outbox.view().fault is None


def test_a_flush_that_hangs_is_told_though_nobody_looks(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next measurement tells it, before the disk answers."""
    monkeypatch.setattr(fault_log, "SLOW_S", 0.1)
    gate = threading.Event()
    with opened(directory) as outbox:

        def stored() -> bool:
            outbox.store(body_of(0), portal_id=PORTAL, is_clock_trusted=True)
            return bool(said(caplog, "s so far"))

        with monkeypatch.context() as patch:
            patch.setattr(files, "flush", lambda descriptor: gate.wait(20))
            until(stored)
            gate.set()


def test_how_long_a_flush_takes_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From 5 s on, once."""
    told = fault_log.FaultLog(directory)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with told.flushing():
        told.look()
        assert said(caplog, "slow") == 0
        now[0] += 7.0
        told.look()
        assert said(caplog, "a flush has taken 7 s so far") == 1
        told.look()
    assert said(caplog, "slow") == 1
