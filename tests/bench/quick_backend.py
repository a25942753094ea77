"""A backend that takes everything and costs little: python -m tests.bench.quick_backend.

It prints its port. The stand-in backend checks the contract; this
one only has to be quicker than what is measured.
"""

import re
import socket
import threading

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def main() -> None:
    """Serves until it is ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while received := connection.recv(65536):
        data += received
        head, found, rest = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if found and length and len(rest) >= int(length[1]):
            data = rest[int(length[1]) :]
            connection.sendall(_ANSWER)
    connection.close()


if __name__ == "__main__":
    main()
