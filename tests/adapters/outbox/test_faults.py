"""Tests any single system call that fails, at any time: nothing is lost, nothing is damaged.

Here it is the n-th call, whatever it is; tests/adapters/outbox/test_disk_that_refuses.py has disks
that refuse for longer, and what is said of them. Every day each tenth call fails, and `./tests/run
slow` has each fail in all ways, and with the calls that follow it.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox
from tests.adapters.outbox.support import (
    FORMAT,
    PORTAL,
    body_of,
    lost,
    minute_of,
    numbers,
    opened,
    outbox_in,
    settled,
)
from tests.support.extent import IS_LONG, extent
from tests.support.faulty_os import CODES, HALF, faulty_os

pytestmark = pytest.mark.slow

SMALL: Final = 16 * 16 * 1024
"""Room for sixteen of the smallest segments, so that they are rolled and cleaned away."""
SERIALS: Final = ("A", "B", "C")
WAYS: Final = (*CODES, HALF)
STEP: Final = extent(10, 1)
IN_A_ROW: Final = (7, 60)
"""Calls that fail together, in a long run."""
MOST_TRIES: Final = 100

Owed = set[tuple[int, str]]


class Life:
    """A short life of an outbox: store, send, settle, park, free, clean, close, open again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._minute = 0
        self.owed = Owed()
        """By minute and serial."""

    def lead(self) -> None:
        """Does everything once at least, with a start in between."""
        for life in range(2):
            outbox = outbox_in(self._directory, max_bytes=SMALL)
            try:
                self._act(outbox, is_last=life == 1)
            finally:
                outbox.close()

    def _act(self, outbox: Outbox, *, is_last: bool) -> None:
        for _ in range(9):
            self._store(outbox)
            if self._minute % 4 == 1:
                self._deliver(outbox, outbox.newest(PORTAL), "A", "B", "C")
            elif self._minute % 4 == 2:
                self._deliver(outbox, outbox.newest(PORTAL), "A", parked="B")
            elif self._minute % 4 == 3:
                self._deliver(outbox, outbox.oldest_after(PORTAL), "A")
        if is_last:
            outbox.unpark(PORTAL, "B")
        until_it_is_well(outbox)

    def _store(self, outbox: Outbox) -> None:
        self._minute += 1
        body = body_of(self._minute, *SERIALS, size=2500)
        outbox.store(body, portal_id=PORTAL, is_clock_trusted=True)
        settled(outbox)
        self.owed |= {(self._minute, serial) for serial in SERIALS}

    def _deliver(self, outbox: Outbox, number: int | None, *stored: str, parked: str = "") -> None:
        """One POST, if the entry can be read just now."""
        assert number is not None
        entry = outbox.take(PORTAL, number)
        if entry is None:
            return
        rest = [serial for serial in FORMAT.serials(entry.body) if serial not in stored]
        self.owed -= {(minute_of(entry.body), serial) for serial in stored}
        owed = FORMAT.only(entry.body, rest)
        if parked:
            outbox.park(entry, owed, rest, "not found")
        else:
            outbox.settle(entry, owed if rest else None)


def until_it_is_well(outbox: Outbox) -> None:
    """Has it try the disk again, without the pauses, until that takes everything."""
    for _ in range(MOST_TRIES):
        outbox.writer._next_look_s = 0.0
        settled(outbox)
        assert outbox.writer.is_alive()
        if outbox.view().fault is None:
            return
    raise AssertionError(outbox.view().fault)


def found_in(directory: Path) -> Owed:
    """Returns what the next process finds, owed or parked."""
    with opened(directory, max_bytes=SMALL) as outbox:
        for view in outbox.view().portals:
            for device in view.parked:
                outbox.unpark(view.portal_id, device.serial)
        found = Owed()
        for number in numbers(outbox):
            entry = outbox.take(PORTAL, number)
            assert entry is not None
            found |= {(minute_of(entry.body), s) for s in FORMAT.serials(entry.body)}
        assert lost(outbox) == 0
        return found


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes take no time. They are calls all the same."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


@pytest.fixture
def count(tmp_path: Path) -> int:
    """Counts how many calls a life takes that nothing happens to."""
    directory = tmp_path / "sound"
    with faulty_os(directory) as faulty:
        life = Life(directory / "outbox")
        life.lead()
    assert found_in(directory / "outbox") == life.owed
    assert len(life.owed) > 15
    return faulty.count


def cases(count: int) -> Iterator[tuple[range, int]]:
    """Returns which calls are to fail, and how."""
    ways = itertools.cycle(WAYS)
    for number in range(0, count, STEP):
        for way in WAYS if IS_LONG else [next(ways)]:
            yield range(number, number + 1), way
        for length in IN_A_ROW if IS_LONG else ():
            yield range(number, number + length), next(ways)


def test_each_call_of_a_life_fails(
    count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it is over, all that was stored and not delivered is there, and nothing else."""
    met = 0
    for number, (calls, way) in enumerate(cases(count)):
        directory = tmp_path / str(number)
        with faulty_os(directory) as faulty:
            faulty.fail(calls, way)
            life = Life(directory)
            life.lead()
            told = f"{calls} {way} {faulty.met}"
        met += bool(faulty.met)
        assert found_in(directory) == life.owed, told
        assert not (directory / "damaged").exists(), told
        assert "these are lost:" not in caplog.text, told
        caplog.clear()
        shutil.rmtree(directory)
    assert met > 0.9 * len(list(cases(count)))  # Not every life takes as many calls as the first.
