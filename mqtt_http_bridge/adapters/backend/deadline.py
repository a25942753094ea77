"""A limit on the whole of an HTTP exchange.

The time-outs of requests are for one read: a server that sends a byte now and then keeps a client
for ever. Here the connection is cut when the time for everything is up, whatever is going on.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection


class CuttableAdapter(HTTPAdapter):
    """Makes connections that can be cut from another thread. One exchange at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._mutex = threading.Lock()
        self._socket: socket.socket | None = None
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
        """Lets go of the connection, which has been given up."""
        self._remember(None)

    def _cut(self) -> None:
        with self._mutex:
            self.is_over = True
            self._shut_down_if_over()

    def _shut_down_if_over(self) -> None:
        if self.is_over and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def limit(self, total_s: float) -> Iterator[None]:
        """Within this, connections are cut once `total_s` is over, also ones made after that."""
        self.is_over = False
        timer = threading.Timer(total_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


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
