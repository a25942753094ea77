"""Cuts the power of a real file system: what its device has at any moment is opened and compared.

The device is a file. While the process stands still, and the device has nothing under way, a copy
of it is what a power cut would leave: what the system still had in memory is not in it.
"""

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
from pathlib import Path

import pytest

from tests.adapters.outbox.test_kill import owed_in
from tests.support.extent import extent
from tests.support.loop_device import NoLoopDevice, ext4, mounted, writes

CUTS = extent(6, 200)
STILL_WITHIN_S = 20.0
SERIALS = ("A", "B")
Report = tuple[int, str]
"""One device in one measurement: its minute and its serial."""


@pytest.mark.long
@pytest.mark.slow
def test_cut_at_random(tmp_path: Path) -> None:
    """Owed is what was stored and not settled; only what was settled last may come back."""
    rng, came_back = random.Random(2026), 0
    try:
        with ext4(tmp_path) as place, _living(place / "outbox") as life:
            for number in range(CUTS):
                life.go_on(rng.uniform(0.02, 0.4), least_settled=6)
                copy = tmp_path / f"cut-{number}"
                _copy_device(tmp_path / "image", place, copy)
                with mounted(copy, tmp_path / "after") as after:
                    found = owed_in(after / "outbox")
                    damaged = list((after / "outbox").glob("damaged/*"))
                copy.unlink()
                assert life.must_be_owed <= found, f"lost at cut {number}"
                assert found <= life.may_be_owed, f"came back at cut {number}"
                assert damaged == []
                came_back += len(found & life.settled)
    except NoLoopDevice as error:
        pytest.skip(str(error))
    assert len(life.settled) > 5 * CUTS
    assert came_back < len(life.settled) / 2


@dataclass
class Life:
    """Keeps what a process has said it stores and settles; it stands still between calls."""

    child: subprocess.Popen[bytes]
    must_be_owed: set[Report] = field(default_factory=set)
    """Stored, and nobody has begun to settle it."""
    may_be_owed: set[Report] = field(default_factory=set)
    settled: set[Report] = field(default_factory=set)
    _since_last: set[Report] = field(default_factory=set)
    """Settled since something was last stored: the next flush takes that with it."""
    _text: bytes = b""

    def go_on(self, seconds: float, least_settled: int = 0) -> None:
        """Lets it live for so long, and until it has settled so much; notes what it said."""
        assert self.child.stdout is not None
        ends_s, enough = time.monotonic() + seconds, len(self.settled) + least_settled
        os.kill(self.child.pid, signal.SIGCONT)
        while (left_s := ends_s - time.monotonic()) > 0 or len(self.settled) < enough:
            if select.select([self.child.stdout], [], [], max(left_s, 0.01))[0]:
                self._hear()
        os.kill(self.child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED)
        while select.select([self.child.stdout], [], [], 0.0)[0]:
            self._hear()

    def _hear(self) -> None:
        assert self.child.stdout is not None
        data = os.read(self.child.stdout.fileno(), 1 << 16)
        assert data, "expected the child to go on, found that it has died"
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            what, number, *serials = line.decode().split()
            self._note(what, {(int(number), serial) for serial in serials or SERIALS})

    def _note(self, what: str, reports: set[Report]) -> None:
        match what:
            case "storing":
                self.may_be_owed |= reports
                self._settled_before = set(self._since_last)
            case "stored":
                self.must_be_owed |= reports
                self.may_be_owed -= self._settled_before
                self._since_last -= self._settled_before
            case "settling":
                self.must_be_owed -= reports
            case "settled":
                self.settled |= reports
                self._since_last |= reports


@contextmanager
def _living(directory: Path) -> Iterator[Life]:
    """A process that stores, sends and parks; stopped."""
    program = f"from tests.adapters.outbox.living import live; live({str(directory)!r}, 1)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            select.select([child.stdout], [], [], STILL_WITHIN_S)
            life = Life(child)
            life.go_on(0.0)
            yield life
        finally:
            child.kill()


def _copy_device(image: Path, place: Path, copy: Path) -> None:
    """Copies the device as it is at one moment: tries until nothing was written meanwhile."""
    ends_s = time.monotonic() + STILL_WITHIN_S
    while True:
        before = writes(place)
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
        if writes(place) == before and before[1] == 0:
            return
        assert time.monotonic() < ends_s, "expected the device to be still, found writes"
