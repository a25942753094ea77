"""Tests that a thread that does not start ends the process, and that nothing else does."""

import faulthandler
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.core.errors import LocalFault
from tests.support.running import TIMEOUT_S, full_pipe

HUNG = """
import threading
from mqtt_http_bridge.adapters import thread_start

thread_start.LIMIT_S, thread_start.TELL_S = 0.3, {tell_s}
threading.Thread._bootstrap = lambda self: None  # As if it had died before it could say a word.
thread_start.start(threading.Thread(target=print, name="mute", daemon=True))
"""
DEEP = """
import json, threading
from mqtt_http_bridge.adapters import thread_start

def read():
    for text in (b"[" * 900_000, b'{"a":' * 100_000):
        try:
            json.loads(text)
        except RecursionError:
            print("refused")

thread = threading.Thread(target=read)
thread_start.start(thread)
thread.join()
print(threading.stack_size())
"""

ROOM = """
import re, threading
from mqtt_http_bridge.adapters import thread_start

def data_kib():
    return int(re.search("VmData:\\\\s*([0-9]+)", open("/proc/self/status").read())[1])

start = threading.Thread.start

def start_and_measure(thread):
    print(data_kib() - before_kib)
    start(thread)

threading.Thread.start = start_and_measure
before_kib = data_kib()
thread_start.start(threading.Thread(target=int), stack_bytes=262_144)
"""


def run(code: str, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )


def test_a_thread_that_does_not_start_ends_the_process(tmp_path: Path) -> None:
    """With where each thread is, on stderr."""
    found = run(HUNG.format(tell_s=20.0), tmp_path)
    assert found.returncode == 1
    assert "Timeout (0:00:00.3" in found.stderr
    assert "thread_start.py" in found.stderr


def test_it_ends_even_if_nobody_reads_why() -> None:
    """A full pipe keeps the traceback, not the kernel."""
    command = [sys.executable, "-c", HUNG.format(tell_s=0.3)]
    with full_pipe() as into, subprocess.Popen(command, stdout=into, stderr=into) as process:
        assert process.wait(TIMEOUT_S) == -signal.SIGALRM


@pytest.mark.parametrize("is_main", [True, False])
def test_a_thread_that_starts_leaves_no_limit_behind(
    monkeypatch: pytest.MonkeyPatch, *, is_main: bool
) -> None:
    """Nor takes away one that was there; in another thread there is none at all."""
    limits = list[str]()
    for name in ("dump_traceback_later", "cancel_dump_traceback_later"):
        note = partial(limits.append, name)
        monkeypatch.setattr(faulthandler, name, lambda *_, note=note, **__: note())
    before = signal.getitimer(signal.ITIMER_REAL)
    has_run = threading.Event()

    def start() -> None:
        thread_start.start(threading.Thread(target=has_run.set, daemon=True))

    if is_main:
        start()
    else:
        starter = threading.Thread(target=start)
        starter.start()
        starter.join()
    assert has_run.wait(TIMEOUT_S)
    expected = ["dump_traceback_later", "cancel_dump_traceback_later"]
    assert limits == (expected if is_main else [])
    after = signal.getitimer(signal.ITIMER_REAL)
    assert after[1] == before[1]
    assert before[0] - TIMEOUT_S < after[0] <= before[0]


def test_no_room_for_a_thread_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stack_before = threading.stack_size()
    with pytest.raises(LocalFault, match=r"cannot start the thread mute: .* raise the limit of"):
        thread_start.start(threading.Thread(target=print, name="mute"))
    assert threading.stack_size() == stack_before


def test_its_stack_is_large_enough(tmp_path: Path) -> None:
    """A backend may answer with what is nested without end: that is refused, and kills nobody."""
    found = run(DEEP, tmp_path)
    assert (found.returncode, found.stdout) == (0, "refused\nrefused\n0\n"), found


def test_the_timer_has_a_small_stack_too(tmp_path: Path) -> None:
    """It is a thread for the system, whose limit of memory counts a whole stack."""
    found = run(ROOM, tmp_path)
    assert found.returncode == 0, found
    assert int(found.stdout) < 1_024, "KiB"
