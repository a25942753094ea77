"""Tests the system's log: lines under our name, and no harm and no wait if there is none."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.syslog import SystemLog

WARNING, INFO = 30, 20


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


def test_a_line_arrives_under_our_name(place: Path) -> None:
    """With the facility for daemons (3) and the level of a warning (4), and no odd bytes."""
    with listen(place) as listener:
        system_log = SystemLog(str(place))
        system_log.send(WARNING, "WARNING the GX is silent")
        system_log.send(10, "DEBUG all else")
        system_log.close()
        assert listener.recv(1000) == b"<28>mqtt-http-bridge: WARNING the GX is silent"
        assert listener.recv(1000) == b"<31>mqtt-http-bridge: DEBUG all else"


def test_a_system_log_that_restarts_is_found_again(place: Path) -> None:
    """Lines meanwhile are lost there, which is told once there is somebody to tell."""
    system_log = SystemLog(str(place))
    system_log.send(INFO, "before there was one")
    with listen(place) as listener:
        system_log.send(INFO, "INFO found")
        assert listener.recv(1000).endswith(b"WARNING 1 line was lost here")
        assert listener.recv(1000).endswith(b"INFO found")
    place.unlink()
    system_log.send(INFO, "lost")
    system_log.send(INFO, "lost, too")
    with listen(place) as listener:
        system_log.send(INFO, "INFO found again")
        assert listener.recv(1000).endswith(b"WARNING 2 lines were lost here")
        assert listener.recv(1000).endswith(b"INFO found again")
    place.unlink()
    with listen(place) as listener:
        system_log.send(INFO, "INFO the first after a restart")
        assert listener.recv(1000).endswith(b"INFO the first after a restart")
    system_log.close()


def test_a_system_log_that_takes_nothing_is_not_waited_for(place: Path) -> None:
    """Its queue holds a few hundred datagrams at most: the others are lost, and counted."""
    sent = 2000
    with listen(place) as listener:
        system_log = SystemLog(str(place))
        for _ in range(sent):
            system_log.send(INFO, "INFO a line")
        listener.setblocking(False)
        count = 0
        try:
            while listener.recv(1000):
                count += 1
        except BlockingIOError:
            pass
        system_log.send(INFO, "INFO at last")
        assert listener.recv(1000).endswith(f"WARNING {sent - count} lines were lost here".encode())
        assert 0 < count < sent
    system_log.close()
