"""Counts the bytes of POSTs in a network namespace: python -m tests.bench.wire KIND CLOSED ANEW N.

It prints the bytes of IP packets of one POST, both ways. KIND is `TLS 1.3`, `TLS 1.2` or `plain`.
With CLOSED the server closes what is idle, with ANEW the client knows nothing of the POST before.
"""

import json
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.backend import Backends
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.answers import Reply
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.bench.inside import a_measurement
from tests.bench.waiting import Failed
from tests.support.certificates import Certificate, make_certificate

INTERVAL_S: Final = 0.5
KEPT_S: Final = 0.2
"""Seconds for which a server that closes what is idle keeps it: less than the interval, as 5 s of
30 s."""
ANSWER_S: Final = 0.06
"""A database takes its time, so what is sent is confirmed on its own, before the answer."""
KEY: Final = Secret("k" * 32)
_VERSIONS: Final = {"TLS 1.3": ssl.TLSVersion.TLSv1_3, "TLS 1.2": ssl.TLSVersion.TLSv1_2}
_ALL_IP: Final = 0x0800
_SERIAL: Final = re.compile(rb'"serial":"([^"]*)"')
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Capture:
    """Counts the bytes of IP packets on the loopback interface."""

    def __init__(self) -> None:
        options = ["mtu", "1500", "gso_max_segs", "1"]
        subprocess.run(["ip", "link", "set", "lo", "up", *options], check=True)
        self.bytes = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IP))
        self._socket.bind(("lo", _ALL_IP))
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            packet = self._socket.recv(65_536)
            self.bytes += int.from_bytes(packet[2:4], "big")


class Server:
    """Answers as the real backend does, with the headers of its server."""

    def __init__(self, version: ssl.TLSVersion | None, certificate: Certificate) -> None:
        self._context = None
        if version is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.file, certificate.key_file)
            self._context.minimum_version = self._context.maximum_version = version
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if version is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self, *, kept_s: float | None) -> None:
        """Serves in threads of its own; None keeps every connection."""
        threading.Thread(target=self._accept, args=[kept_s], daemon=True).start()

    def _accept(self, kept_s: float | None) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=[connection, kept_s], daemon=True).start()

    def _serve(self, connection: socket.socket, kept_s: float | None) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        with connection, suppress(OSError):
            while body := _body_from(connection):
                time.sleep(ANSWER_S)
                connection.sendall(_answer(body))
                connection.settimeout(kept_s)
            if isinstance(connection, ssl.SSLSocket):
                connection.settimeout(0.0)  # It says that it closes, and waits for no answer.
                connection.unwrap()


def _body_from(connection: socket.socket) -> bytes:
    received = b""
    with suppress(TimeoutError):
        while chunk := connection.recv(65_536):
            received += chunk
            head, found, body = received.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if found and length and len(body) == int(length[1]):
                return body
    return b""


def _answer(body: bytes) -> bytes:
    serials = [found.decode() for found in _SERIAL.findall(body)]
    summary = {
        "cerbo_serial": "c0619ab2f7e1",
        "timestamp": "2026-06-14T10:30:00.123456+00:00",
        "total_devices": len(serials),
        "success_count": len(serials),
        "error_count": 0,
        "results": [
            {
                "device_identifier": each,
                "status": "ok",
                "inverter_id": 1,
                "yield_power_w": 1000,
            }
            for each in serials
        ],
    }
    text = json.dumps(summary, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 201 Created\r\ndate: {formatdate(usegmt=True)}\r\nserver: uvicorn\r\n"
        f"content-length: {len(text)}\r\ncontent-type: application/json\r\n\r\n"
    )
    return head.encode() + text


def main() -> None:
    """Sends POSTs, and prints what one of them costs."""
    kind, is_closed, is_anew, count = sys.argv[1], *map(int, sys.argv[2:])
    capture, body = Capture(), to_body(a_measurement())
    with tempfile.TemporaryDirectory() as name:
        certificate = make_certificate(Path(name))
        server = Server(_VERSIONS.get(kind), certificate)
        server.start(kept_s=KEPT_S if is_closed else None)
        settings = BackendSettings(server.url, KEY, ca_file=str(certificate.file))
        backends = Backends(settings, DIALECT)
        backend, before = backends(), 0
        for number in range(count + 1):
            if is_anew:
                backend.close()
                backend = Backends(settings, DIALECT)()
            answer = backend.post(body)
            if not isinstance(answer, Reply) or answer.status != 201:
                raise Failed(f"expected an answer, found {answer}")
            time.sleep(INTERVAL_S)
            if number == 0:
                before = capture.bytes
    print(json.dumps((capture.bytes - before) / count))


if __name__ == "__main__":
    main()
