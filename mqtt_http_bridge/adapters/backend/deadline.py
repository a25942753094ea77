"""Limits the total time of an HTTP exchange.

The time-outs of requests apply to a single read: a server that sends a byte now and then can hold a
client for ever. Here every wait of a socket is limited to what is left of the total time:
connections use our own kind of socket, with or without TLS. No thread has to watch them. Name
look-ups are left to the system, which has its own limit.
"""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mqtt_http_bridge.core.events import NEVER

T = TypeVar("T")


class Deadline:
    """Knows when an exchange has to be over. For one thread."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._ends_s = NEVER
        self._old_wait_s = NEVER
        self.is_new = False
        """True if the exchange has made its own connection."""

    def begin(self, total_s: float, *, old_wait_s: float = NEVER) -> None:
        """Starts an exchange that may take this long.

        `old_wait_s` is the longest single wait over a connection that existed before.
        """
        self._ends_s = self._now_s() + total_s
        self._old_wait_s = old_wait_s
        self.is_new = False

    @property
    def is_over(self) -> bool:
        """True once the time is up."""
        return self._now_s() >= self._ends_s

    @property
    def wait_s(self) -> float:
        """Returns the longest single wait, apart from the socket's own time-out."""
        return NEVER if self.is_new else self._old_wait_s

    def within(self, sock: "socket.socket", wait: Callable[..., T], *arguments: Any) -> T:
        """Runs something that may wait for `sock`, within the time left. Raises TimeoutError."""
        own_s = sock.gettimeout()
        left_s = self._ends_s - self._now_s()
        if left_s <= 0.0:
            raise TimeoutError("the time for the whole exchange is up")
        left_s = min(left_s, self.wait_s)
        if left_s == NEVER or (own_s is not None and own_s <= left_s):
            return wait(*arguments)
        sock.settimeout(left_s)
        try:
            return wait(*arguments)
        finally:
            if sock.fileno() >= 0:
                sock.settimeout(own_s)


class LimitedSocket(socket.socket):
    """Waits no longer than its deadline allows."""

    deadline: Deadline

    def recv(self, *arguments: Any) -> Any:
        """Reads, in time."""
        return self.deadline.within(self, super().recv, *arguments)

    def recv_into(self, *arguments: Any) -> Any:
        """Reads into a buffer, in time."""
        return self.deadline.within(self, super().recv_into, *arguments)

    def send(self, *arguments: Any) -> Any:
        """Writes what can be written now, in time."""
        return self.deadline.within(self, super().send, *arguments)

    def sendall(self, *arguments: Any) -> Any:
        """Writes all of it, in time."""
        return self.deadline.within(self, super().sendall, *arguments)


class LimitedTlsSocket(LimitedSocket, ssl.SSLSocket):
    """Does the same with TLS."""

    def do_handshake(self, *arguments: Any) -> None:
        """Does the handshake, in time."""
        self.deadline.within(self, super().do_handshake, *arguments)
