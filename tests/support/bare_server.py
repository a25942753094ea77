"""Runs a server on a bare socket; a function of the test handles each connection."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

PATIENCE_S: Final = 5.0
"""A connection that is silent for so long is given up."""


@dataclass
class Wire:
    """A server on a bare socket that counts its connections."""

    url: str
    connections: int = 0


@contextlib.contextmanager
def served_by(serve: Callable[[socket.socket], None]) -> Iterator[Wire]:
    """A server on loopback; each connection is given to `serve` in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    wire.connections += 1
                    threads.append(threading.Thread(target=hand_over, args=[connection]))
                    threads[-1].start()

        def hand_over(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE_S)
                serve(connection)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(PATIENCE_S)
            for thread in threads:
                thread.join(PATIENCE_S)
