"""Tests what senders see and when, also while the log is being cleaned."""

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, cleaning, files
from tests.adapters.outbox.refusing import refusing_everything
from tests.adapters.outbox.support import (
    PORTAL,
    body_of,
    crash,
    minutes,
    numbers,
    opened,
    settled,
    store,
    take,
    until,
)

SMALL = 16 * 16 * 1024


def test_a_sender_is_woken_once_the_entry_is_there(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before its flush, and not without it."""
    with opened(directory) as outbox:
        settled(outbox)
        monkeypatch.setattr(files, "flush", lambda descriptor: time.sleep(0.05))
        seen = outbox.wait(-1, 0.0)
        for minute in range(1, 6):
            outbox.store(body_of(minute), portal_id=PORTAL, is_clock_trusted=True)
            seen = outbox.wait(seen, 10.0)
            assert minutes(outbox) == list(range(1, minute + 1))
        assert outbox.wait(seen, 0.0) == seen
        outbox.wake()
        assert outbox.wait(seen, 10.0) != seen


def test_a_measurement_wakes_senders_once(directory: Path) -> None:
    """And a look at the disk that finds nothing new wakes nobody."""
    with opened(directory) as outbox:
        settled(outbox)
        seen = outbox.wait(-1, 0.0)
        for _ in range(3):
            store(outbox, 1)
            outbox.writer._next_look_s = 0.0
            settled(outbox)
            seen += 1
            assert outbox.wait(seen - 1, 0.0) == seen


def test_many_senders_settle_each_entry_once(directory: Path) -> None:
    """Eight threads, a GX each, while more is stored and cleaned away."""
    with opened(directory, max_bytes=4 * SMALL) as outbox:
        sent: dict[str, list[int]] = {f"gx{n}": [] for n in range(8)}

        def send(portal: str) -> None:
            seen = -1
            while len(sent[portal]) < 100:
                seen = outbox.wait(seen, 1.0)
                while (number := outbox.oldest_after(portal)) is not None:
                    outbox.settle(take(outbox, number, portal), None)
                    sent[portal].append(number)

        threads = [threading.Thread(target=send, args=(portal,)) for portal in sent]
        for thread in threads:
            thread.start()
        for minute in range(100):
            for portal in sent:
                body = body_of(minute, size=700)
                outbox.store(body, portal_id=portal, is_clock_trusted=True)
            if minute % 10 == 0:
                settled(outbox)
        for thread in threads:
            thread.join(30)
        assert sorted(n for found in sent.values() for n in found) == list(range(1, 801))
        settled(outbox)
        assert len(list((directory / "log").iterdir())) <= 3
        crash(outbox)
    with opened(directory, max_bytes=4 * SMALL) as outbox:
        assert all(numbers(outbox, portal) == [] for portal in sent)


def test_what_is_settled_while_it_is_written_again_stays_settled(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaning lets others in between: what they say is not undone by what was read before."""
    with opened(directory, max_bytes=SMALL) as outbox:
        store(outbox, *range(1, 101))
        entries = [take(outbox, number) for number in numbers(outbox)]
        rest = entries[32:]

        def settle_others() -> None:
            for entry in rest:
                outbox.settle(entry, None if entry.number % 2 else body_of(500 + entry.number))
            rest.clear()

        monkeypatch.setattr(cleaning, "breathe", settle_others)
        for minute in range(200, 230):
            store(outbox, minute, size=2000)
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
        settled(outbox)
        assert not rest
        assert not (directory / "log" / "0000000000000001.log").exists()
        wanted = [*range(1, 33), *range(534, 601, 2)]
        assert minutes(outbox) == wanted
        crash(outbox)
    with opened(directory, max_bytes=SMALL) as outbox:
        assert minutes(outbox) == wanted


def test_an_entry_is_read_as_it_was_left(directory: Path) -> None:
    """Narrowed twice after a restart, with nothing in memory: it is the last text that counts."""
    with opened(directory) as outbox:
        store(outbox, 1, serials=["A", "B", "C"])
    with opened(directory) as outbox:
        for left in (["B", "C"], ["C"]):
            outbox.settle(take(outbox, 1), body_of(1, *left))
            store(outbox, 5)
            assert take(outbox, 1).body == body_of(1, *left)


def test_what_was_freed_is_written_again_as_owed(directory: Path) -> None:
    """The line that parked it goes with its segment, and the one that freed it, too."""
    with opened(directory, max_bytes=SMALL) as outbox:
        store(outbox, 1)
        entry = take(outbox, 1)
        outbox.park(entry, entry.body, ["HQ1"], "not found")
        outbox.unpark(PORTAL, "HQ1")
        assert take(outbox, 1).parked_serials == ()
        for minute in range(200, 230):
            store(outbox, minute, size=2000)
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
        settled(outbox)
        assert not (directory / "log" / "0000000000000001.log").exists()
        crash(outbox)
    with opened(directory, max_bytes=SMALL) as outbox:
        assert minutes(outbox) == [1]


def pending(outbox: Outbox) -> int:
    return len(outbox._log.waiting) + len(outbox._log.unflushed)


def test_what_came_and_went_while_the_disk_was_away_leaves_nothing(directory: Path) -> None:
    """However long it lasts, memory does not grow by what was delivered."""
    with opened(directory) as outbox, refusing_everything():
        store(outbox, 1)
        before = pending(outbox)
        for minute in range(2, 50):
            store(outbox, minute)
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
        assert pending(outbox) == before


def test_a_drain_without_new_entries_is_flushed(directory: Path) -> None:
    """Everything that is only written does not pile up until the next measurement."""
    with opened(directory) as outbox:
        store(outbox, *range(3000))
        for number in numbers(outbox):
            outbox.settle(take(outbox, number), None)
        until(lambda: pending(outbox) < 600)


def test_a_closed_outbox_has_no_file_open(directory: Path) -> None:
    """Whoever opens it again and again, as its directory was moved, does not run out of them."""
    for _ in range(2):
        with opened(directory, max_bytes=16 * 16_384) as outbox:
            store(outbox, *range(1, 4), size=12_000)
            assert any("/log/" in name for name in open_files(directory))
        assert open_files(directory) == []


def open_files(directory: Path) -> list[str]:
    """Names the open files of this process that lie in a directory."""
    names = list[str]()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # That of the look itself.
            names.append(str(descriptor.readlink()))
    return [name for name in names if name.startswith(str(directory))]
