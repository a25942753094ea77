"""A limit on the whole of an HTTP exchange.

The time-outs of requests are for one read: a server that sends a byte now and then keeps a client
for ever. Here the connection is cut when the time for everything is up, whatever is going on.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

NEVER: Final = float("inf")


class CuttableAdapter(HTTPAdapter):
    """Makes connections that can be cut from another thread. One exchange at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._mutex = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None
        """One that runs on after an exchange, for the next: to start a thread for each would take a
        seventh of the time of a drain."""
        self._ends_s = NEVER
        self.is_over = False
        """Whether the time of the last exchange was over before it was done."""

    def get_connection_with_tls_context(self, *args: Any, **keywords: Any) -> Any:
        """The pool for a request, which from now on makes connections of ours."""
        pool: Any = super().get_connection_with_tls_context(*args, **keywords)
        pool.ConnectionCls = _cuttable(pool.ConnectionCls, self._remember)
        return pool

    def _remember(self, sock: socket.socket | None) -> None:
        with self._mutex:
            if self._socket is not None:
                self._socket.close()
            self._socket = sock
            self._shut_down_if_over()

    def forget(self) -> None:
        """Lets go of the connection, which has been given up, and of the timer."""
        self._remember(None)
        with self._mutex:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    @contextlib.contextmanager
    def limit(self, total_s: float) -> Iterator[None]:
        """Within this, connections are cut once `total_s` is over, also ones made after that.

        As long as the exchanges before: a shorter one would be cut late.
        """
        with self._mutex:
            self.is_over = False
            self._ends_s = time.monotonic() + total_s
            if self._timer is None:
                self._look_in(total_s)
        try:
            yield
        finally:
            with self._mutex:
                self._ends_s = NEVER

    def _look_in(self, seconds: float) -> None:
        timer = threading.Timer(seconds, lambda: self._look(timer))
        timer.daemon = True
        self._timer = timer
        timer.start()

    def _look(self, timer: threading.Timer) -> None:
        """The timer's thread: cuts what takes too long, or looks again for what began later."""
        with self._mutex:
            if timer is not self._timer:
                return  # It was given up as it rang.
            self._timer = None
            left_s = self._ends_s - time.monotonic()
            if left_s <= 0.0:
                self.is_over = True
                self._shut_down_if_over()
            elif left_s < NEVER:
                self._look_in(left_s)

    def _shut_down_if_over(self) -> None:
        if self.is_over and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _cuttable(plain: Any, remember: Any) -> type[HTTPConnection]:
    """The class of connections `plain`, that also tells of each socket it opens."""
    if getattr(plain, "is_cuttable", False):
        cuttable: type[HTTPConnection] = plain
        return cuttable

    class Cuttable(plain):  # type: ignore[misc]
        is_cuttable = True

        def _new_conn(self) -> socket.socket:
            sock: socket.socket = super()._new_conn()
            # Another handle of the same connection: TLS takes the first one over.
            remember(sock.dup())
            return sock

    return Cuttable
