"""Tests that who looks and tells may wait for the disk, and nobody waits for them."""

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app.inbox import Inbox, ThreadDied, watch_threads
from mqtt_http_bridge.app.status_thread import AGAIN_S, StatusThread
from mqtt_http_bridge.app.watchdog import STATUS
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.status.state_json import from_json
from mqtt_http_bridge.core.views import RelayView
from tests.support.charger_values import single_tracker
from tests.support.patience import wait_until
from tests.support.running import TIMEOUT_S, World
from tests.support.virtual import moment


@dataclass
class Teller:
    """A teller that waits for its disk."""

    due_s: float = 1.0
    deadline_s: float = 1.0
    disk: threading.Event = field(default_factory=threading.Event)
    seen: list[float] = field(default_factory=list)

    def tell(self, now: Moment, relay: RelayView) -> list[Log]:
        """Says when it was of which it tells."""
        assert self.disk.wait(TIMEOUT_S)
        self.seen.append(relay.moment.monotonic_s)
        self.due_s = self.deadline_s = now.monotonic_s + 3.0
        return [Log.info(f"{now.monotonic_s:.0f}")]


class Telling:
    """A status thread with one teller, and what it writes."""

    def __init__(self) -> None:
        self.teller = Teller()
        self.lines: list[str] = []
        self.thread = StatusThread([self.teller], lambda line: self.lines.append(line.text))

    def tell(self, at_s: float) -> None:
        """Hands over a snapshot of this time."""
        assert self.thread.tell(moment(at_s), RelayView(moment(at_s))) == []


@pytest.fixture
def telling() -> Iterator[Telling]:
    """One that runs, with a disk that hangs at first."""
    telling = Telling()
    telling.thread.start()
    yield telling
    telling.teller.disk.set()
    telling.thread.end(lambda: None, TIMEOUT_S)
    assert not telling.thread.is_alive()


def test_the_first_time_of_all_counts() -> None:
    """Of each kind, whoever it is that wants it."""
    tellers = [Teller(1.0, 30.0), Teller(2.0, 20.0), Teller(NEVER, NEVER)]
    thread = StatusThread(tellers, lambda line: None)
    assert (thread.due_s, thread.deadline_s) == (1.0, 20.0)


def test_only_those_that_are_due_tell(telling: Telling) -> None:
    """The others have nothing to say yet."""
    telling.teller.disk.set()
    telling.tell(0.9)
    wait_until(lambda: telling.thread.due_s == 1.0)
    telling.tell(1.0)
    wait_until(lambda: telling.lines == ["1"])
    wait_until(lambda: telling.thread.due_s == telling.thread.deadline_s == 4.0)


def test_while_the_disk_hangs_nobody_waits_for_it(telling: Telling) -> None:
    """Nothing piles up: a snapshot that comes meanwhile is left out."""
    for at_s in (1.0, 12.0, 23.0):
        telling.tell(at_s)
        assert telling.thread.due_s == telling.thread.deadline_s == at_s + AGAIN_S
    assert telling.lines == []
    telling.teller.disk.set()
    wait_until(lambda: telling.thread.due_s == 4.0)
    assert telling.teller.seen == [1.0]
    telling.tell(34.0)
    wait_until(lambda: telling.lines == ["1", "34"])


def test_the_end_waits_for_the_disk_only_so_long(telling: Telling) -> None:
    """The last thing is done when the disk is back, if the process is still there."""
    done: list[int] = []
    telling.tell(1.0)
    telling.thread.end(lambda: done.append(len(telling.lines)), 0.01)
    assert done == []
    telling.teller.disk.set()
    telling.thread.join(TIMEOUT_S)
    assert done == [1]


def test_its_death_ends_the_service(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of any other thread."""
    monkeypatch.setattr(telling.teller, "tell", lambda now, relay: 1 // 0)
    inbox = Inbox()
    with watch_threads(inbox):
        telling.tell(1.0)
        assert inbox.get(TIMEOUT_S) == ThreadDied("status")
        telling.thread.join(TIMEOUT_S)


# --- the service ---------------------------------------------------------------------------------

HANG_S = 5.0
HANGING = """
import os, time
from mqtt_http_bridge.app import outbox_observer, state_reporter, wiring
from mqtt_http_bridge.core.status import state_file

state_reporter.LEAST_SPACING_S = state_file.LEAST_SPACING_S = 0.2
outbox_observer.KEPT_S = outbox_observer.DISK_KEPT_S = outbox_observer.SHARE = 0.01
wiring.END_S = 2.0

def hanging(call):
    def hang(*arguments, **options):
        while os.path.exists("hangs"):
            time.sleep(0.02)
        return call(*arguments, **options)
    return hang

for name in ("pread", "pwrite", "statvfs", "scandir", "fdatasync", "fsync", "unlink"):
    setattr(os, name, hanging(getattr(os, name)))
"""
"""Has each of these calls hang while there is such a file; the state is told at each event."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A GX with a charger, and a backend."""
    with World(tmp_path) as world:
        world.add_gx().add("solarcharger", 277, single_tracker())
        yield world


def told_s(world: World) -> float:
    """Returns of when the state in the state file is."""
    return max((from_json(text).written_s for text in StateFile(world.spool).read()), default=0.0)


def test_while_the_disk_hangs_no_beat_is_missed(world: World) -> None:
    """The state is told once the disk is back, and all that was measured is sent."""
    process = world.run(fault=f"exec({HANGING!r})")
    world.backend.wait_for(2, TIMEOUT_S)
    wait_until(lambda: told_s(world) > 0.0)
    hangs = world.directory / "hangs"
    hangs.touch()
    time.sleep(HANG_S / 2)
    before_s, count = told_s(world), len(world.taken)
    time.sleep(HANG_S / 2)
    assert (told_s(world), len(world.taken)) == (before_s, count)
    hangs.unlink()
    wait_until(lambda: told_s(world) > before_s + HANG_S / 2)
    world.wait_until(lambda: len(world.taken) > count + HANG_S)
    times = sorted({datetime.fromisoformat(text) for text, _ in world.backend.stored})
    # One second apart, and on a busy machine more. If the disk counted, it would be all of HANG_S.
    assert max((later - earlier).total_seconds() for earlier, later in pairwise(times)) < HANG_S - 1
    assert process.stop() == 0


def test_a_disk_that_hangs_does_not_keep_the_service_from_ending(world: World) -> None:
    """It says what may be lost, and where each thread was."""
    process = world.run(fault=f"exec({HANGING!r})")
    world.backend.wait_for(2, TIMEOUT_S)
    (world.directory / "hangs").touch()
    time.sleep(HANG_S / 2)
    process.send(signal.SIGTERM)
    assert process.wait() == STATUS
    process.wait_for(r"CRITICAL not ended after 2 s: ending by force: up to ")
    assert process.said("the thread outbox is at ")
