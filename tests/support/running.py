"""Runs the program as its users do: use it for what takes a process, with a world around it.

Nothing in here waits for time to pass: every wait is for a condition, up to a deadline.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import yaml

from tests.support.faulty_backend import FaultyBackend
from tests.support.gx import StandInGx
from tests.support.mosquitto import Mosquitto

TIMEOUT_S = 60.0
"""For what takes a moment, however busy the machine is."""
STOP_S = 5.0
"""Seconds within which the service has to have stopped."""

PROGRAM = (sys.executable, "-m", "mqtt_http_bridge")
WITH_FAULT = "import sys; from mqtt_http_bridge.cli import main; {}; sys.exit(main())"

Document = dict[str, Any]
"""A measurement as it was posted."""


class Running:
    """One child process and all that it writes, stdout and stderr in one, line by line."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self.started_s = time.monotonic()
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._is_all_read = False
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def held_up_s(self) -> float:
        """Returns how long its threads were ready and did not run: others had the processors."""
        return held_up_s(self.pid)

    def memory_mib(self, field: str) -> float:
        """Returns what the system says of its memory under `field`, such as VmRSS, in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
        assert found, text
        return int(found[1]) / 1024

    @property
    def lines(self) -> list[str]:
        """Returns what it has written so far."""
        with self._changed:
            return list(self._lines)

    def said(self, text: str) -> list[str]:
        """The lines so far that hold `text`."""
        return [line for line in self.lines if text in line]

    def wait_for(self, text: str, timeout_s: float = TIMEOUT_S) -> str:
        """Returns the first line that holds `text`, once there is one. Or TimeoutError."""
        with self._changed:
            self._changed.wait_for(lambda: self.said(text) or self._is_all_read, timeout_s)
            if found := self.said(text):
                return found[0]
        raise TimeoutError(f"expected a line with {text!r}, found:\n" + "\n".join(self.lines))

    def send(self, number: signal.Signals) -> None:
        """Sends a signal and does not wait."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """The exit status, once the process has ended and all it wrote is read."""
        status = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop; the exit status. Raises TimeoutExpired if it takes over 5 s.

        For as long as others have the processors meanwhile, it may take longer.
        """
        return end_in_time(self._process, number, self.wait)

    def kill(self) -> None:
        """Ends it as a power cut would. Of no effect if it has ended."""
        self._process.kill()
        self.wait()

    def close(self) -> None:
        """Ends it if a test has not, and shows what it wrote to whoever reads a failure."""
        self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        print(f"--- {self._process.args!r} ended with {self._process.returncode}:")
        print(*self._lines, sep="\n")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._is_all_read = True
            self._changed.notify_all()


def held_up_s(pid: int) -> float:
    """Returns how long the threads of a process were ready and did not run, all added up.

    They wait for each other, so any of them may be the one that was held up.
    """
    waited_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # It has ended.
            waited_ns += int(path.read_text(encoding="ascii").split()[1])
    return waited_ns / 1e9


def end_in_time(
    process: "subprocess.Popen[Any]", number: signal.Signals, wait: Callable[[float], int]
) -> int:
    """Ends a process with a signal, within STOP_S and the time that others had the processors.

    Returns its exit status. Raises TimeoutExpired.
    """
    before_s = held_up_s(process.pid)
    process.send_signal(number)
    try:
        return wait(STOP_S)
    except subprocess.TimeoutExpired:
        return wait(max(0.0, held_up_s(process.pid) - before_s))


