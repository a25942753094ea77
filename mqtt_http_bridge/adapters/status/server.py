"""A small HTTP server that only tells: GET and HEAD, few connections, each for a few seconds.

It holds no lock that anybody else waits for: whatever a client does, only the page suffers.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Final

from mqtt_http_bridge.core.errors import LocalFault

log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 8
LONGEST_CONNECTION_S: Final = 5.0
"""From the first byte to the last: a client that takes longer is cut off."""
MOST_A_SECOND: Final = 100
"""Connections that are taken in a second: others wait, or are turned away by the system."""
POLL_S: Final = 0.25
KEPT_S: Final = 0.9
"""How long an answer is given again: no number of clients makes us work it out more often."""
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
_PLAIN_POLICY: Final = (("Content-Security-Policy", "default-src 'none'"),)


@dataclass(frozen=True, slots=True)
class Resource:
    """What is at one path: `answer` gives the status and the body."""

    content_type: str
    answer: Callable[[], tuple[int, bytes]]
    headers: tuple[tuple[str, str], ...] = _PLAIN_POLICY


class StatusServer:
    """Serves `resources` by path. Any thread may start and stop it."""

    def __init__(self, address: tuple[str, int], resources: Mapping[str, Resource]) -> None:
        """Takes the port; 0 takes a free one. Raises LocalFault if it cannot be had."""
        where = _url(address)
        try:
            self._server = _Server(
                address, {path: _Kept(resource) for path, resource in resources.items()}
            )
        except OSError as error:
            raise LocalFault(
                f"status.listen: expected to listen at {where}, found that this machine refuses"
                f" ({error.strerror}): stop what listens there, or set another address or port"
            ) from error
        self.url = _url((address[0], self._server.server_address[1]))
        self._thread = threading.Thread(target=self._serve, name="status page", daemon=True)

    def start(self) -> None:
        """Serves, in a thread of its own, until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stops listening. Does not wait for connections that are open."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(POLL_S)


def _url(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}/"


class _Kept:
    """A resource whose answer is kept for a moment."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._mutex = threading.Lock()
        self._made_s = -float("inf")
        self._answer = (503, b"")

    def answer(self) -> tuple[int, bytes]:
        with self._mutex:
            if time.monotonic() - self._made_s > KEPT_S:
                self._answer = self.resource.answer()
                self._made_s = time.monotonic()
            return self._answer


class _Server(ThreadingHTTPServer):
    """Few connections at a time; those over the limit, or too slow, are cut off."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], resources: Mapping[str, _Kept]) -> None:
        self.resources = resources
        self._mutex = threading.Lock()
        self._opened_s: dict[socket.socket, float] = {}
        if ip_address(address[0]).version == 6:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Binds without looking up the name of the host, which can take seconds."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = "status", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        time.sleep(1.0 / MOST_A_SECOND)
        with self._mutex:
            is_full = len(self._opened_s) >= MOST_CONNECTIONS
            if not is_full:
                self._opened_s[request] = time.monotonic()
        if is_full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._mutex:
            self._opened_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cuts off who takes too long; called several times a second."""
        oldest_s = time.monotonic() - LONGEST_CONNECTION_S
        with self._mutex:
            slow = [sock for sock, opened_s in self._opened_s.items() if opened_s < oldest_s]
        for sock in slow:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients leave when they please. A mistake in here is told, and ends nothing."""
        log.debug("status page: a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request, and the connection closes."""

    server: _Server
    timeout = LONGEST_CONNECTION_S
    server_version = "mqtt-http-bridge"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        kept = self.server.resources.get(self.path.partition("?")[0])
        if kept is None:
            self._send(404, "text/plain", _PLAIN_POLICY, b"not found\n" if with_body else b"")
            return
        status, body = kept.answer()
        resource = kept.resource
        self._send(status, resource.content_type, resource.headers, body, with_body=with_body)

    def _send(
        self,
        status: int,
        content_type: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        *,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in (*_HEADERS, *headers):
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of HTTP itself. A method that is no GET or HEAD is one that is not allowed."""
        status = 405 if code == 501 else code
        body = f"{status}: this server answers GET and HEAD\n".encode()
        allow = (("Allow", "GET, HEAD"),) if status == 405 else ()
        self._send(status, "text/plain", (*_PLAIN_POLICY, *allow), body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""
