"""Tests `run --pause`: a supervisor that restarts at once does not spin."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mqtt_http_bridge
from mqtt_http_bridge.pause import pause_in
from tests.support.look_alike import wait_until

pytestmark = pytest.mark.long

PACKAGE = Path(mqtt_http_bridge.__file__).parent
CONFIG = "backend: {url: 'http://127.0.0.1:1', api_key: k}\nmqtt: {host: 127.0.0.1, port: 1}\n"
BROKEN = 'raise RuntimeError("this version is broken")\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the package that may be damaged, and a config beside it."""
    shutil.copytree(PACKAGE, tmp_path / "lib/mqtt_http_bridge")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@contextmanager
def service(place: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line of a GX, at work in `place`."""
    options = ["run", "-c", "config.yaml", "--pause", "60"]
    with subprocess.Popen(
        [sys.executable, "-m", "mqtt_http_bridge", *options],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place / "lib")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def damage(place: Path, module: str, text: str = BROKEN) -> None:
    with (place / "lib/mqtt_http_bridge" / module).open("a", encoding="utf-8") as source:
        source.write(text)


def no_damage(place: Path) -> None:
    (place / "config.yaml").write_text("backend: {}\n", encoding="utf-8")


ENDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a wrong config": (no_damage, "backend.url: expected"),
    "what every verb imports": (lambda place: damage(place, "cli.py"), "is broken"),
    "what run imports": (lambda place: damage(place, "app/run.py"), "is broken"),
    "what it imports later": (lambda place: damage(place, "app/wiring.py"), "is broken"),
    "a syntax error": (lambda place: damage(place, "app/main_loop.py", "def\n"), "SyntaxError"),
    "a missing file": (
        lambda place: (place / "lib/mqtt_http_bridge/app/wiring.py").unlink(),
        "ModuleNotFoundError",
    ),
    "an output that is no BridgeError": (
        lambda place: damage(
            place, "adapters/config.py", "def load(*_, **__): raise OSError(28)\n"
        ),
        "OSError",
    ),
}


@pytest.mark.parametrize(("damaged_by", "reason"), ENDS.values(), ids=ENDS.keys())
def test_every_end_of_run_is_followed_by_a_pause(
    place: Path, damaged_by: Callable[[Path], None], reason: str
) -> None:
    """The reason comes first, so that whoever looks need not wait; SIGTERM ends the pause."""
    damaged_by(place)
    with service(place) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line == "trying again in 60 s\n":
                break
        assert reason in "".join(said)
        assert said[-1] == "trying again in 60 s\n"
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text() == "sleep\n", "a process that takes no memory")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5.0) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_that_was_asked_for_is_not(place: Path, number: signal.Signals) -> None:
    """`svc -t` restarts at once."""
    with service(place) as process:
        assert process.stdout is not None
        assert any("no connection to the broker" in line for line in process.stdout)
        process.send_signal(number)
        assert process.wait(10.0) == 0


@pytest.mark.parametrize(
    ("words", "found_s"),
    [("run --pause 60", 60.0), ("run", 0.0), ("run --pause", 0.0), ("run --pause soon", 0.0)],
)
def test_the_pause_is_found_without_the_grammar(words: str, found_s: float) -> None:
    """A damaged installation may have no grammar."""
    assert pause_in(words.split()) == found_s
