"""Tests that ./tests/run leaves no policy behind that keeps services from starting."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.look_alike import LookAlike, wait_until
from tests.support.places import ROOT

pytestmark = pytest.mark.once

POLICY = "usr/sbin/policy-rc.d"
PLACE = "srv/mit Leerzeichen ü"
APT_GET = '#!/bin/sh\necho "$@" >>/srv/apt-get\nexec sleep 1000\n'
"""One that takes its time."""


@pytest.fixture
def machine(firmware: Any) -> Iterator[LookAlike]:
    """A machine without what the tests need, and this script on it."""
    with LookAlike(firmware) as machine:
        (machine / PLACE / "tests").mkdir(parents=True)
        shutil.copy2(ROOT / "tests/run", machine / PLACE / "tests/run")
        (machine / "usr/bin/apt-get").write_text(APT_GET, encoding="utf-8")
        (machine / "usr/bin/apt-get").chmod(0o755)
        yield machine


def start(machine: LookAlike) -> subprocess.Popen[Any]:
    """Starts the script, and waits until it has system packages installed."""
    (machine / "srv/apt-get").unlink(missing_ok=True)
    script = f"PYTHONS=python3 exec '/{PLACE}/tests/run' >/srv/said 2>&1"
    process = machine.start("/bin/sh", "-c", script)
    wait_until((machine / "srv/apt-get").exists, "apt-get")
    return process


def is_forbidden(machine: LookAlike) -> bool:
    """Tells whether services may not start on that machine."""
    return (machine / POLICY).exists() and machine.run(f"/{POLICY}").returncode == 101


def interrupt(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    """Interrupts it, and again, as a person would: a shell may miss what comes as it forks."""
    for _ in range(20):
        os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
            return
    raise AssertionError("expected it to end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_leaves_nothing(machine: LookAlike, number: signal.Signals) -> None:
    """Neither the policy nor its directory; and it says before what it is about to install."""
    process = start(machine)
    assert is_forbidden(machine)
    said = machine.read("srv/said")
    assert "== this installs, unless it is there already:\n==   on this system: mosquitto" in said
    interrupt(process, number)
    assert not (machine / POLICY).exists()
    assert list((machine / "tmp").iterdir()) == []


def test_killed_it_leaves_a_policy_that_forbids_nothing(machine: LookAlike) -> None:
    """The next run removes it."""
    process = start(machine)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20.0)
    assert (machine / POLICY).exists()
    assert not is_forbidden(machine)
    again = start(machine)
    assert is_forbidden(machine)
    os.killpg(again.pid, signal.SIGTERM)
    again.wait(20.0)
    assert not (machine / POLICY).exists()


def test_a_policy_of_somebody_else_stays(machine: LookAlike) -> None:
    """It is not ours to remove."""
    (machine / POLICY).write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    process = start(machine)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(20.0)
    assert machine.read(POLICY) == "#!/bin/sh\nexit 0\n"
