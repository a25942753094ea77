"""Tests looking at the outbox from outside, with and without a running service."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, inspection, writer
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.requests import drop_requests
from mqtt_http_bridge.core.errors import LocalFault
from tests.adapters.outbox.refusing import refusing, refusing_everything
from tests.adapters.outbox.support import (
    BOOT,
    FORMAT,
    PORTAL,
    body_of,
    crash,
    lost,
    minute_of,
    minutes,
    numbers,
    opened,
    outbox_in,
    parked,
    settled,
    store,
    take,
    until,
)

pytestmark = pytest.mark.usefixtures("quick_disk")
LIMIT = 8_000_000


@pytest.fixture
def outbox(directory: Path) -> Iterator[Outbox]:
    """The service's, open all the time: minutes 1 to 3 are owed, 4 is parked of one device."""
    found = outbox_in(directory)
    store(found, 1, 2, 3)
    store(found, 4, serials=["A", "B"])
    found.park(take(found, 4), body_of(4, "B"), ["B"], "not found")
    yield found
    found.close()


def look_now(outbox: Outbox) -> None:
    """Five seconds have passed."""
    outbox.writer._next_look_s = 0.0
    settled(outbox)


def test_status(outbox: Outbox, directory: Path) -> None:
    """Shows how much each GX is owed, since when, what is parked and why, and the size."""
    found = inspection.status(directory, LIMIT, FORMAT)
    assert found.directory == str(directory)
    assert found.is_in_use
    assert (found.oldest, found.damaged, found.lost) == (FORMAT.timestamp(body_of(1)), 0, ())
    (portal,) = found.portals
    assert (portal.portal_id, portal.owed, portal.oldest, portal.newest) == (PORTAL, 3, 1, 3)
    (device,) = portal.parked
    assert (device.serial, device.reason, device.entries) == ("B", "not found", 1)
    assert found.bytes == 256 * 1024
    assert found.max_bytes == LIMIT
    assert 0 < found.owed_bytes < 1000


def test_status_of_a_service_that_is_gone(outbox: Outbox, directory: Path) -> None:
    """The same, but that nobody has it open."""
    outbox.close()
    assert not inspection.status(directory, LIMIT, FORMAT).is_in_use


def test_list(outbox: Outbox, directory: Path) -> None:
    """All that is owed and parked, by number, as it would be sent."""
    found = list(inspection.entries(directory, FORMAT))
    assert [(e.number, minute_of(e.body), e.parked_serials) for e in found] == [
        (1, 1, ()),
        (2, 2, ()),
        (3, 3, ()),
        (4, 4, ("B",)),
    ]
    assert found[3].reason == "not found"
    assert found[3].body == body_of(4, "B")


def test_list_shows_the_time_that_will_be_sent(tmp_path: Path) -> None:
    """Times that were put right are shown so."""
    with opened(tmp_path / "outbox", boot=BOOT) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(3600.0)
        settled(outbox)
        (found,) = inspection.entries(outbox.directory, FORMAT)
        assert found.body == body_of(61)


def test_show(outbox: Outbox, directory: Path) -> None:
    """One entry, or none of that number."""
    found = inspection.entry(directory, 2, FORMAT)
    assert found is not None
    assert found.body == body_of(2)
    assert inspection.entry(directory, 99, FORMAT) is None


def test_looking_moves_nothing(outbox: Outbox, directory: Path) -> None:
    """Not even an incomplete last line, which is taken as not there."""
    path = directory / "log" / "0000000000000001.log"
    with path.open("r+b") as stream:
        stream.seek(len(path.read_bytes().rstrip(b"\n")) + 1)
        stream.write(b"0badf00d put 9 " + PORTAL.encode())
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    assert len(list(inspection.entries(directory, FORMAT))) == 4
    inspection.status(directory, LIMIT, FORMAT)
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before


