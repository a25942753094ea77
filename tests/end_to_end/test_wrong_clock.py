"""Tests a machine whose clock is wrong at the start, as after a power cut without a battery."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.fake_clock import LIBRARIES, FakeClock
from tests.support.running import TIMEOUT_S, World

NOT_SYNCHRONISED = (
    "import mqtt_http_bridge.adapters.kernel_clock as kernel;kernel.is_synchronised = lambda: False"
)
"""Whatever the kernel of the machine that runs the tests says."""
SHORT_PATIENCE = "import mqtt_http_bridge.core.clock_trust as trust; trust.PATIENCE_S = {}"

pytestmark = [
    pytest.mark.one_charger,
    pytest.mark.once,
    pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime: apt-get install faketime"),
]


def stamps(world: World) -> list[float]:
    """The times that were posted, as seconds of the true clock."""
    found = [json.loads(body)["timestamp"] for body in world.bodies]
    return [datetime.fromisoformat(stamp).timestamp() for stamp in found]


def test_what_was_measured_by_a_wrong_clock_is_put_right(world: World, tmp_path: Path) -> None:
    """75 s behind: nothing is sent until it has been set, and then all of it with its true time."""
    clock = FakeClock(tmp_path, -75.0)
    began_s = time.time()
    with clock.used():
        process = world.run(fault=NOT_SYNCHRONISED)
    said = process.wait_for("the clock of this machine is 7")
    assert (
        "s behind the backend's: waiting up to 10 min for it to be set: nothing is sent until then"
        in said
    )
    log = world.spool / "log"
    wait_for_lines(log, b" put ", 4)
    assert world.bodies == []
    clock.set(0.0)
    process.wait_for("the clock agrees with the backend's: sending what was measured")
    world.wait_until(lambda: len(world.taken) >= 6)
    assert process.stop() == 0
    found = stamps(world)
    assert began_s - 1.0 <= min(found)
    assert max(found) <= time.time() + 1.0
    assert len(set(found)) == len(found)
    # One each second, also across the step: none is 75 s off.
    assert max(found) - min(found) < time.time() - began_s + 1.0


def test_a_clock_that_nobody_sets_counts_as_it_is_in_the_end(world: World, tmp_path: Path) -> None:
    """A place without internet time must work too; the log says what to do."""
    clock = FakeClock(tmp_path, 3600.0)
    with clock.used():
        process = world.run(fault=f"{NOT_SYNCHRONISED}; {SHORT_PATIENCE.format(2.0)}")
    process.wait_for("s ahead of the backend's: waiting up to 10 min for it to be set")
    process.wait_for("it was not set in time, and is used as it is: set the clock of this machine")
    world.wait_until(lambda: len(world.taken) >= 3)
    assert process.stop() == 0
    assert min(stamps(world)) > time.time() + 3000.0


def test_a_clock_that_agrees_delays_nothing(world: World, tmp_path: Path) -> None:
    """The backend's Date is enough where the kernel says nothing."""
    with FakeClock(tmp_path, 2.0).used():
        process = world.run(fault=NOT_SYNCHRONISED)
    world.wait_until(lambda: len(world.taken) >= 2)
    assert process.said("the clock") == []
    assert process.stop() == 0


def wait_for_lines(log: Path, word: bytes, count: int) -> None:
    """Returns once the log has so many lines with a word."""
    ends_s = time.monotonic() + TIMEOUT_S
    while sum(file.read_bytes().count(word) for file in log.iterdir()) < count:
        assert time.monotonic() < ends_s
        time.sleep(0.05)
