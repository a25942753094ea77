"""The processes that are measured, weighed through /proc."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.bench.sockets import Connection, connections, queued_bytes
from tests.bench.waiting import Failed, wait_for

READ_WITHIN_S = 120.0
"""A consumer that needs longer for a load is broken."""
QUIET_S = 0.3
"""A process that has had nothing to read for so long, and did nothing, is done."""
QUIET_CPU_S = 0.002
CHILD_TIMEOUT_S = 300.0
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")
"""The folder for what is compiled, once, at the first start."""


class Measured:
    """A child process; use it as a context manager, which ends it.

    One that has ended by itself is not measured: everything raises Failed then.
    """

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        self.name = name
        self.started_s = time.monotonic()
        self._output_file = directory / "output"
        with self._output_file.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=directory, stdout=output, stderr=output, env=environment()
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

    def check(self) -> None:
        """Raises Failed if it has ended."""
        if self._process.poll() is not None:
            raise Failed(
                f"{self.name}: expected it to run, ended with {self._process.returncode}:"
                f" {self.output[-500:]}"
            )

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.check()
        self._process.send_signal(number)

    @property
    def output(self) -> str:
        """Returns what it has printed so far."""
        return self._output_file.read_text(encoding="utf-8", errors="replace")

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far, to the nanosecond, also of those that ended."""
        self.check()
        # What clock_getcpuclockid(3) gives for a process: Python does not have that call.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    @property
    def wake_ups(self) -> int:
        """Returns how often the threads that it has have gone to sleep so far, for whatever reason.

        Threads that have ended do not count any more: of the relay these are the alarm clocks of
        its POSTs, one thread and one or two sleeps for each.
        """
        self.check()
        statuses = "".join(self._read(task, "status") for task in self._tasks())
        lines = (line for line in statuses.splitlines() if line.startswith("voluntary_ctxt"))
        return sum(int(line.split()[1]) for line in lines)

    @property
    def memory_mib(self) -> dict[str, float]:
        """RSS and PSS."""
        self.check()
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="ascii")
        words = [line.split() for line in text.splitlines()]
        found = {word[0].rstrip(":"): word[1] for word in words if word[0] in ("Rss:", "Pss:")}
        return {name.upper(): int(kib) / 1024 for name, kib in found.items()}

    def connection(self, port: int) -> Connection:
        """Its connection to `port`. Raises Failed if it has none."""
        self.check()
        inodes = self._socket_inodes()
        for connection in connections():
            if connection.peer_port == port and connection.inode in inodes:
                return connection
        raise Failed(f"{self.name}: expected a connection to port {port}, found none")

    def wait_until_read(self, ports: Sequence[int]) -> None:
        """Returns when nothing waits in connections with these ports, and it has done its work."""
        quiet_since_s, cpu_s = time.monotonic(), self.cpu_s

        def is_done() -> bool:
            nonlocal quiet_since_s, cpu_s
            if queued_bytes(ports) or self.cpu_s > cpu_s + QUIET_CPU_S:
                quiet_since_s, cpu_s = time.monotonic(), self.cpu_s
            return time.monotonic() > quiet_since_s + QUIET_S

        wait_for(f"{self.name} to have read everything", is_done, within_s=READ_WITHIN_S)

    def _socket_inodes(self) -> set[str]:
        found = set()
        for path in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                target = str(path.readlink())
            except FileNotFoundError:
                continue  # It has been closed in the meantime.
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
        return found

    def _tasks(self) -> list[str]:
        return [path.name for path in Path(f"/proc/{self._process.pid}/task").iterdir()]

    def _read(self, task: str, name: str) -> str:
        path = Path(f"/proc/{self._process.pid}/task/{task}/{name}")
        try:
            return path.read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            return ""  # It has ended in the meantime.


def environment() -> dict[str, str]:
    """The environment, with this checkout, and without what would change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not _changes_things(name)}
    # Away from the checkout nothing would be found that is not installed.
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return kept


def _changes_things(name: str) -> bool:
    is_ours = name.startswith("MQTT_HTTP_BRIDGE_")
    return is_ours or name.lower().endswith("_proxy") or name in _LEFT_OUT


def in_child(code: str, *options: str, timeout_s: float = CHILD_TIMEOUT_S) -> Any:
    """Runs Python code in a process of its own that prints one JSON value last; that value."""
    done = run_child(code, *options, timeout_s=timeout_s)
    return json.loads(done.stdout.splitlines()[-1])


def run_child(
    code: str, *options: str, timeout_s: float = CHILD_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own; what it printed. Raises Failed if it fails."""
    try:
        return subprocess.run(
            [sys.executable, *options, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=timeout_s,
        )
    except subprocess.CalledProcessError as error:
        raise Failed(f"expected a child process to end well, found: {error.stderr}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"expected a child process to end within {timeout_s:g} s") from error