def test_one_entry_that_cannot_be_read_hides_no_other(outbox: Outbox, directory: Path) -> None:
    """It is damaged: the others are listed."""
    path = directory / "log" / "0000000000000001.log"
    path.write_bytes(path.read_bytes().replace(b"06:02:00", b"06:02:07"))
    assert [e.number for e in inspection.entries(directory, FORMAT)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("wanted", "is_parked_only", "owed", "kept"),
    [
        ([1, 3], False, [2], [4]),
        ([4], False, [1, 2, 3], []),
        (None, True, [1, 2, 3], []),
        (None, False, [], []),
        ([99], False, [1, 2, 3], [4]),
    ],
)
@pytest.mark.parametrize("is_running", [True, False], ids=["service", "no service"])
def test_drop(
    outbox: Outbox,
    directory: Path,
    *,
    wanted: list[int] | None,
    is_parked_only: bool,
    owed: list[int],
    kept: list[int],
    is_running: bool,
) -> None:
    """Exactly what was asked for is gone, by the service or without one; counted, with its time."""
    if not is_running:
        outbox.close()
    dropped = inspection.request_drop(directory, wanted, FORMAT, parked_only=is_parked_only)
    if is_running:
        assert dropped is None
        look_now(outbox)
        outbox.close()
    else:
        assert len(dropped or []) == 4 - len(owed) - len(kept)
    with opened(directory) as again:
        assert minutes(again) == owed
        assert parked(again, "B") == kept
        assert lost(again) == 4 - len(owed) - len(kept)
        assert {loss.reason for loss in again.view().losses} <= {"dropped by a person"}
        assert all(loss.since.startswith("2026-03-14T06:0") for loss in again.view().losses)


def test_drop_where_nothing_was_ever_stored(directory: Path) -> None:
    """There is no segment yet: there is nothing to drop, and it says so."""
    log_files = LogFiles(directory)
    log_files.take()
    log_files.give_up()
    assert inspection.request_drop(directory, None, FORMAT, parked_only=False) == []


def test_an_entry_under_way_may_be_dropped(outbox: Outbox, directory: Path) -> None:
    """The verdict on it finds nothing to do, and nothing else suffers."""
    entry = take(outbox, 1)
    inspection.request_drop(directory, [1], FORMAT, parked_only=False)
    look_now(outbox)
    outbox.settle(entry, body_of(1))
    assert minutes(outbox) == [2, 3]


def test_what_is_dropped_while_it_is_pending_stays_dropped(outbox: Outbox, directory: Path) -> None:
    """A disk that fails afterwards is not told of it again."""
    outbox.settle(take(outbox, 3), body_of(3, "X"))
    inspection.request_drop(directory, [3], FORMAT, parked_only=False)
    look_now(outbox)
    with refusing(5, "write"):
        store(outbox, 5)
    outbox.writer._next_look_s = 0.0
    settled(outbox)
    assert minutes(outbox) == [1, 2, 5]


def test_retry(outbox: Outbox, directory: Path) -> None:
    """The service hears of it once, and wakes its senders; without one that is said."""
    seen = outbox.wait(-1, 0.0)
    assert inspection.request_retry(directory)
    look_now(outbox)
    assert outbox.retry_requests == 1
    assert outbox.wait(seen, 5.0) != seen
    look_now(outbox)
    assert outbox.retry_requests == 1
    outbox.close()
    assert not inspection.request_retry(directory)
    assert list((directory / "requests").iterdir()) == []


def test_requests_are_seen_within_five_seconds(outbox: Outbox, directory: Path) -> None:
    """With nothing else to do."""
    inspection.request_retry(directory)
    until(lambda: outbox.retry_requests == 1)