class World:
    """A GX on a broker, a backend, a directory, and the processes that a test starts among them.

    At the end it checks what has to hold whatever happens: nobody published anything but
    keepalives, and every POST kept the contract.
    """

    def __init__(self, directory: Path, **backend: Any) -> None:
        """Takes the options of the backend."""
        self.directory = directory
        self.broker = Mosquitto()
        self.backend = FaultyBackend(**backend)
        self._gxs: list[StandInGx] = []
        self._processes: list[Running] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            stack.enter_context(self.backend)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            for process in self._processes:
                process.close()
        if kind is None:
            assert self._foreign_publishes() == []
            assert self.backend.contract_violations == []

    def add_gx(self, **options: Any) -> StandInGx:
        """Connects a GX with the options of StandInGx; it has no chargers yet."""
        gx = self._stack.enter_context(StandInGx(self.broker, **options))
        self._gxs.append(gx)
        return gx

    @property
    def spool(self) -> Path:
        """Returns where the outbox is."""
        return self.directory / "outbox"

    # --- processes ---------------------------------------------------------------------------

    def write_config(self, settings: Mapping[str, object] | None = None) -> Path:
        """Writes a config that fits this world, changed by `settings`, dotted names to values."""
        defaults = {
            "backend.url": self.backend.url,
            "backend.api_key": self.backend.api_key,
            "mqtt.port": self.broker.port,
            "device.update_interval": 1,
        }
        sections: dict[str, dict[str, object]] = {}
        for name, value in {**defaults, **(settings or {})}.items():
            section, _, key = name.partition(".")
            sections.setdefault(section, {})[key] = value
        path = self.directory / "config.yaml"
        path.write_text(yaml.safe_dump(sections, allow_unicode=True), encoding="utf-8")
        return path

    def run(self, settings: Mapping[str, object] | None = None, *, fault: str = "") -> Running:
        """Starts the relay.

        `fault` is a statement that it executes first: it breaks the program, or shortens a time.
        """
        config = self.write_config(settings)
        program = (sys.executable, "-c", WITH_FAULT.format(fault)) if fault else PROGRAM
        return self._start([*program, "run", "--config", str(config)])

    def start(self, *arguments: str | Path) -> Running:
        """Starts any verb."""
        return self._start([*PROGRAM, *map(str, arguments)])

    def start_with(self, fault: str, *arguments: str | Path) -> Running:
        """Starts any verb, with something altered in it."""
        program = [sys.executable, "-c", WITH_FAULT.format(fault)]
        return self._start([*program, *map(str, arguments)])

    def _start(self, command: Sequence[str]) -> Running:
        process = Running(command, self.directory)
        self._processes.append(process)
        return process

    # --- what arrives at the backend -----------------------------------------------------------

    @property
    def bodies(self) -> list[bytes]:
        """Every body posted so far, in order, whatever the answer was."""
        return [arrival.body for arrival in list(self.backend.received)]

    @property
    def taken(self) -> set[bytes]:
        """The bodies of which the backend has taken everything and said so."""
        return {each.body for each in list(self.backend.received) if each.status == 201}

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Returns once `holds` is true, now or after another POST. Or TimeoutError."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            count = len(self.backend.received)
            if holds():
                return
            self.backend.wait_for_arrivals(count + 1, max(0.0, deadline_s - time.monotonic()))

    def wait_for_measurement(self, holds: Callable[[Document], bool] = bool) -> Document:
        """The first of all measurements posted of which `holds` is true, once there is one."""
        found: list[Document] = []

        def is_there() -> bool:
            found.extend(filter(holds, map(json.loads, self.bodies)))
            return bool(found)

        self.wait_until(is_there)
        return found[0]

    # --- the end -----------------------------------------------------------------------------

    def _foreign_publishes(self) -> list[tuple[str, bytes]]:
        """Returns what was published by anybody but a GX, keepalives of ours aside."""
        ours = {f"R/{gx.portal_id}/keepalive" for gx in self._gxs}
        spoken = tuple(f"N/{gx.portal_id}/" for gx in self._gxs)
        return [
            (topic, payload)
            for gx in self._gxs
            for topic, payload in gx.foreign_publishes
            if topic not in ours and not topic.startswith(spoken)
        ]


def call(*arguments: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs a verb that ends by itself, and keeps its stdout and stderr apart."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )


@contextmanager
def full_pipe() -> Iterator[int]:
    """Gives the end for writing of a pipe that is full, and that nobody reads."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    try:
        with suppress(BlockingIOError):
            while os.write(into, bytes(4096)):
                pass
        os.set_blocking(into, True)
        yield into
    finally:
        os.close(out)
        os.close(into)
