"""The processes that are measured: started as their users start them, weighed through /proc."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import yaml

SILENT_S = 3.6
"""A process whose CPU time stands still for so long has read all there was."""


class Measured:
    """A child process; use it as a context manager, which ends it."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self.started_s = time.monotonic()
        self._output = (directory / "output").open("wb")
        self._process = subprocess.Popen(
            command, cwd=directory, stdout=self._output, stderr=self._output, env=_environment()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def wait(self) -> None:
        """Returns when it has ended by itself."""
        self._process.wait()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far, to the nanosecond, also of those that ended."""
        # What clock_getcpuclockid(3) gives for a process: Python does not have that call.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    @property
    def wake_ups(self) -> int:
        """How often the threads that it has have gone to sleep so far, for whatever reason."""
        statuses = "".join(self._read(task, "status") for task in self._tasks())
        lines = (line for line in statuses.splitlines() if line.startswith("voluntary_ctxt"))
        return sum(int(line.split()[1]) for line in lines)

    @property
    def memory_mib(self) -> dict[str, float]:
        """RSS and PSS."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="ascii")
        words = [line.split() for line in text.splitlines()]
        found = {word[0].rstrip(":"): word[1] for word in words if word[0] in ("Rss:", "Pss:")}
        return {name.lower(): int(kib) / 1024 for name, kib in found.items()}

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def wait_until_silent(self, least_s: float = 0.0) -> float:
        """Waits until it does nothing any more; its CPU seconds by then."""
        time.sleep(least_s)
        cpu_s, since = self.cpu_s, time.monotonic()
        while time.monotonic() < since + SILENT_S:
            time.sleep(0.05)
            if self.cpu_s > cpu_s + 0.002:
                cpu_s, since = self.cpu_s, time.monotonic()
        return self.cpu_s

    def _tasks(self) -> list[str]:
        return [path.name for path in Path(f"/proc/{self._process.pid}/task").iterdir()]

    def _read(self, task: str, name: str) -> str:
        path = Path(f"/proc/{self._process.pid}/task/{task}/{name}")
        try:
            return path.read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            return ""  # It has ended in the meantime.


def _environment() -> dict[str, str]:
    """The environment, with this checkout, and without what would change what is measured."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    # Away from the checkout nothing would be found that is not installed.
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # What is installed is compiled once: here, at the first start.
    for name in ("PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START"):
        kept.pop(name, None)
    return kept


def paho_floor(port: int, directory: Path, *modules: str) -> Measured:
    """The floor: paho 2 with an empty callback, and `modules` that it has no use for."""
    command = [sys.executable, "-m", "tests.bench.floor_paho", str(port), *modules]
    return Measured(command, directory)


def mosquitto_sub(port: int, directory: Path) -> Measured:
    """libmosquitto, printing nothing."""
    options = [
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-t",
        "N/+/solarcharger/#",
        "-t",
        "N/+/heartbeat",
    ]
    return Measured(["mosquitto_sub", *options, "-N", "-F", ""], directory)


def relay(
    port: int, url: str, directory: Path, portals: Sequence[str], **changes: dict[str, object]
) -> Measured:
    """The relay as its users run it."""
    settings: dict[str, dict[str, object]] = {
        "backend": {"url": url, "api_key": "bench"},
        "mqtt": {"port": port, "portal_id": list(portals)},
        "device": {"update_interval": 30},
    }
    for section, keys in changes.items():
        settings.setdefault(section, {}).update(keys)
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "mqtt_http_bridge", "run", "-c", str(config)]
    return Measured(command, directory)


def in_child(code: str) -> dict[str, float]:
    """Runs Python code in a process of its own that prints one JSON object; that object."""
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env=_environment()
    )
    numbers: dict[str, float] = json.loads(found.stdout)
    return numbers
