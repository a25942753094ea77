"""Copies the log of `run` to the system's log, /dev/log, under our own name.

The thread that logs a line sends it as a datagram, without waiting. A system log that is full or
gone loses lines, and gets their number once it is back.
"""

import socket
from typing import Final

from mqtt_http_bridge.core.words import counted

NAME: Final = "mqtt-http-bridge"
_DAEMON: Final = 3 << 3
_SEVERITIES: Final = ((50, 2), (40, 3), (30, 4), (20, 6))
"""Python's levels, highest first, and the syslog severity of each."""
_DEBUG: Final = 7


class SystemLog:
    """Holds a connection to the system's log. The caller makes sure that threads take turns."""

    def __init__(self, path: str) -> None:
        """Connects to nothing yet."""
        self._path = path
        self._socket: socket.socket | None = None
        self._lost = 0

    def send(self, level: int, line: str) -> None:
        """Sends a line, or drops it. Never waits, and raises nothing."""
        lost = counted(self._lost, "line was", "lines were")
        if self._lost and self._is_sent(30, f"WARNING {lost} lost here"):
            self._lost = 0
        if not self._is_sent(level, line):
            self._lost += 1

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _is_sent(self, level: int, line: str) -> bool:
        severity = next((number for least, number in _SEVERITIES if level >= least), _DEBUG)
        data = f"<{_DAEMON | severity}>{NAME}: {line}".encode(errors="backslashreplace")
        # Twice, because a restarted system log has a new socket with the same name.
        for _ in range(2):
            try:
                self._connected().send(data)
            except BlockingIOError:
                return False
            except OSError:
                self.close()
            else:
                return True
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.setblocking(False)
            try:
                made.connect(self._path)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket
