"""A backend that takes everything and costs little: python -m tests.bench.quick_backend.

It prints its port. A GET is answered with the number of POSTs so far. The stand-in backend checks
the contract; this one only has to be quicker than what is measured.
"""

import re
import socket
import threading

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Count:
    """The POSTs of all connections."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.value += 1


def main() -> None:
    """Serves until it is ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    count = Count()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, count), daemon=True).start()


def _serve(connection: socket.socket, count: Count) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while received := connection.recv(65536):
        data += received
        head, found, rest = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            continue
        data = rest[size:]
        if head.startswith(b"GET"):
            connection.sendall(_answer(b"200 OK", b"%d" % count.value))
        else:
            count.add()
            connection.sendall(_answer(b"201 Created", b"{}"))
    connection.close()


def _answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


if __name__ == "__main__":
    main()
