"""A wait for a socket that other threads can end."""

import select
import socket
import ssl
from contextlib import suppress
from typing import Any


def is_pending(sock: Any) -> bool:
    """Tells whether TLS holds something that the system no longer does: no wait sees that."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def is_readable(sock: Any) -> bool:
    """Tells whether `sock` has something to read now."""
    if is_pending(sock):
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0.0))


class Wakeup:
    """One thread waits and closes it, any thread ends the wait."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def wake(self) -> None:
        """Ends the wait under way, or else the next one."""
        # Full: it has been woken often enough. Closed: nobody waits any more.
        with suppress(OSError):
            self._outside.send(b"\0")

    def wait(self, sock: Any, timeout_s: float, *, is_to_write: bool) -> None:
        """Returns when `sock` is ready or it is woken, and after `timeout_s` at the latest."""
        # Not `select`, which takes no descriptor above 1023.
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if is_to_write else 0))
        ready = poll.poll(timeout_s * 1000.0)
        if (self._inside.fileno(), select.POLLIN) in ready:
            self._inside.recv(4096)

    def close(self) -> None:
        """Closes its sockets."""
        self._inside.close()
        self._outside.close()
