"""Runs a relay that is killed again and again: use it for what has to survive kill -9.

Run as a program it is a nursery: for each line on its stdin it forks a child that lives one life on
the same outbox: it stores measurements and sends them with real senders. What the child does it
says on stdout before and after doing it, so that whoever kills it knows what was done.
"""

import logging
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.backend import http as http  # noqa: PLC0414 - once for all lives
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Secret
from tests.support.measuring import shifted
from tests.support.outboxes import BOOT, GX, measurement, parked_serials, waiting

API_KEY: Final = "key"
STEP_S: Final = 3600.0001
"""An hour, and so little more that no two measurements get the same timestamp."""
UNKNOWN: Final = "X"
"""A device that the backend does not know until the end."""


def serials_of(minute: int) -> tuple[str, ...]:
    """Two devices, and in each fourth measurement the unknown one."""
    return ("A", "B", UNKNOWN) if minute % 4 == 0 else ("A", "B")


def made(minute: int, off_s: float) -> Measurement:
    """Returns what is measured at `minute` by a clock that is ahead by `off_s`."""
    return shifted(measurement(minute, *serials_of(minute)), timedelta(seconds=off_s))


# --- the child ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """The orders for a child: so many measurements, and a clock that is set before one of them.

    Until it is set nobody trusts it, and nothing is sent.
    """

    first: int
    count: int
    step_before: int
    """-1: the clock is left alone."""
    off_s: float
    """Seconds by which the clock is ahead at the start of this life."""

    def __str__(self) -> str:
        return f"{self.first} {self.count} {self.step_before} {self.off_s}"

    @classmethod
    def read(cls, line: str) -> "Life":
        first, count, step_before, off_s = line.split()
        return cls(int(first), int(count), int(step_before), float(off_s))


def say(what: str) -> None:
    """One write, which a kill cannot split."""
    os.write(1, what.encode() + b"\n")


def live(directory: str, url: str, life: Life) -> None:
    """Stores and sends until there is nothing more to do, and then waits for the end."""
    off_s, is_trusted = life.off_s, life.step_before < 0
    boot = Boot(BOOT.boot_id, BOOT.distance_s + off_s)
    outbox = Outbox(OutboxSettings(directory, max_bytes=100_000_000), DIALECT, boot)
    backend = BackendSettings(url, Secret(API_KEY))
    senders = Senders(
        outbox,
        lambda: Backend(backend, DIALECT),
        DIALECT,
        ApiKeys(backend),
        max_rate_per_s=100_000.0,
    )
    storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=is_trusted)
    if is_trusted:
        outbox.flush(60.0)
        senders.start()
    for minute in range(life.first, life.first + life.count):
        if minute == life.step_before:
            say("clock")
            off_s += STEP_S
            storing.note_clock_step(STEP_S)
            storing.trust_clock()
            outbox.flush(60.0)
            senders.start()
        say(f"making {minute}")
        storing.store(Store(made(minute, off_s), GX))
        outbox.flush(60.0)
        say(f"made {minute}")
    senders.finish()
    say(f"rest {waiting(outbox)} {len(parked_serials(outbox))}")
    signal.pause()


def keep_nursery(directory: str, url: str) -> None:
    """One child after the other, each after the death of the one before."""
    logging.disable()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            say(f"born {os.getpid()}")
            live(directory, url, Life.read(line))
        os.waitpid(pid, 0)
        say("dead")


# --- whoever kills it --------------------------------------------------------------------------


@dataclass
class Story:
    """All that the children said."""

    making: set[int] = field(default_factory=set)
    made: set[int] = field(default_factory=set)
    steps: int = 0
    rest: str = ""
    deaths: int = 0

    def hear(self, line: str) -> None:
        match line.split():
            case ["making", minute]:
                self.making.add(int(minute))
            case ["made", minute]:
                self.made.add(int(minute))
            case ["clock"]:
                self.steps += 1
            case ["rest", *how]:
                self.rest = " ".join(how)
            case ["dead"]:
                self.deaths += 1


class Nursery:
    """The program above, at work on one spool directory."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._unread = b""
        self.story = Story()

    def kill_one(self, rng: random.Random, *, longest_pause_s: float) -> None:
        """A life ended by SIGKILL, a random pause after a random one of the things it says.

        By what it says: on a busy machine it gets as far as on another before the pause.
        """
        pid, count = self._bear(rng)
        for _ in range(rng.randint(0, 2 * count)):
            line = self._line(60.0)
            assert line, "expected the child to go on, found nothing for a minute"
            self.story.hear(line)
        time.sleep(rng.uniform(0.0, longest_pause_s))
        self._kill(pid)

    def let_one_finish(self) -> None:
        """A life that ends when there is nothing more to do."""
        pid, _ = self._bear(random.Random(0))
        self._until("rest")
        self._kill(pid)

    def _bear(self, rng: random.Random) -> tuple[int, int]:
        """The child's process id, and how many measurements it is to make."""
        first, count = max(self.story.making, default=0) + 1, rng.randint(1, 8)
        step_before = rng.choice([-1, -1, rng.randrange(first, first + count)])
        life = Life(first, count, step_before, STEP_S * self.story.steps)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{life}\n".encode())
        self._process.stdin.flush()
        return int(self._until("born").split()[1]), count

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._until("dead")

    def _until(self, word: str) -> str:
        while True:
            line = self._line(60.0)
            assert line, f"expected {word!r} from the child, found nothing for a minute"
            self.story.hear(line)
            if line.startswith(word):
                return line

    def _line(self, timeout_s: float) -> str:
        """The next line; empty after `timeout_s`."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            if not select.select([self._process.stdout], [], [], timeout_s)[0]:
                return ""
            more = os.read(self._process.stdout.fileno(), 65536)
            assert more, "the nursery has died"
            self._unread += more
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()


@contextmanager
def nursery(directory: Path, url: str) -> Iterator[Nursery]:
    """A nursery for one spool directory and one backend."""
    command = [sys.executable, "-m", "tests.support.crashing", str(directory), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    keep_nursery(sys.argv[1], sys.argv[2])
