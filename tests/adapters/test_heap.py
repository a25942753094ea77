"""Tests that the threads of the service share one heap of the C library."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import heap
from tests.support.gx import StandInGx
from tests.support.patience import PATIENCE_S
from tests.support.running import World

CODE = """
import sys, threading
if sys.argv[1] == "one":
    from mqtt_http_bridge.adapters.heap import share_one
    share_one()
barrier, kept = threading.Barrier(4), []
def work():
    barrier.wait()
    kept.append(bytes(10_000))
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(open("/proc/self/maps").read())
"""
RESERVED_BYTES = 50_000_000
"""glibc reserves 64 MiB of addresses for each heap of a thread."""


def heaps_in(maps: str) -> int:
    """Counts the heaps of threads among the mappings of a process."""
    reserved = re.findall(r"^(\w+)-(\w+) ---p", maps, re.MULTILINE)
    return sum(int(end, 16) - int(begin, 16) > RESERVED_BYTES for begin, end in reserved)


@pytest.mark.parametrize(("how", "is_shared"), [("one", True), ("each", False)])
def test_threads_have_no_heaps_of_their_own(how: str, *, is_shared: bool) -> None:
    """Without the call they have, or it would be of no use."""
    command = [sys.executable, "-c", CODE, how]
    ended = subprocess.run(command, capture_output=True, check=True, text=True, timeout=PATIENCE_S)
    assert (heaps_in(ended.stdout) == 0) is is_shared


def test_the_service_has_one(world: World, gx: StandInGx) -> None:
    """For all its threads, of which one loads the HTTP client."""
    process = world.run()
    world.backend.wait_for(1, PATIENCE_S)
    maps = Path(f"/proc/{process._process.pid}/maps").read_text(encoding="utf-8")
    assert heaps_in(maps) == 0


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Musl has no such option."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    heap.share_one()
