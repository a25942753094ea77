"""Tests the watchdog in real time: a thread that hangs ends the process, and nothing else does."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from mqtt_http_bridge.adapters import systemd
from mqtt_http_bridge.app.watchdog import STATUS, ending_within, stacks, watching
from mqtt_http_bridge.core.watchdog import MOST_WITHOUT_TURN, Progress
from tests.support.extent import IS_LONG
from tests.support.freezing import freezer
from tests.support.patience import wait_until
from tests.support.running import STOP_S, TIMEOUT_S, World, full_pipe

pytestmark = pytest.mark.one_charger

LOOK_S = 0.6
"""Between two looks here; a look may be a quarter of that late."""


def test_only_the_thread_that_stands_still_is_named() -> None:
    """The other one goes on, and a busy one has time."""
    standing, going, busy = (Progress(name, time.monotonic) for name in ("a", "b", "c"))
    found: list[Sequence[str]] = []
    busy.busy(1000.0)
    with watching((standing, going, busy), look_every_s=LOOK_S, end=found.append):
        deadline_s = time.monotonic() + TIMEOUT_S
        while not found and time.monotonic() < deadline_s:
            going.turn()
            time.sleep(LOOK_S / 20)
    assert found == [["a"]]


def test_within_its_time_nobody_is_ended() -> None:
    """And the looks end with what they are for."""
    looks, found = list[float](), list[Sequence[str]]()

    class Ended(Progress):
        def is_busy(self, now_s: float) -> bool:
            looks.append(now_s)
            return super().is_busy(now_s)

    progress = Ended("a", time.monotonic)
    progress.end()
    with watching((progress,), look_every_s=0.01, end=found.append):
        wait_until(lambda: len(looks) > 2 * MOST_WITHOUT_TURN)
    assert all(thread.name != "watchdog" for thread in threading.enumerate())
    assert found == []


def test_an_end_in_time_is_not_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what never begins to end."""
    forced: list[int] = []
    monkeypatch.setattr(os, "_exit", forced.append)
    with ending_within(0.0):
        pass
    with ending_within(TIMEOUT_S) as begin:
        begin(lambda: "nothing is lost")
    assert forced == []
    assert all(thread.name != "end" for thread in threading.enumerate())


def test_every_thread_is_told_with_where_it_is() -> None:
    """Innermost first, by the name of the file, without reading any."""
    stopping = threading.Event()

    def stand_still() -> None:
        stopping.wait(TIMEOUT_S)

    thread = threading.Thread(target=stand_still, name="standing")
    thread.start()
    wait_until(lambda: any("standing is at threading.py" in line for line in stacks()))
    (line,) = [line for line in stacks() if "standing" in line]
    stopping.set()
    thread.join()
    assert re.search(r"wait < test_watchdog\.py:\d+ stand_still < threading\.py:\d+ run", line)


# --- the service ---------------------------------------------------------------------------------

QUICK = (
    "from mqtt_http_bridge.adapters.broker import broker; "
    "from mqtt_http_bridge.adapters.outbox import writer; "
    "from mqtt_http_bridge.app import dispatcher, main_loop, senders, status_thread; "
    "from mqtt_http_bridge.app import watchdog, wiring; "
    f"broker.LONGEST_WAIT_S = main_loop.LONGEST_WAIT_S = writer.LONGEST_REST_S = {LOOK_S / 2}; "
    f"dispatcher.LONGEST_REST_S = senders.LONGEST_REST_S = {LOOK_S / 2}; "
    f"dispatcher.LONGEST_WAIT_S = status_thread.LONGEST_REST_S = {LOOK_S / 2}; "
    f"wiring.watching = lambda threads: watchdog.watching(threads, look_every_s={LOOK_S})"
)
"""A statement that has the looks come soon, and the turns as well."""
HANG_IN_RELAY = (
    "from mqtt_http_bridge.core.relay.relay import Relay; import threading; "
    "Relay.handle = lambda self, event: threading.Lock().__enter__() and threading.Event().wait()"
)
HANG_IN_READ = (
    "from mqtt_http_bridge.adapters.broker import broker; import threading; "
    "broker.Broker._read = lambda self: threading.Event().wait()"
)
HANG_IN_WRITER = (
    "from mqtt_http_bridge.adapters.outbox import writer; import threading; "
    "writer.Writer._take_in = lambda self, items: threading.Event().wait()"
)


