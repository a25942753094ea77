"""Tests that it is known since when the disk has been at work."""

import os
import threading
import time
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox.disk_waits import LONGEST_S, DiskWaits
from tests.support.outboxes import fill, opened
from tests.support.patience import wait_until
from tests.support.running import TIMEOUT_S


def test_nothing_is_under_way_at_first_and_at_the_end() -> None:
    """Nor after an error."""
    waits = DiskWaits()
    assert waits.until_s() == -float("inf")
    with pytest.raises(OSError, match="5"), waits.waiting():
        raise OSError(5, "5")
    assert waits.until_s() == -float("inf")


def test_a_call_within_another_is_a_part_of_it() -> None:
    """It neither begins anew nor ends early."""
    waits = DiskWaits()
    with waits.waiting():
        until_s = waits.until_s()
        assert until_s == pytest.approx(time.monotonic() + LONGEST_S, abs=TIMEOUT_S)
        with waits.waiting():
            assert waits.until_s() == until_s
        assert waits.until_s() == until_s


def test_the_call_that_has_taken_longest_counts() -> None:
    """Others that come and go in the meantime give it no more time."""
    waits, is_over = DiskWaits(), threading.Event()

    def hang() -> None:
        with waits.waiting():
            is_over.wait(TIMEOUT_S)

    thread = threading.Thread(target=hang)
    thread.start()
    wait_until(lambda: waits.until_s() > 0.0)
    until_s = waits.until_s()
    with waits.waiting():
        assert waits.until_s() == until_s
    is_over.set()
    thread.join(TIMEOUT_S)
    assert waits.until_s() == -float("inf")


@pytest.mark.parametrize("name", ["pread", "pwrite", "fdatasync", "statvfs", "scandir"])
def test_each_call_of_an_outbox_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever the thread that makes it."""
    until_s: list[float] = []
    with opened(tmp_path):
        pass
    with monkeypatch.context() as patch:
        call = getattr(os, name)

        def note(*arguments: object) -> object:
            until_s.append(found[0].disk_until_s() if found else 1.0)
            return call(*arguments)

        found = []
        with opened(tmp_path) as outbox:
            found.append(outbox)
            patch.setattr(os, name, note)
            fill(outbox, 2)
            outbox.room()
            outbox._log.segments.files.read(1)
            patch.undo()
            assert outbox.disk_until_s() == -float("inf")
    assert until_s
    assert min(until_s) > 0.0
