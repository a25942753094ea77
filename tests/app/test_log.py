"""Tests the log: only our own loggers, without secrets, to a stream and to the system's log."""

import io
import logging
import socket
import tempfile
from pathlib import Path

import pytest

from mqtt_http_bridge.app import log as log_module
from mqtt_http_bridge.app.log import log_to
from mqtt_http_bridge.core.log_line import MOST_CHARACTERS
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import Secret

KEY = "canary-5f3a"
REDACTION = Redaction([Secret(KEY)])
ours = logging.getLogger("mqtt_http_bridge.somewhere")
theirs = logging.getLogger("urllib3.connection")


class Terminal(io.StringIO):
    """A stream on which a person looks."""

    def isatty(self) -> bool:
        return True


def test_only_our_loggers_are_heard(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that a library warns of goes nowhere: it quotes whatever a server sent."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # Those of pytest.
    stream = io.StringIO()
    with log_to(stream, "INFO", REDACTION):
        theirs.warning("Failed to parse headers: X-Api-Key: %s", KEY, exc_info=ValueError(KEY))
        ours.warning("not delivered")
        ours.debug("too much")
    assert stream.getvalue() == "WARNING not delivered\n"
    assert capfd.readouterr() == ("", "")
    ours.warning("after the end")
    assert stream.getvalue() == "WARNING not delivered\n"


def test_every_line_is_made_fit() -> None:
    """Message, arguments and traceback: no secret, nothing that cannot be printed, not too long."""
    stream = io.StringIO()
    with log_to(stream, "DEBUG", REDACTION):
        ours.info("the backend says\n%s %s", KEY, "x" * 5000)
        ours.info(f"a \x1b[31m{KEY}")
        try:
            raise RuntimeError(f"with {KEY}\nERROR forged")
        except RuntimeError:
            ours.exception("it failed")
    said = stream.getvalue()
    lines = said.splitlines()
    assert KEY not in said
    assert all(len(line) <= MOST_CHARACTERS and line.isprintable() for line in lines)
    assert lines[0].startswith("INFO the backend says\\n*** xxx")
    assert lines[1] == "INFO a \\x1b[31m***"
    assert lines[2] == "ERROR it failed"
    assert lines[-2:] == ["  RuntimeError: with ***", "  ERROR forged"]


def test_a_line_that_cannot_be_put_together_is_told_as_it_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in a log line is no reason for a traceback on stderr."""
    monkeypatch.setattr(logging.getLogger("mqtt_http_bridge"), "propagate", False)
    stream = io.StringIO()
    with log_to(stream, "INFO", REDACTION):
        ours.info("%d of %d", 1)
    assert stream.getvalue() == "INFO %d of %d\n"
    assert capfd.readouterr() == ("", "")


def test_a_person_is_told_the_time() -> None:
    """Supervisors add theirs."""
    stream = Terminal()
    with log_to(stream, "INFO", REDACTION):
        ours.info("well")
    time, _, rest = stream.getvalue().partition(" ")
    assert rest == "INFO well\n"
    assert [len(part) for part in time.split(":")] == [2, 2, 2]


def test_what_nobody_read_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line of the log."""
    put: list[str] = []

    class Writer:
        def __init__(self, stream: object, *, gap: object) -> None:
            put.extend(map(gap, (7, 1)))  # type: ignore[call-overload]

        def close(self, limit_s: float) -> None:
            """Has nothing to do."""

    monkeypatch.setattr(log_module, "LineWriter", Writer)
    with log_to(io.StringIO(), "INFO", REDACTION):
        pass
    assert put == [
        "WARNING 7 lines of the log were dropped here: nobody read them",
        "WARNING 1 line of the log was dropped here: nobody read it",
    ]


def test_the_system_log_has_the_same_lines() -> None:
    """As fit as the others, and once."""
    with tempfile.TemporaryDirectory(prefix="log-") as directory:
        place = Path(directory) / "log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(place))
            listener.settimeout(20.0)
            with log_to(io.StringIO(), "INFO", REDACTION, syslog=str(place)):
                ours.error("a\n%s", KEY)
            assert listener.recv(1000) == b"<27>mqtt-http-bridge: ERROR a\\n***"


def test_without_a_system_log_it_says_so_and_goes_on(tmp_path: Path) -> None:
    """A wish for one more log is no reason not to measure."""
    stream, place = io.StringIO(), tmp_path / "log"
    with log_to(stream, "INFO", REDACTION, syslog=str(place)):
        ours.warning("measured")
    complaint = (
        f"logging.syslog: expected the system's log at {place}, found none: start one, or set"
        " logging.syslog to false"
    )
    assert stream.getvalue().splitlines() == [f"WARNING {complaint}", "WARNING measured"]
