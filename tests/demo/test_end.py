"""Tests that the demo ends within seconds, and leaves nothing behind."""

import io
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mqtt_http_bridge.app.interrupting import interrupting
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.demo.run import run_demo
from tests.support.running import STOP_S, WITH_FAULT, Running

HANGS = (
    "import time; from mqtt_http_bridge.demo.backend import StandInBackend as B;"
    " B.answer = lambda self, arrival: (print('asked', flush=True), time.sleep(60))"
)


def tidy_up_slowly(tidied: list[str]) -> None:
    """Is ended, and asked to end again while it tidies up."""
    with interrupting(signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(STOP_S)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # Whoever would be interrupted is so by now.
            tidied.append("all of it")


def test_one_signal_is_enough() -> None:
    """A second one, or Ctrl+C after it, does not break off the tidying up."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    tidied: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        tidy_up_slowly(tidied)
    assert tidied == ["all of it"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_whoever_ends_it_is_told_what_was_posted(tmp_path: Path) -> None:
    """By Ctrl+C as well, with what to do next."""
    demo = Running([sys.executable, "-m", "mqtt_http_bridge", "demo"], tmp_path)
    demo.wait_for(" kWh")
    assert demo.stop(signal.SIGINT) == 0
    line = demo.wait_for(" posted, ")
    assert re.fullmatch(
        r"[1-9][0-9]* measurements? posted, [1-9][0-9]* device reports? stored, 0 breaches of the"
        r" contract, ended before all of it was played\.",
        line,
    )
    demo.wait_for("Next, with your own GX, URL and key:")
    demo.close()


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that, and what to do."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(LocalFault, match="found: No such file or directory: make room there, or"):
        run_demo(io.StringIO())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_end_in_a_post_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Within 5 s, and without the temporary directory, also if the terminal is closed."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    demo = Running([sys.executable, "-c", WITH_FAULT.format(HANGS), "demo"], tmp_path)
    demo.wait_for("asked")
    assert list(temporary.iterdir()) != []
    assert demo.stop(number) == 0
    assert list(temporary.iterdir()) == []
    assert not demo.said("Traceback")
    demo.close()