@pytest.mark.parametrize(
    ("fault", "name"),
    [(HANG_IN_RELAY, "main"), (HANG_IN_READ, "broker"), (HANG_IN_WRITER, "outbox")],
    ids=["main", "broker", "outbox"],
)
def test_a_thread_that_stands_still_ends_the_service(world: World, fault: str, name: str) -> None:
    """With a status that is not 0, and a line for each thread that tells where it was."""
    process = world.run(fault=f"{QUICK}; {fault}")
    assert process.wait() == STATUS
    assert process.said(
        f"CRITICAL {name}: no progress for a minute: ending, so that it is started again"
    )
    (line,) = process.said(f"CRITICAL the thread {'MainThread' if name == 'main' else name} is at")
    assert "wait < <string>:1" in line
    for other in ("watchdog", "log", "outbox", "sender 1"):
        assert process.said(f"the thread {other} is at ")


def test_it_ends_even_if_nobody_reads_why(world: World) -> None:
    """A full pipe for stdout and stderr keeps the log's thread, not the watchdog."""
    config = world.write_config()
    code = f"import sys; from mqtt_http_bridge.cli import main; {QUICK}; {HANG_IN_RELAY}; main()"
    command = [sys.executable, "-c", code, "run", "-c", str(config)]
    with (
        full_pipe() as into,
        subprocess.Popen(command, stdout=into, stderr=into, cwd=world.directory) as process,
    ):
        assert process.wait(TIMEOUT_S) in (STATUS, -signal.SIGALRM)


def test_it_ends_even_if_the_log_stands_still(world: World) -> None:
    """The kernel ends it, a few seconds later."""
    hang = "watchdog.stacks = lambda: threading.Event().wait(); watchdog.END_WITHIN_S = 0.5"
    process = world.run(fault=f"{QUICK}; {HANG_IN_RELAY}; {hang}")
    assert process.wait() == -signal.SIGALRM


@pytest.mark.once
def test_a_broker_that_is_not_there_is_no_standstill(world: World) -> None:
    """Nor is a GX that says nothing: the threads wait, and say so."""
    long_wait = (
        "from mqtt_http_bridge.adapters.broker import reconnect_delay; "
        "reconnect_delay.full_jitter_s = lambda *_, **__: 60.0"
    )
    process = world.run({"mqtt.port": 9}, fault=f"{QUICK}; {long_wait}")
    process.wait_for("no connection to the broker")
    time.sleep(8 * LOOK_S)
    assert process.stop() == 0


@pytest.mark.once
@pytest.mark.parametrize("seconds", [2.0])
def test_a_process_that_was_stopped_goes_on(world: World, seconds: float) -> None:
    """For several looks, again and again: none of that was a standstill."""
    process = world.run(fault=QUICK)
    world.backend.wait_for(1, TIMEOUT_S)
    for _ in range(3):
        process.send(signal.SIGSTOP)
        time.sleep(seconds)
        process.send(signal.SIGCONT)
        world.backend.wait_for(len(world.backend.received) + 1, TIMEOUT_S)
    assert process.stop() == 0
    assert process.said("no progress") == []


@pytest.mark.once
def test_a_process_that_was_frozen_goes_on(world: World) -> None:
    """As a container that is paused: for several looks, again and again."""
    process = world.run(fault=QUICK)
    world.backend.wait_for(1, TIMEOUT_S)
    with freezer(process.pid) as freeze:
        for _ in range(3):
            freeze(True)
            count = len(world.backend.received)
            time.sleep(2.0)
            assert len(world.backend.received) <= count + 1
            freeze(False)
            world.backend.wait_for(len(world.backend.received) + 1, TIMEOUT_S)
    assert process.stop() == 0
    assert process.said("no progress") == []


SLOW_FLUSH = (
    "import os, time; flush = os.fsync; "
    "os.fsync = lambda f: (time.sleep({0}), flush(f)); os.fdatasync = os.fsync"
)


@pytest.mark.once
def test_a_flush_that_takes_long_is_no_standstill(world: World) -> None:
    """The disk of a GX may be busy for a minute."""
    process = world.run({"device.update_interval": 30}, fault=f"{QUICK}; {SLOW_FLUSH.format(2.5)}")
    world.backend.wait_for(1, TIMEOUT_S)
    process.send(signal.SIGTERM)
    assert process.wait(4 * STOP_S) == 0
    assert process.said("no progress") == []


