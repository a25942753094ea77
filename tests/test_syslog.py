"""The system's log: lines under our name, and no harm without one."""

import logging
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.syslog import add_system_log


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A log of its own."""
    found = logging.getLogger("test of syslog")
    found.propagate = True
    yield found
    for handler in list(found.handlers):
        handler.close()
        found.removeHandler(handler)


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path, as a socket needs."""
    with tempfile.TemporaryDirectory(prefix="log-") as directory:
        yield Path(directory) / "log"


def listen(place: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(place))
    listener.settimeout(10.0)
    return listener


def test_a_line_arrives_under_our_name(log: logging.Logger, place: Path) -> None:
    """With the facility for daemons (3) and the level of a warning (4), and no odd bytes."""
    with listen(place) as listener:
        add_system_log(log, str(place))
        log.warning("the GX is %s", "silent")
        assert listener.recv(1000) == b"<28>mqtt-http-bridge: WARNING the GX is silent"


def test_without_a_system_log_it_says_so_and_goes_on(
    log: logging.Logger, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A wish for one more log is no reason not to measure."""
    add_system_log(log, str(place))
    log.warning("measured")
    complaint = (
        f"logging.syslog: expected the system's log at {place}, found none: start one, or set"
        " logging.syslog to false"
    )
    assert caplog.messages == [complaint, "measured"]
    with listen(place) as listener:
        log.warning("later")
        assert listener.recv(1000).endswith(b"WARNING later")


def test_a_system_log_that_restarts_is_found_again(
    log: logging.Logger, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines meanwhile are lost there, without a word; they stand in the other log."""
    with listen(place):
        add_system_log(log, str(place))
    place.unlink()
    log.warning("lost")
    with listen(place) as listener:
        log.warning("found")
        assert listener.recv(1000).endswith(b"WARNING found")
    assert "Traceback" not in capsys.readouterr().err
