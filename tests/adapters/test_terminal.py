"""Tests that a person is asked, and that a secret is not shown."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Terminal

PROGRAM = """
import sys
from mqtt_http_bridge.adapters.terminal import ask
{}
print("got", repr(ask("key", is_secret=True)))
print("got", repr(ask("name")))
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", PROGRAM.format("")]
    with Terminal(command, tmp_path, environment) as terminal:
        yield terminal


def test_a_secret_is_not_seen(terminal: Terminal) -> None:
    """Not even typed at once; what is no secret is seen."""
    terminal.answer("key: ", "geheim")
    terminal.expect("got 'geheim'")
    terminal.answer("name: ", "Roof")
    terminal.expect("got 'Roof'")
    assert terminal.end() == 0
    assert terminal.seen.count("geheim") == 1
    assert terminal.seen.count("Roof") == 2


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    """Whatever is typed afterwards is seen again."""
    terminal.expect("key: ")
    assert not terminal.shows_typing
    terminal.interrupt()
    assert terminal.end() == -signal.SIGINT
    assert terminal.shows_typing


@pytest.mark.parametrize("is_secret", [True, False])
def test_what_is_said_of_ctrl_c_has_its_own_line(tmp_path: Path, *, is_secret: bool) -> None:
    """And there is no empty line before it."""
    code = f"""
import sys
from mqtt_http_bridge.adapters.terminal import ask
try:
    ask("name", is_secret={is_secret})
except KeyboardInterrupt:
    print("ended")
"""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with Terminal([sys.executable, "-c", code], tmp_path, environment) as terminal:
        terminal.expect("name: ")
        terminal.interrupt()
        assert terminal.end() == 0
        assert terminal.seen == "name: \nended\n"


def test_nobody_answers() -> None:
    """The end of the input is an error in words."""
    command = [sys.executable, "-c", "from mqtt_http_bridge.adapters.terminal import ask; ask('a')"]
    said = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert "expected an answer, found the end of the input" in said.stderr
