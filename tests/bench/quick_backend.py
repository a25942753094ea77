"""Runs a cheap backend that accepts everything: python -m tests.bench.quick_backend [SECONDS].

It takes SECONDS for each POST, none if that is left out. It prints its port. What a GET tells:

    /         the number of POSTs so far
    /serials  the number of devices of which a report came
    /delays   how long after its moment each measurement came, since this was asked last

The stand-in backend checks the contract; this one only has to be quicker than what is measured.
"""

import json
import re
import socket
import sys
import threading
import time
from datetime import datetime
from email.utils import formatdate

_SERIAL = re.compile(rb'"serial":"([^"]*)"')
_TIMESTAMP = re.compile(rb'"timestamp":"([^"]*)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


_POST_S = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0


class Count:
    """The POSTs of all connections."""

    def __init__(self) -> None:
        self.value = 0
        self.serials: set[bytes] = set()
        self._delays_s: list[float] = []
        self._lock = threading.Lock()

    def add(self, body: bytes) -> None:
        """Counts a measurement that has come just now."""
        found = _TIMESTAMP.search(body)
        moment_s = datetime.fromisoformat(found[1].decode()).timestamp() if found else 0.0
        with self._lock:
            self.value += 1
            self.serials.update(_SERIAL.findall(body))
            self._delays_s.append(round(time.time() - moment_s, 4))

    def take_delays(self) -> bytes:
        """Gives the delays since the last call, as JSON."""
        with self._lock:
            delays_s, self._delays_s = self._delays_s, []
        return json.dumps(delays_s).encode()


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
        if head.startswith(b"HEAD"):
            date = formatdate(usegmt=True).encode()
            connection.sendall(b"HTTP/1.1 405 No\r\nDate: %s\r\nContent-Length: 0\r\n\r\n" % date)
        elif head.startswith(b"GET /serials"):
            connection.sendall(_answer(b"200 OK", b"%d" % len(count.serials)))
        elif head.startswith(b"GET /delays"):
            connection.sendall(_answer(b"200 OK", count.take_delays()))
        elif head.startswith(b"GET"):
            connection.sendall(_answer(b"200 OK", b"%d" % count.value))
        else:
            count.add(rest[:size])
            time.sleep(_POST_S)
            connection.sendall(_answer(b"201 Created", _results(rest[:size])))
    connection.close()


def _results(body: bytes) -> bytes:
    each = b'{"device_identifier":"%s","status":"ok"}'
    return b'{"results":[%s]}' % b",".join(each % serial for serial in _SERIAL.findall(body))


def _answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


if __name__ == "__main__":
    main()
