"""Waits for a socket, until another thread ends the wait."""

import select
import socket
import ssl
from contextlib import suppress
from typing import Any


def is_pending(sock: Any) -> bool:
    """Tells whether TLS holds data already taken from the socket, which no wait can see."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def is_readable(sock: Any) -> bool:
    """Tells whether `sock` has something to read now."""
    if is_pending(sock):
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0.0))


class Wakeup:
    """Lets any thread end the wait of one thread, which also closes it."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def wake(self) -> None:
        """Ends the current wait, or the next one if nobody waits."""
        # If full, it has been woken often enough. If closed, nobody waits any more.
        with suppress(OSError):
            self._outside.send(b"\0")

    def wait(self, sock: Any, timeout_s: float, *, is_to_write: bool) -> bool:
        """Waits until `sock` is ready, or it is woken, or `timeout_s` have passed.

        Returns whether to read: `sock` has something to read, or the time is over.
        """
        # Not `select`, which cannot handle descriptors above 1023.
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if is_to_write else 0))
        ready = dict(poll.poll(timeout_s * 1000.0))
        if self._inside.fileno() in ready:
            self._inside.recv(4096)
        is_readable = bool(ready.get(sock.fileno(), 0) & ~select.POLLOUT)
        return is_readable or not ready or timeout_s <= 0.0

    def close(self) -> None:
        """Closes its sockets."""
        self._inside.close()
        self._outside.close()
