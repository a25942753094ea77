"""The HTTP server under the stand-in backend: requests read whole, answers written as they are."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from mqtt_http_bridge.demo import contract

_POLL_S = 0.02
"""Seconds between two looks of the listening thread at whether it is to stop: the time `stop` takes
at most."""


@dataclass(frozen=True)
class Arrival:
    """One request, read in full, and how it was answered."""

    monotonic_s: float
    method: str
    path: str
    headers: Message
    """Names are looked up without regard to case."""
    body: bytes
    status: int | None = None
    """The HTTP status answered; None when no proper answer was given."""

    @property
    def document(self) -> Any:
        """The parsed body; None when it is not JSON."""
        try:
            return contract.decode(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Answer:
    """The answer to the client. Subclasses may send something else than proper HTTP."""

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, connection: "Connection") -> None:
        """Write the answer, in the connection's own thread. May raise OSError: client gone."""
        connection.respond(self)


Serve = Callable[[Arrival, "Connection"], None]


class Connection(BaseHTTPRequestHandler):
    """One client connection, kept alive between requests, in a thread of its own."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    # Headers and body go out in two writes; the client must not wait for the second one.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Apply the idle time to every read and write."""
        super().setup()
        self.connection.settimeout(self.server.idle_s)

    def do_POST(self) -> None:
        """Read one request of any method and have it answered."""
        body = self._read_body()
        if body is not None:
            arrival = Arrival(time.monotonic(), self.command, self.path, self.headers, body)
            self.server.serve(arrival, self)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def do_HEAD(self) -> None:
        """Tell the time, and that POST is what is wanted."""
        self.send_response(405)
        self.send_header("Allow", "POST")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, answer: Answer) -> None:
        """Send any answer; a client that has gone away meanwhile is no error."""
        try:
            answer.send(self)
        except OSError:
            self.close_connection = True

    def respond(self, answer: Answer) -> None:
        """Write a proper HTTP answer. Raises OSError when the client has gone."""
        if answer.status is None:
            raise ValueError("expected an answer with a status, found none")
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: whoever runs the backend reads `received`."""

    def _read_body(self) -> bytes | None:
        """The whole body; None when there is no telling where it ends, or the client left."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(411)
            self.close_connection = True
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body


class Server(ThreadingHTTPServer):
    """The listening socket and its connections, from one `up` to the next `down`."""

    daemon_threads = True
    # With the usual 5, clients that connect all at once wait a second for their second try.
    request_queue_size = 64

    def __init__(self, serve: Serve, *, port: int, idle_s: float) -> None:
        """`serve` is called for each request, in its connection's thread."""
        self.serve = serve
        self.idle_s = idle_s
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Connection)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def start(self) -> None:
        """Serve from a thread of its own, until `stop`."""
        threading.Thread(
            target=self.serve_forever,
            args=(_POLL_S,),
            name=f"stand-in backend, port {self.server_port}",
            daemon=True,
        ).start()

    def stop(self) -> None:
        """Stop accepting, then cut what was accepted. Does not wait for connection threads."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, for `stop` to cut."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections may break at any moment; only what is a mistake in here is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
