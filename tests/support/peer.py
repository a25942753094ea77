"""Runs a server that is no broker, or a broker that says only one thing, for early failures."""

import queue
import socket
import threading
from contextlib import suppress
from typing import Self

TIMEOUT_S = 20.0
SERVER_UNAVAILABLE = b"\x20\x02\x00\x03"
"""A CONNACK that refuses for the moment, whoever it is."""


class Peer:
    """A server that says the same to every client, and keeps what each one said.

    With `hangs_up` it ends its half of the connection after that. A context manager.
    """

    def __init__(self, says: bytes, *, hangs_up: bool = False) -> None:
        self.heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._says = says
        self._hangs_up = hangs_up
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="peer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes `accept`, which a mere close does not.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, suppress(OSError):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        connection.sendall(self._says)
        if self._hangs_up:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            self.heard.put(stream.read())
