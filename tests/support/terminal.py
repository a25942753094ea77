"""Plays a person at a terminal: reads what a program asks, and types."""

import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

TIMEOUT_S = 40.0


class Terminal:
    """A program with a terminal of its own; use it as a context manager, which ends it."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it in `directory`; it has our environment, if it is given none."""
        self.started_s = time.monotonic()
        self.seen = ""
        """All that was on the screen."""
        self._read_to = 0
        self._terminal, inside = pty.openpty()
        self._process = subprocess.Popen(
            command, cwd=directory, stdin=inside, stdout=inside, stderr=inside, env=environment
        )
        self._inside = inside

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
        os.close(self._inside)
        print(self.seen)

    @property
    def took_s(self) -> float:
        """The seconds since it was started."""
        return time.monotonic() - self.started_s

    @property
    def shows_typing(self) -> bool:
        """Tells whether what is typed is seen."""
        return bool(termios.tcgetattr(self._inside)[3] & termios.ECHO)

    def expect(self, text: str) -> None:
        """Returns once `text` has come after what was expected before. Or AssertionError."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while text not in self.seen[self._read_to :]:
            assert time.monotonic() < deadline_s, f"expected {text!r}, seen:\n{self.seen}"
            assert self._read() or not self._has_ended, (
                f"expected {text!r} before the end, seen:\n{self.seen}"
            )
        self._read_to = self.seen.index(text, self._read_to) + len(text)

    def answer(self, question: str, text: str) -> None:
        """Types a line where it is asked for."""
        self.expect(question)
        os.write(self._terminal, f"{text}\n".encode())

    def end(self) -> int:
        """Reads to the end; the exit status."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while self._read() or not self._has_ended:
            assert time.monotonic() < deadline_s, f"expected the end, seen:\n{self.seen}"
        return self._process.wait(TIMEOUT_S)

    def interrupt(self) -> None:
        """Presses Ctrl+C while it waits for something: Python takes one in between for none."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self._waits():
            assert time.monotonic() < deadline_s, "it never waits"
        self._process.send_signal(signal.SIGINT)

    def _waits(self) -> bool:
        """Tells whether it slept all the last moment, by its state and its processor time."""
        before = self._times()
        time.sleep(0.05)
        return before[0] == "S" and self._times() == before

    def _times(self) -> list[str]:
        """Returns its state and the processor time it has had, as the kernel tells them."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return [fields[0], fields[11], fields[12]]

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _read(self) -> bool:
        """Reads what comes within a moment; tells whether anything did."""
        if not select.select([self._terminal], [], [], 0.1)[0]:
            return False
        more = os.read(self._terminal, 4096)
        self.seen += more.decode(errors="replace").replace("\r\n", "\n")
        return True
