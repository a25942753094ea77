"""Tests the demo as a process: what it shows, and each way in which it ends."""

import shlex
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.running import PROGRAM, World

pytestmark = pytest.mark.long

DEMO_S = 30.0
"""Seconds that the demo takes: three minutes, six times as fast."""


@pytest.mark.once
def test_the_demo(world: World) -> None:
    """In under a minute, and with nothing but the package, it shows three chargers and ends."""
    process = world.start("demo")

    assert process.wait(60.0) == 0

    assert time.monotonic() - process.started_s < 60.0
    for name in ("South roof", "BlueSolar Charger MPPT 150", "Carport"):
        assert process.said(name), name
    assert process.said(" 0 breaches of the contract, nothing left in the outbox.")
    assert not process.said("Traceback")


@pytest.mark.once
def test_the_demo_begins_with_a_plant_that_is_well(world: World) -> None:
    """All three chargers yield power for long enough to open the page and look."""
    process = world.start("demo")
    process.wait_for("09:13:59", 30.0)
    lines = [line for line in process.lines if line.endswith(" kWh")]
    assert [line for line in lines[:15] if " 0.0 W" in line or "off the bus" in line] == []
    assert process.stop() == 0


@pytest.mark.once
def test_the_page_of_the_demo_stays_up_when_told(world: World) -> None:
    """Even if nobody watches; the command that it suggests works as it is."""
    quickly = "from mqtt_http_bridge.demo import run; run.SPEED = 60.0"
    process = world.start_with(quickly, "demo", "--hold")
    url = process.wait_for("until Ctrl+C.", 60.0).split(" stays at ")[1].split()[0]
    with urllib.request.urlopen(url + "status.json", timeout=10.0) as answer:
        assert answer.status == 200
    assert process.stop(signal.SIGINT) == 0
    command = [line.strip() for line in process.lines if line.startswith("    ")][-1]
    said = subprocess.run(
        ["sh", "-c", command],
        cwd=world.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    # Nobody sits there to be asked.
    assert "setup: expected --url URL, found none" in said.stderr, (command, said)


def test_the_demo_is_ended_by_sigterm_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As by Ctrl+C; a service manager or a script ends it that way."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    process = world.start("demo")
    process.wait_for(" kWh")
    assert list((tmp_path / "temporary").iterdir()) != []
    assert process.stop() == 0
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not process.said("Traceback")


def test_nobody_reads_the_demo_any_more(world: World) -> None:
    """`demo | head -3` ends soon, without a word."""
    command = f"{shlex.join(PROGRAM)} demo | head -3"
    started_s = time.monotonic()
    said = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=True, text=True, timeout=60.0
    )
    assert time.monotonic() - started_s < DEMO_S
    assert said.stderr == ""
    assert len(said.stdout.splitlines()) == 3


def test_the_demo_where_the_terminal_has_no_blocks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bars are made of what it has."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = world.start("demo")
    assert " W  ###" in process.wait_for(" kWh")
    assert process.stop(signal.SIGINT) == 0


def test_enough_of_the_demo(world: World) -> None:
    """Ctrl+C ends it at once and in peace."""
    process = world.start("demo")
    process.wait_for(" kWh")

    assert process.stop(signal.SIGINT) == 0

    assert time.monotonic() - process.started_s < DEMO_S
    assert not process.said("Traceback")
