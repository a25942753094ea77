"""Tests a process that is short of memory: it runs, or ends and says why. It never stands still."""

import itertools
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from mqtt_http_bridge.app import watchdog
from tests.app.test_watchdog import QUICK
from tests.support.charger_values import single_tracker
from tests.support.extent import extent
from tests.support.running import TIMEOUT_S, Running, World
from tests.support.sshd import free_port

pytestmark = pytest.mark.one_charger

QUICK_START = "from mqtt_http_bridge.adapters import thread_start; thread_start.LIMIT_S = 1.5"
MUTE = (
    "import threading; begin = threading.Thread._bootstrap; "
    "threading.Thread._bootstrap = lambda self: self.name == {0!r} or begin(self)"
)
"""A statement that has one thread die before it can say that it runs, as without memory."""
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_DATA, ({0}, {0}))"
"""A statement that does what `softlimit -d` does on a GX."""
LEAST_BYTES = 20 << 20
MOST_BYTES = 100 << 20
STEP_BYTES = extent(1 << 20, 1 << 16)
ENOUGH = extent(4, 64)
"""After so many runs one after another that posted, more memory changes nothing."""


@pytest.mark.parametrize(
    "name",
    [
        *("log", "broker", "watchdog", "signals", "outbox"),
        *("status answers", "status page", "sender 1", "status"),
    ],
)
def test_a_thread_that_does_not_start_ends_the_service(world: World, name: str) -> None:
    """Whichever it is, and also before there is a watchdog; stderr has where each thread is."""
    page = {"status.listen": f"127.0.0.1:{free_port()}"}
    process = world.run(page, fault=f"{QUICK_START}; {MUTE.format(name)}")
    assert process.wait() == 1
    assert process.said("Timeout (0:00:01.5")
    assert process.said("thread_start.py")


def test_at_the_end_too(world: World) -> None:
    """The thread that limits the end is one as well."""
    fault = f"from mqtt_http_bridge.app import wiring; wiring.END_S = 1.0; {MUTE.format('end')}"
    process = world.run(fault=fault)
    world.backend.wait_for(1, TIMEOUT_S)
    process.send(signal.SIGTERM)
    assert process.wait() == 1
    assert process.said("in begin")


def test_a_sender_that_does_not_start_ends_the_service(world: World) -> None:
    """Another sender starts it, so it is the watchdog that notices."""
    world.add_gx(portal_id="c0619ab2f7e2").add("solarcharger", 278, single_tracker(serial="HQ2"))
    process = world.run(fault=f"{QUICK}; {MUTE.format('sender 2')}")
    assert process.wait() == watchdog.STATUS
    assert process.said("CRITICAL sender 1: no progress for a minute")


@pytest.mark.slow
@pytest.mark.once
def test_with_any_limit_it_runs_or_says_why_not(world: World) -> None:
    """From what is too little for Python itself to what is enough, in small steps."""
    fates = list[str]()
    for limit_bytes in range(LEAST_BYTES, MOST_BYTES, STEP_BYTES):
        process = world.run(fault=f"{QUICK}; {QUICK_START}; {LIMIT.format(limit_bytes)}")
        fates.append(fate(world, process))
        if fates[-ENOUGH:] == ["posts"] * ENOUGH:
            break
    print(*(f"{sum(1 for _ in same)} {what}" for what, same in itertools.groupby(fates)), sep=", ")
    assert fates[0] != "posts"
    assert fates[-1] == "posts"


def fate(world: World, process: Running) -> str:
    """Waits until a process posts or has ended. Raises what it does if it does neither."""
    before = len(world.backend.received)
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        if len(world.backend.received) > before + 1:
            process.send(signal.SIGTERM)
            process.wait(TIMEOUT_S)
            return "posts"
        with suppress(subprocess.TimeoutExpired):
            assert process.wait(0.05) != 0
            assert process.lines
            return "ended"
    process.send(signal.SIGABRT)
    raise AssertionError(f"expected POSTs or an end, found neither: {process.lines}")
