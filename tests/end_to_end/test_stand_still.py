"""Stops the process, the broker or the machine: afterwards no old value is posted as new.

The power of the charger is the time for which it has been on: so each measurement tells by itself
how old what it holds was at its timestamp.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.charger_values import single_tracker
from tests.support.gx import StandInGx
from tests.support.running import Document, World

pytestmark = pytest.mark.once

ROOF = 277
FRESH_S = 3.0
"""Seconds that the content of a measurement may be old while the GX speaks: one, and what a busy
machine takes to pass it on. What is old is 10 s and more."""


@contextmanager
def telling_the_time(gx: StandInGx) -> Iterator[float]:
    """Within this the GX tells five times a second how long its charger has been on; since when."""
    started_s, is_over = time.time(), threading.Event()

    def talk() -> None:
        while not is_over.wait(0.2):
            gx.set("solarcharger", ROOF, "Yield/Power", round(time.time() - started_s, 3))

    gx.add("solarcharger", ROOF, single_tracker(power_w=0.0))
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield started_s
    finally:
        is_over.set()
        thread.join()


def taken_s(document: Document) -> float:
    """Returns when a measurement was taken, in Unix seconds."""
    return datetime.fromisoformat(document["timestamp"]).timestamp()


def ages_s(world: World, started_s: float) -> dict[float, float]:
    """For each measurement that was posted, by when it was taken, how old its power was then."""
    documents = [json.loads(body) for body in world.bodies]
    return {
        taken_s(each): taken_s(each) - started_s - each["devices"][0]["yield_power_w"]
        for each in documents
    }


def test_a_process_that_stood_still(world: World) -> None:
    """Stopped for 13 s: no measurement of that time, none with old values, and on with the beat."""
    gx = world.add_gx()
    with telling_the_time(gx) as started_s:
        process = world.run()
        world.wait_until(lambda: len(world.bodies) >= 3)
        process.send(signal.SIGSTOP)
        stopped_s = time.time()
        time.sleep(13.0)
        continued_s = time.time()
        process.send(signal.SIGCONT)
        world.wait_for_measurement(lambda m: taken_s(m) > continued_s + 6.0)
        found = ages_s(world, started_s)
        assert process.stop() == 0
    assert [at_s for at_s in found if stopped_s + 1.0 < at_s < continued_s] == []
    assert all(-0.1 < age_s < FRESH_S for age_s in found.values()), found
    after = sorted(at_s for at_s in found if at_s > continued_s)
    assert after[0] < continued_s + 5.0
    # One that is late has its own time. If the beat were another, this would hold for none.
    on_the_beat = [at_s for at_s in after[1:] if round(at_s - min(found), 3) % 1.0 == 0.0]
    assert len(on_the_beat) >= 3, after
    assert process.said("WARNING") == []


def test_a_broker_that_stood_still(world: World) -> None:
    """Paused for 14 s: measured for the 10 s that a silence may take, and when it is over."""
    gx = world.add_gx()
    with telling_the_time(gx) as started_s:
        process = world.run()
        world.wait_until(lambda: len(world.bodies) >= 3)
        world.broker.send(signal.SIGSTOP)
        stopped_s = time.time()
        time.sleep(14.0)
        continued_s = time.time()
        world.broker.send(signal.SIGCONT)
        world.wait_for_measurement(lambda m: taken_s(m) > continued_s + 3.0)
        found = ages_s(world, started_s)
        assert process.stop() == 0
    assert [at_s for at_s in found if stopped_s + 10.1 < at_s < continued_s] == []
    assert all(age_s < 10.0 + FRESH_S for age_s in found.values()), found
    # What follows holds what was said in the pause, and then what is said now.
    assert all(age_s < FRESH_S for at_s, age_s in found.items() if at_s > continued_s + 2.0)


SLEPT_S = 8 * 3600


def test_a_machine_that_slept(world: World, tmp_path: Path) -> None:
    """Eight hours on both clocks: no clock was set, nothing is moved, and on it goes at once."""
    slept = tmp_path / "slept"
    fault = (
        "import os, time; from types import SimpleNamespace;"
        " from mqtt_http_bridge.adapters import clock;"
        f" ahead_ns = lambda: {SLEPT_S * 10**9} * os.path.exists({str(slept)!r});"
        " clock.time = SimpleNamespace(time_ns=lambda: time.time_ns() + ahead_ns(),"
        " clock_gettime_ns=lambda number: time.clock_gettime_ns(number) + ahead_ns())"
    )
    gx = world.add_gx()
    with telling_the_time(gx):
        process = world.run(fault=fault)
        world.wait_until(lambda: len(world.bodies) >= 3)
        process.send(signal.SIGSTOP)
        before, keepalives = len(world.bodies), len(gx.keepalives)
        slept.touch()
        woken_s = time.time() + SLEPT_S
        process.send(signal.SIGCONT)
        world.wait_for_measurement(lambda m: taken_s(m) > woken_s + 3.0)
        assert process.stop() == 0
    times_s = [taken_s(json.loads(body)) for body in world.bodies]
    assert [at_s for at_s in times_s if woken_s - SLEPT_S + 1.0 < at_s < woken_s] == []
    assert len(times_s) - before < 12
    assert len(gx.keepalives) - keepalives < 4
    assert process.said("the clock of this machine was set") == []
