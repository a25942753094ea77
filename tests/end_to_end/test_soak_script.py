"""Tests the script that owners of a GX run for two weeks: what it records, and what it must not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import mqtt_http_bridge
from tests.support.fixtures import ROOF
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.look_alike import program
from tests.support.places import ROOT
from tests.support.running import TIMEOUT_S, World
from tests.support.running import call as run

pytestmark = pytest.mark.once

NAMES = (
    *("time", "uptime_s", "running", "process", "gx", "chargers", "stored", "owed", "problems"),
    *("cpu_s", "rss_kb", "peak_kb", "threads", "files", "switches", "written_kb"),
    *("load", "memory_kb", "disk_kb"),
)
SHELLS = {"dash": ("sh",), "busybox": (str(program("busybox")), "sh")}
"""The shell of a host, and that of a GX, with all the small programs that it brings."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The command of a shell."""
    return SHELLS[request.param]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script where the installer puts it, beside the command."""
    release = tmp_path / "release"
    (release / "venv/bin").mkdir(parents=True)
    (release / "service").mkdir()
    for name in ("soak.sh", "mqtt-http-bridge"):
        place = release / "service" / name
        place.write_bytes((ROOT / "service" / name).read_bytes())
        place.chmod(0o755)
    python = release / "venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (release / "lib").mkdir()
    (release / "lib/mqtt_http_bridge").symlink_to(Path(mqtt_http_bridge.__file__).parent)
    return release / "service/soak.sh"


def call(shell: tuple[str, ...], script: Path, *arguments: str | Path) -> str:
    """Runs the script to its end, and returns what it printed."""
    said = subprocess.run(
        [*shell, str(script), *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said
    assert said.stderr == ""
    return said.stdout


def wait_for_state(directory: Path) -> None:
    """Waits until the service has written to its state file that it measures its two chargers."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while "chargers=2" not in run("status", "--lines", directory=directory).stdout:
        assert time.monotonic() < deadline_s


def rows(output: Path) -> list[dict[str, str]]:
    """Returns the lines that it has recorded."""
    lines = [line for line in output.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert tuple(lines[0].split("\t")) == NAMES
    return [dict(zip(NAMES, line.split("\t"), strict=True)) for line in lines[1:]]


def test_it_notes_how_the_service_does(
    world: World, gx: StandInGx, script: Path, shell: tuple[str, ...], tmp_path: Path
) -> None:
    """One line each time, in one file, whether it runs or not."""
    output = tmp_path / "soak.tsv"
    service = world.run()
    wait_for_state(tmp_path)
    arguments = ("--days", "0", "--output", output, "-c", tmp_path / "config.yaml")
    call(shell, script, *arguments)
    assert service.stop() == 0
    call(shell, script, *arguments)
    (during, after) = rows(output)
    assert (during["running"], during["gx"], during["chargers"]) == ("yes", "1", "2")
    assert during["process"].startswith(f"{service.pid}.")
    assert float(during["cpu_s"]) > 0
    for name in ("rss_kb", "peak_kb", "threads", "files", "switches", "memory_kb", "disk_kb"):
        assert int(during[name]) > 1, name
    assert int(during["written_kb"]) >= 0
    assert [after[name] for name in ("running", "process", "gx", "rss_kb")] == ["no", "-", "0", "-"]


def test_it_notes_nothing_that_is_nobodys_business(
    world: World, gx: StandInGx, script: Path, shell: tuple[str, ...], tmp_path: Path
) -> None:
    """The file is sent to strangers."""
    output = tmp_path / "soak.tsv"
    world.run()
    wait_for_state(tmp_path)
    call(shell, script, "--days", "0", "--output", output, "-c", tmp_path / "config.yaml")
    text = output.read_text(encoding="utf-8") + call(shell, script, "--report", "--output", output)
    (device, *_) = (
        d for d in world.wait_for_measurement()["devices"] if d["device_instance"] == ROOF
    )
    private = [PORTAL_ID, device["serial"], device["name"], world.backend.url]
    private += [world.backend.api_key, str(tmp_path), "127.0.0.1"]
    assert [word for word in private if word in text] == []


def test_its_report_counts_and_adds(script: Path, shell: tuple[str, ...], tmp_path: Path) -> None:
    """A day in two processes, with a restart of the machine and a gap."""
    output = tmp_path / "soak.tsv"
    noted = (
        "0    100 yes 7.1 1 2 x 0 0 1.0 20000 21000  9 20 100    0 0.1 90000 5000",
        "600  700 yes 7.1 1 2 x 3 1 7.0 20400 22000 10 21 700 1024 0.1 90000 4000",
        "4200  60 no  -   0 - - - -   -     -     -  -  -   -    - 0.1 90000 6000",
        "4800 660 yes 9.1 1 2 x 0 0 1.0 20200 21000  9 20 100    0 0.1 90000 6000",
    )
    table = [NAMES, *(line.split() for line in noted)]
    lines = ["# mqtt-http-bridge 0.1.0", *map("\t".join, table)]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert call(shell, script, "--report", "--output", output).splitlines() == [
        "# mqtt-http-bridge 0.1.0",
        "recorded  4 times in 0.1 days; longest gap 3600 s",
        "running   at 3 of them; 2 processes, 1 restarts of the machine",
        "processor 1.00 % of one core, 1.0 switches a second",
        "memory    20000 kB at first, 20200 kB at last, 22000 kB at most",
        "threads   10 at most, 21 open files at most",
        "written   144.0 MB a day",
        "unsent    3 at most; something was wrong 1 times",
        "disk      at least 4000 kB free",
    ]