def test_nobody_looks_for_requests_while_nothing_waits(
    outbox: Outbox, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are about what is owed or parked; with the next entry they are looked for again."""
    monkeypatch.setattr(writer, "LOOK_EVERY_S", 0.02)
    inspection.request_drop(directory, None, FORMAT, parked_only=False)
    look_now(outbox)
    turns = outbox.progress.turns
    inspection.request_retry(directory)
    time.sleep(0.2)
    assert outbox.progress.turns == turns
    assert outbox.retry_requests == 0
    store(outbox, 5)
    until(lambda: outbox.progress.turns > turns + 2)
    assert outbox.retry_requests == 1


def test_what_is_measured_after_a_drop_stays(outbox: Outbox, directory: Path) -> None:
    """However long the service takes to see it: nobody has asked for that to go."""
    assert inspection.request_drop(directory, None, FORMAT, parked_only=False) is None
    store(outbox, 5, 6)
    look_now(outbox)
    assert minutes(outbox) == [5, 6]


def test_a_drop_that_the_service_did_not_see_is_done_by_the_next(
    outbox: Outbox, directory: Path
) -> None:
    """Before anything is sent, and nothing else goes."""
    inspection.request_drop(directory, [2], FORMAT, parked_only=False)
    assert list((directory / "requests").iterdir()) != []
    crash(outbox)
    with opened(directory) as again:
        assert minutes(again) == [1, 3]


def test_on_a_disk_that_refuses_all_is_tried_and_nothing_dropped(
    outbox: Outbox, directory: Path
) -> None:
    """Dropping has to be written down: that waits for the disk."""
    with refusing_everything():
        store(outbox, 5)
        inspection.request_drop(directory, [1], FORMAT, parked_only=False)
        inspection.request_retry(directory)
        look_now(outbox)
        assert outbox.retry_requests == 1
        assert [path.name for path in (directory / "requests").iterdir()] == ["drop.1"]
    look_now(outbox)
    assert minutes(outbox) == [2, 3, 5]


def test_a_request_is_a_name() -> None:
    """One for each number: a file system takes it, and a full disk does, too."""
    assert drop_requests([17, 18], parked_only=False, newest=9) == ["drop.17", "drop.18"]
    assert drop_requests(None, parked_only=False, newest=9) == ["drop.all.9"]
    assert drop_requests(None, parked_only=True, newest=9) == ["drop.parked.9"]
    assert drop_requests([], parked_only=False, newest=9) == []


@pytest.mark.parametrize(
    "name", ["drop.", "drop.x", "drop.1x", "drop.-1", "what", "drop.9999999999999"]
)
def test_a_request_that_somebody_made_up(outbox: Outbox, directory: Path, name: str) -> None:
    """It is overlooked, and goes away."""
    (directory / "requests").mkdir(exist_ok=True)
    (directory / "requests" / name).touch()
    look_now(outbox)
    assert numbers(outbox) == [1, 2, 3]
    assert list((directory / "requests").iterdir()) == []


def test_where_there_is_no_outbox(directory: Path) -> None:
    """It says so, and makes none."""
    for look in (
        lambda: inspection.status(directory, LIMIT, FORMAT),
        lambda: list(inspection.entries(directory, FORMAT)),
        lambda: inspection.request_retry(directory),
        lambda: inspection.request_drop(directory, None, FORMAT, parked_only=False),
    ):
        with pytest.raises(LocalFault, match="expected an outbox, found none"):
            look()
    assert not directory.exists()


def test_one_may_look_at_any_time(directory: Path) -> None:
    """While others store, send and clean as fast as they can: nothing owed all along is missed."""
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        store(outbox, 1, size=300)
        is_over = threading.Event()

        def work() -> None:
            while not is_over.is_set():
                store(outbox, *range(2, 12), size=2000)
                for number in numbers(outbox)[1:]:
                    outbox.settle(take(outbox, number), None)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for _ in range(30):
                found = list(inspection.entries(directory, FORMAT))
                assert found[0].number == 1
                inspection.status(directory, None, FORMAT)
        finally:
            is_over.set()
            worker.join()


def test_a_drop_is_no_loss_that_is_to_be_mended(
    outbox: Outbox, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and the log does not call for more room."""
    inspection.request_drop(directory, [1, 2], FORMAT, parked_only=False)
    look_now(outbox)
    assert minutes(outbox) == [3]
    assert lost(outbox) == 2
    assert "had to give up" not in caplog.text


def test_a_pipe_in_the_place_of_the_lock_is_not_waited_for(directory: Path) -> None:
    """Whoever asks must get an answer."""
    with opened(directory):
        pass
    (directory / "lock").unlink()
    os.mkfifo(directory / "lock")
    assert not inspection.status(directory, LIMIT, FORMAT).is_in_use