SLOW_CALLS = (
    "import os, threading, time; is_main = lambda: threading.current_thread().name[0] == 'M'; "
    "pauses = iter([3] * 3); wait = lambda: is_main() or time.sleep(next(pauses, 0)); "
    "slow = lambda call: lambda *a: (wait(), call(*a))[1]; "
    "os.pread, os.pwrite = slow(os.pread), slow(os.pwrite)"
)
"""The first calls of the other threads are slow; a start takes too many of them."""


@pytest.mark.once
def test_a_read_or_a_write_that_takes_long_is_no_standstill(world: World) -> None:
    """Neither of the outbox's thread nor of a sender that waits for it."""
    process = world.run(fault=f"{QUICK}; {SLOW_CALLS}")
    world.backend.wait_for(2, TIMEOUT_S)
    assert process.stop() == 0
    assert process.said("no progress") == []


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it")
@pytest.mark.parametrize("stopped_s", [40.0, 120.0])
def test_the_service_as_it_is_outlives_being_stopped(world: World, stopped_s: float) -> None:
    """With the looks of the real thing, and time for three of them afterwards."""
    process = world.run()
    world.backend.wait_for(1, TIMEOUT_S)
    process.send(signal.SIGSTOP)
    time.sleep(stopped_s)
    process.send(signal.SIGCONT)
    time.sleep(90.0)
    world.backend.wait_for(len(world.backend.received) + 3, TIMEOUT_S)
    assert process.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it")
@pytest.mark.parametrize("frozen_s", [40.0, 120.0])
def test_the_service_as_it_is_outlives_being_frozen(world: World, frozen_s: float) -> None:
    """As above, by a cgroup."""
    process = world.run()
    world.backend.wait_for(1, TIMEOUT_S)
    with freezer(process.pid) as freeze:
        freeze(True)
        time.sleep(frozen_s)
        freeze(False)
        time.sleep(90.0)
        world.backend.wait_for(len(world.backend.received) + 3, TIMEOUT_S)
    assert process.stop() == 0
    assert process.said("no progress") == []


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it")
def test_the_service_as_it_is_outlives_a_slow_disk(world: World) -> None:
    """A flush of 60 s, and another, and another: it takes long, and is not ended."""
    process = world.run({"device.update_interval": 30}, fault=SLOW_FLUSH.format(60))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(200.0)
    assert process.said("no progress") == []


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it")
def test_the_service_as_it_is_outlives_a_busy_machine(world: World) -> None:
    """Each core has four others to serve, at a better priority than ours."""
    process = world.run()
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(4 * (os.cpu_count() or 1))
    ]
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        time.sleep(150.0)
        world.backend.wait_for(len(world.backend.received) + 3, TIMEOUT_S)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert process.stop() == 0
    assert process.said("no progress") == []


# --- systemd -------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "abstract"])
def supervisor(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Returns what systemd listens with, told to us as systemd does."""
    with (
        tempfile.TemporaryDirectory(prefix="notify-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        name = f"{directory}/notify"
        listener.bind(f"\0{name}" if request.param == "abstract" else name)
        listener.settimeout(TIMEOUT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if request.param == "abstract" else name)
        yield listener


def test_systemd_is_told_of_start_life_and_end(world: World, supervisor: socket.socket) -> None:
    """That it is ready once it measures, then at every look that it goes on, and that it stops."""
    process = world.run(fault=QUICK)
    told = [supervisor.recv(100).decode() for _ in range(5)]
    assert process.stop() == 0
    while told[-1] != systemd.STOPPING:
        told.append(supervisor.recv(100).decode())
    assert told.count(systemd.READY) == 1
    assert told.index(systemd.READY) < 3
    assert set(told) == {systemd.READY, systemd.ALIVE, systemd.STOPPING}


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/notify", "@nobody"])
def test_nobody_to_tell_is_no_trouble(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GX, and under a supervisor that has gone."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify(systemd.READY)


def test_a_supervisor_that_takes_nothing_is_not_waited_for(supervisor: socket.socket) -> None:
    """Its queue is full: what it does not hear it does not need."""
    started_s = time.monotonic()
    for _ in range(2000):
        systemd.notify(systemd.ALIVE)
    assert time.monotonic() - started_s < TIMEOUT_S
    assert supervisor.recv(100).decode() == systemd.ALIVE
