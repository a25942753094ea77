"""Tests how often the outbox is looked at, and what happens without a disk."""

import errno
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.outbox_observer import DISK_KEPT_S, KEPT_S, SHARE, OutboxObserver
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.views import GxOwed, OutboxView
from tests.adapters.outbox.refusing import refusing_everything
from tests.support.outboxes import GX, START, fill, measurement, opened, store, take


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Gives an outbox in which one measurement waits."""
    with opened(tmp_path / "outbox") as outbox:
        fill(outbox, 1)
        yield outbox


def test_it_looks_now_and_then(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding is good for two seconds, and longer where looking takes its time."""
    now_s, takes_s, looks = [0.0], [0.0], list[float]()
    observer = OutboxObserver(outbox, 30.0, lambda: moment(now_s[0]))

    def look(_: Moment) -> OutboxView:
        looks.append(now_s[0])
        now_s[0] += takes_s[0]
        return OutboxView(bytes=len(looks))

    monkeypatch.setattr(observer, "look", look)
    assert observer.view().bytes == 1
    now_s[0] = KEPT_S - 0.1
    assert observer.view().bytes == 1
    now_s[0], takes_s[0] = KEPT_S, 1.0
    assert observer.view().bytes == 2
    now_s[0] = KEPT_S + 1.0 + 1.0 / SHARE - 0.1
    assert observer.view().bytes == 2
    now_s[0] += 0.1
    assert observer.view().bytes == 3


def test_without_a_disk_it_still_counts(outbox: Outbox) -> None:
    """The outbox itself knows what waits; nobody knows how much room there is."""
    observer = OutboxObserver(outbox, 30.0, lambda: moment(0.0))
    shutil.rmtree(outbox.directory)
    found = observer.view()
    assert (found.waiting, found.hours_of_room) == (1, None)


def test_a_disk_that_does_not_say_what_is_damaged(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is still known from the look before, and the one who looks goes on."""
    now_s = [0.0]
    observer = OutboxObserver(outbox, 30.0, lambda: moment(now_s[0]))
    kept = outbox.directory / "damaged"
    kept.mkdir()
    (kept / "a part").touch()
    assert observer.view().damaged == 1

    def refused(place: Path) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))

    monkeypatch.setattr(os, "listdir", refused)
    now_s[0] = DISK_KEPT_S
    assert observer.view().damaged == 1


def test_what_is_owed_is_told_by_gx(outbox: Outbox) -> None:
    """Shows how much waits, since when, and what is parked: of what there was, by its time."""
    now = Moment(10_000.0, START + timedelta(minutes=11))
    observer = OutboxObserver(outbox, 30.0, lambda: now)
    store(outbox, measurement(9, "B"), measurement(10), portal_id="other")
    outbox.park(take(outbox, 2, "other"), DIALECT.body(measurement(9, "B")), ["B"], "fails: 500")
    found = observer.view()
    assert found.gx[GX] == GxOwed(waiting=1, newest=1, since_s=10_000.0 - 600.0)
    other = found.gx["other"]
    assert (other.waiting, other.newest, other.since_s) == (1, 3, 10_000.0)
    (parked,) = other.parked
    assert (parked.serial, parked.reports, parked.reason) == ("B", 1, "500")
    assert parked.since_s == 10_000.0
    assert (found.parked, found.looked_s) == (other.parked, 10_000.0)
    outbox.settle(take(outbox, 1), None)


def test_a_gx_of_which_nothing_is_owed_is_not_told(outbox: Outbox) -> None:
    """All that it sent is stored."""
    outbox.settle(take(outbox, 1), None)
    assert dict(OutboxObserver(outbox, 30.0, lambda: moment(0.0)).view().gx) == {}


def test_what_only_memory_has_is_counted(outbox: Outbox) -> None:
    """With why the disk does not take it."""
    with refusing_everything():
        fill(outbox, 2, 3)
        found = OutboxObserver(outbox, 30.0, lambda: moment(0.0)).view()
    assert (found.waiting, found.in_memory) == (3, 2)
    assert found.fault == "Input/output error"


def moment(second: float) -> Moment:
    """A moment after the start."""
    return Moment(second, START + timedelta(seconds=second))
