"""Tests stdout and stderr that are closed, full, unread or not UTF-8: no verb shows a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mqtt_http_bridge import cli
from tests.support.extent import IS_LONG
from tests.support.places import RECORDINGS
from tests.support.running import PROGRAM, TIMEOUT_S, World, end_in_time, full_pipe

pytestmark = [pytest.mark.long, pytest.mark.one_charger]

TWO = str(RECORDINGS / "two.jsonl.gz")
VERBS = {
    "help": ["--help"],
    "version": ["--version"],
    "no verb": [],
    "check": ["check", "-c", "no.yaml"],
    "config test": ["config", "test", "-c", "no.yaml"],
    "config make": ["config", "make", "-o", "/nowhere/c.yaml", "--url", "http://a"],
    "replay": ["replay", TWO],
    "outbox list": ["outbox", "list", "-c", "config.yaml"],
    "outbox show": ["outbox", "show", "1", "-c", "config.yaml"],
    "outbox retry": ["outbox", "retry", "-c", "config.yaml"],
    "outbox drain": ["outbox", "drain", "-c", "config.yaml"],
    "outbox drop": ["outbox", "drop", "--all", "-c", "config.yaml"],
    "health": ["health", "-c", "config.yaml"],
    "health --alive": ["health", "--alive", "-c", "config.yaml"],
    "setup": [
        *("setup", "-c", "new.yaml", "--host", "127.0.0.1", "--port", "9", "--web-port", "9"),
        *("--url", "http://127.0.0.1:9", "--api-key-file", "key.txt", "--no-start"),
    ],
    "demo": ["demo"],
    "status": ["status", "-c", "config.yaml"],
    "status --json": ["status", "--json", "-c", "config.yaml"],
    "check --json": ["check", "--json", "-c", "config.yaml"],
    "outbox status": ["outbox", "status", "-c", "config.yaml"],
    "discover": ["discover", "127.0.0.1", "--port", "9"],
    "pin": ["pin", "127.0.0.1", "--port", "9"],
    "pair": ["pair", "127.0.0.1", "--port", "9", "--certificate", "no.pem"],
    "record": ["record", "-o", "r.jsonl", "--host", "127.0.0.1", "--port", "9", "--duration", "0"],
    "run": ["run", "-c", "no.yaml"],
}
INTERRUPTED = {"demo": ["timeout", "-s", "INT", "3"]}
"""Ends as by Ctrl+C what takes half a minute otherwise."""
STREAMS = {
    "closed": '"$@" >&- 2>&-',
    "stdout closed": '"$@" >&-',
    "all closed": '"$@" <&- >&- 2>&-',
    "on a full disk": '"$@" >/dev/full',
    "both on a full disk": '"$@" >/dev/full 2>&1',
    "a pipe without a reader": '{ "$@"; } | exec true',
    "both a pipe without a reader": '{ "$@"; } 2>&1 | exec true',
}


def environment(**more: str) -> dict[str, str]:
    """That of the tests, but with stdout buffered as it is for everybody else."""
    ours = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}
    ours.pop("PYTHONUNBUFFERED", None)
    return ours


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with an outbox that is empty, and a key in a file."""
    path = tmp_path / "config.yaml"
    path.write_text("backend: {url: http://127.0.0.1:9, api_key: k}\n", encoding="utf-8")
    (tmp_path / "key.txt").write_text("k3y\n", encoding="utf-8")
    return path


