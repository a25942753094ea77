"""Tests the log of a day on which things come and go: a few lines of each kind, and a count."""

import errno
import io
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox.fault_log import FaultLog
from mqtt_http_bridge.app.log import OURS, _Handler, write_log
from mqtt_http_bridge.core.delivery.answers import Answer, NoReply, Reply
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.status.periodic_log import PeriodicLog
from mqtt_http_bridge.core.views import BackendView, OutboxView, RelayView, StatusView
from tests.support.measuring import measurement
from tests.support.sending import Scripted, Sending, taken
from tests.support.virtual import PORTAL, Virtual, connected, moment, settings

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("quick_disk")]
MINUTE_S = 60.0
MINUTES = 24 * 60


class Day:
    """A log in virtual time, and all that flaps each minute: down in the first half."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.now_s = 0.0
        self._out = io.StringIO()
        self.handler = _Handler(self._out, Redaction([]), lambda: self.now_s)
        self._monkeypatch = monkeypatch
        self._directory = tmp_path
        self._relay: Virtual | None = None

    def lines(self) -> list[str]:
        self.handler.close()
        return self._out.getvalue().splitlines()

    def tell_new(self, virtual: Virtual) -> None:
        for done in virtual.done:
            if isinstance(done.command, Log):
                write_log(done.command)
        virtual.reset()

    def broker(self) -> Callable[[bool], None]:
        virtual = connected(settings(PORTAL))

        def flap(is_down: bool) -> None:
            if is_down:
                virtual.disconnect()
            else:
                virtual.connect()
                virtual.heartbeat()
                virtual.answer()
            self.tell_new(virtual)
            virtual.let_beat(30.0) if not is_down else virtual.let(30.0)
            self.tell_new(virtual)

        return flap

    def charger(self) -> Callable[[bool], None]:
        virtual = connected(settings(PORTAL, device={"forget_after_s": 0.0}))
        virtual.answer()

        def flap(is_down: bool) -> None:
            if is_down:
                virtual.charger_leaves()
            else:
                virtual.charger()
            virtual.let_beat(30.0)
            self.tell_new(virtual)

        return flap

    def disk(self) -> Callable[[bool], None]:
        faults = FaultLog(self._directory)
        self._monkeypatch.setattr(time, "monotonic", lambda: self.now_s)

        def flap(is_down: bool) -> None:
            if is_down:
                faults.refused(OSError(errno.EIO, os.strerror(errno.EIO)))
            else:
                faults.well()

        return flap

    def backend(self) -> Callable[[bool], None]:
        number = [0]

        def answer(body: bytes) -> Answer:
            number[0] += 1
            if not is_backend_down:
                return taken(body)
            return NoReply(f"cut off {number[0]}") if number[0] % 2 else Reply(503)

        is_backend_down = False
        sending = Sending(self._directory / "outbox", Scripted(answer))
        owed = PeriodicLog(moment(0.0), nothing_stored)

        def flap(is_down: bool) -> None:
            nonlocal is_backend_down
            is_backend_down = is_down
            sending.send(measurement("A", at_s=self.now_s), for_s=30.0)
            for line in owed.tell(moment(self.now_s), RelayView(moment(self.now_s))):
                write_log(line)

        return flap


def nothing_stored(now: Moment, relay: RelayView) -> StatusView:
    """Makes the status with a backend that has not answered."""
    outbox = OutboxView(waiting=9)
    return StatusView("1", moment(0.0), now, relay, BackendView(), outbox, interval_s=30.0)


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Day]:
    day = Day(monkeypatch, tmp_path)
    with attached(day.handler):
        yield day


@contextmanager
def attached(handler: logging.Handler) -> Iterator[None]:
    ours = logging.getLogger(OURS)
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel("INFO")
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


@pytest.mark.parametrize(
    ("names", "most"),
    [
        (("broker",), 12),
        (("charger",), 12),
        (("disk",), 8),
        (("backend",), 14),
        (("broker", "charger", "disk", "backend"), 30),
    ],
    ids=["broker", "charger", "disk", "backend", "all at once"],
)
def test_what_flaps_each_minute_all_day(day: Day, names: tuple[str, ...], most: int) -> None:
    """Thirty lines at most, all at once, too; and at the end of it how many were left out."""
    flaps = [getattr(day, name)() for name in names]
    for minute in range(MINUTES):
        for half in (0, 1):
            day.now_s = minute * MINUTE_S + 30.0 * half
            for flap in flaps:
                flap(not half)
            day.handler.tell_what_is_due()
    day.now_s = MINUTES * MINUTE_S + 60.0
    day.handler.tell_what_is_due()
    *lines, last = day.lines()
    assert "lines were left out of the log in a day" in last
    assert int(last.split()[1]) > 1000
    assert len(lines) >= 6
    assert len(lines) < most, "\n".join(lines)