def test_each_verb_is_tried() -> None:
    """A new one must not be forgotten here."""
    tried = {" ".join(words[:count]) for words in VERBS.values() for count in (1, 2)}
    assert cli.VERBS.keys() - tried == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb", VERBS if IS_LONG else ("help", "check", "replay", "record", "setup", "health")
)
def test_no_stream_brings_a_verb_to_a_traceback(verb: str, config: Path) -> None:
    """Whatever the shell made of stdout and stderr: it ends, and says at most a line."""
    for name, shell in STREAMS.items():
        said = subprocess.run(
            ["bash", "-c", shell, "bash", *INTERRUPTED.get(verb, []), *PROGRAM, *VERBS[verb]],
            cwd=config.parent,
            env=environment(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert b"Traceback" not in said.stderr, (name, said.stderr)
        assert b"Exception ignored" not in said.stderr, (name, said.stderr)
        assert b"Fatal" not in said.stderr, (name, said.stderr)
        (config.parent / "r.jsonl").unlink(missing_ok=True)


def test_a_full_disk_under_stdout_is_told(config: Path) -> None:
    """Half a result must not pass for a whole one."""
    said = subprocess.run(
        ["bash", "-c", STREAMS["on a full disk"], "bash", *PROGRAM, "replay", TWO],
        cwd=config.parent,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
    )
    assert said.returncode == 1
    assert said.stderr == (
        "config: config.yaml\nmqtt-http-bridge: cannot write its output: No space left on device\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_utf_8_shows_what_it_can(encoding: str, tmp_path: Path) -> None:
    """The rest is escaped, on stdout as on stderr."""
    (tmp_path / "süd█.jsonl").write_text("x", encoding="utf-8")
    said = subprocess.run(
        [*PROGRAM, "check", "-c", "süd█.jsonl"],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert b"Traceback" not in said.stderr
    assert "süd█.jsonl".encode(encoding, "backslashreplace") in said.stdout


def test_an_error_is_one_printable_line_without_a_secret(tmp_path: Path) -> None:
    """On stderr, too, which on a GX is the log."""
    said = subprocess.run(
        [*PROGRAM, "replay", "a\x1b[31m\nERROR forged"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert said.stderr.startswith("mqtt-http-bridge: a\\x1b[31m\\nERROR forged: expected")
    assert said.stderr.count("\n") == 1


# --- run -----------------------------------------------------------------------------------------


def measures_and_ends(world: World, process: "subprocess.Popen[bytes]") -> None:
    """Asserts that it measures on, and stops in time, with success."""
    before = len(world.backend.received)
    world.backend.wait_for(before + 3, TIMEOUT_S)
    assert end_in_time(process, signal.SIGTERM, process.wait) == 0


def test_a_log_that_nobody_reads_holds_nothing_up(world: World) -> None:
    """Not measuring, and not the end: with a full pipe for stdout and stderr, at DEBUG."""
    config = world.write_config({"logging.level": "DEBUG"})
    command = [*PROGRAM, "run", "-c", str(config)]
    with (
        full_pipe() as into,
        subprocess.Popen(command, stdout=into, stderr=into, cwd=world.directory) as process,
    ):
        measures_and_ends(world, process)


@pytest.mark.parametrize("shell", ['exec "$@" >&-', 'exec "$@" >&- 2>&- <&-'])
def test_run_needs_no_stdout(world: World, shell: str) -> None:
    """Nothing of the log ends up in a file that was opened in its place."""
    config = world.write_config({"logging.level": "DEBUG"})
    command = ["sh", "-c", shell, "sh", *PROGRAM, "run", "-c", str(config)]
    with subprocess.Popen(command, cwd=world.directory) as process:
        measures_and_ends(world, process)
    for path in world.directory.rglob("*"):
        assert not path.is_file() or b"DEBUG" not in path.read_bytes() or path == config


def test_a_reader_of_the_log_that_goes_away_does_not_end_run(world: World) -> None:
    """As when the terminal is closed in which `run | tee` was."""
    out, into = os.pipe()
    config = world.write_config({"logging.level": "DEBUG"})
    command = [*PROGRAM, "run", "-c", str(config)]
    with subprocess.Popen(command, stdout=into, cwd=world.directory) as process:
        os.close(into)
        assert os.read(out, 10)
        os.close(out)
        measures_and_ends(world, process)
