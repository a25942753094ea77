"""A stand-in for the HTTP backend: same contract, same answers, on this machine only.

`mqtt-http-bridge demo` delivers to it, and so do the tests. It keeps everything it is sent in
memory. It is no second implementation of the backend: what it answers, and when, is what was
observed of the real one, and it says aloud what the real one silently puts up with.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from mqtt_http_bridge.core import contract

MEASUREMENTS_PATH = "/api/victron/measurements"

_POLL_S = 0.02
"""How often the listening thread looks whether it is to stop: the time `down` takes at most."""


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

    @property
    def is_measurement(self) -> bool:
        """Whether it was sent to where measurements go, in the way they go there."""
        return self.method == "POST" and urlsplit(self.path).path == MEASUREMENTS_PATH


@dataclass(frozen=True)
class Answer:
    """What goes back to the client. Subclasses may send something else than proper HTTP."""

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, connection: "Connection") -> None:
        """Write the answer, in the connection's own thread. May raise OSError: client gone."""
        connection.respond(self)


class StandInBackend:
    """The backend on 127.0.0.1, listening from `up` (or entering it as a context) to `down`.

    known_serials: the registered devices; None when every serial is.
    api_key: the one key that owns all devices.
    strict: also collect `contract_violations`.
    on_arrival: called after each answer, in that connection's thread.
    idle_s: a connection silent for so long is closed.
    services: GX services the sender reads, see `contract.departures`.
    port: 0 takes a free one, and keeps it over `down` and `up`.

    The public collections only grow, and hold a request before its client has the answer. They
    are filled by several threads; read them freely.
    """

    received: list[Arrival]
    """Every request in order of arrival."""
    accepted: list[tuple[str, str]]
    """(timestamp, serial) of every device report stored, in order, repeats included."""
    stored: dict[tuple[str, str], dict[str, Any]]
    """The device report stored last for each (timestamp, serial), as it was sent."""
    contract_violations: list[str]
    """What the real backend would swallow, but this project's contract does not allow."""

    def __init__(
        self,
        *,
        known_serials: Collection[str] | None = None,
        api_key: str = "demo-key",
        strict: bool = True,
        on_arrival: Callable[[Arrival], None] | None = None,
        idle_s: float = 5.0,
        services: int = 1,
        port: int = 0,
    ) -> None:
        self.api_key = api_key
        self.received = []
        self.accepted = []
        self.stored = {}
        self.contract_violations = []
        self._known_serials = known_serials
        self._strict = strict
        self._on_arrival = on_arrival
        self._idle_s = idle_s
        self._services = services
        self._port = port
        self._server: _Server | None = None
        self._changed = threading.Condition()
        self._answered = 0
        self._first_seen: dict[tuple[str, str], dict[str, Any]] = {}
        self._inverter_ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def url(self) -> str:
        """The base URL, without path; final after the first `up`."""
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Listen, on the same port as before. Raises OSError when the port is taken."""
        if self._server is None:
            self._server = _Server(self, port=self._port, idle_s=self._idle_s)
            self._port = self._server.server_port
            self._server.start()

    def down(self) -> None:
        """Stop listening and cut every connection, as when the backend's process dies."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def wait_for(self, count: int, timeout_s: float) -> list[Arrival]:
        """Wait until `count` requests have been answered in all; return the first `count`.

        A connection dropped on purpose counts as answered, and `on_arrival` has returned for
        each of them. Raises TimeoutError.
        """
        return self._wait(count, timeout_s, "answered", lambda: self._answered)

    def wait_for_arrivals(self, count: int, timeout_s: float) -> list[Arrival]:
        """Like `wait_for`, but content with requests that are read and not yet answered."""
        return self._wait(count, timeout_s, "received", lambda: len(self.received))

    def answer(self, arrival: Arrival) -> Answer:
        """What the real backend answers; stores what that answer says is stored.

        Called once for each request, in its connection's thread. Subclasses may override it.
        """
        path = urlsplit(arrival.path).path
        if path == MEASUREMENTS_PATH + "/":
            return Answer(307, headers={"Location": self.url + MEASUREMENTS_PATH})
        if path != MEASUREMENTS_PATH:
            return _json_answer(404, {"detail": "Not Found"})
        if not arrival.is_measurement:
            return _json_answer(405, {"detail": "Method Not Allowed"}, {"Allow": "POST"})
        if not arrival.headers["X-API-Key"]:
            return _keyless_answer(arrival.headers)
        return self._measurement_answer(arrival)

    def refusal(self, serial: str) -> str | None:
        """Why a device's report is not stored, in the real backend's words; None: it is stored."""
        if self._known_serials is None or serial in self._known_serials:
            return None
        return f"Device {serial} not found"

    def serve(self, arrival: Arrival, connection: "Connection") -> None:
        """Answer one request and keep it. Called in the connection's thread."""
        if self._strict and arrival.is_measurement:
            self._note_violations(arrival)
        answer = self.answer(arrival)
        arrival = replace(arrival, status=answer.status)
        with self._changed:
            self.received.append(arrival)
            self._changed.notify_all()
        try:
            connection.send(answer)
            if self._on_arrival is not None:
                self._on_arrival(arrival)
        finally:
            with self._changed:
                self._answered += 1
                self._changed.notify_all()

    def _wait(
        self, count: int, timeout_s: float, what: str, done: Callable[[], int]
    ) -> list[Arrival]:
        with self._changed:
            if not self._changed.wait_for(lambda: done() >= count, timeout_s):
                raise TimeoutError(
                    f"stand-in backend: expected {count} requests {what} within {timeout_s} s, "
                    f"found {done()}"
                )
            return self.received[:count]

    def _measurement_answer(self, arrival: Arrival) -> Answer:
        try:
            document = _posted_document(arrival)
        except contract.NotJson as error:
            return _schema_answer([error.fault])
        except contract.UnreadableBody:
            return _json_answer(400, {"detail": "There was an error parsing the body"})
        if faults := contract.faults(document):
            return _schema_answer(faults)
        if contract.breakages(document):
            return Answer(500, b"Internal Server Error", {"Content-Type": "text/plain"})
        authorised = arrival.headers["X-API-Key"] == self.api_key
        return _summary_answer(document, self._store(document, authorised=authorised))

    def _store(self, document: Any, *, authorised: bool) -> list[dict[str, Any]]:
        """Keep what can be kept; return a result for each device, in the order sent."""
        with self._changed:
            return [
                self._store_device(document["timestamp"], device)
                if authorised
                else _failure(device["serial"], "Unauthorized")
                for device in document["devices"]
            ]

    def _store_device(self, timestamp: str, device: dict[str, Any]) -> dict[str, Any]:
        serial = device["serial"]
        if (error := self.refusal(serial)) is not None:
            return _failure(serial, error)
        self.stored[timestamp, serial] = device
        self.accepted.append((timestamp, serial))
        return {
            "device_identifier": serial,
            "status": "ok",
            "inverter_id": self._inverter_ids.setdefault(serial, len(self._inverter_ids) + 1),
            "yield_power_w": int(device["yield_power_w"]),
        }

    def _note_violations(self, arrival: Arrival) -> None:
        """Whatever the answer will be: a forced one must not hide a careless request."""
        with self._changed:
            self.contract_violations += _careless_headers(arrival.headers)
            document = arrival.document
            if not contract.faults(document):
                departures = contract.departures(document, services=self._services)
                self.contract_violations += map(str, departures)
                self._note_changed_values(document)

    def _note_changed_values(self, document: Any) -> None:
        """A retry says the same as the first try: the first may have been stored."""
        for device in document["devices"]:
            key = (document["timestamp"], device["serial"])
            first = self._first_seen.setdefault(key, device)
            changed = sorted(name for name in device if device[name] != first.get(name))
            if changed:
                self.contract_violations.append(
                    f"{' '.join(key)}: expected the values sent at first, "
                    f"found others in {', '.join(changed)}"
                )


class Connection(BaseHTTPRequestHandler):
    """One client connection, kept alive between requests, in a thread of its own."""

    server: "_Server"
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
            self.server.backend.serve(arrival, self)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

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


class _Server(ThreadingHTTPServer):
    """The listening socket and its connections, from one `up` to the next `down`."""

    daemon_threads = True
    # With the usual 5, clients that connect all at once wait a second for their second try.
    request_queue_size = 64

    def __init__(self, backend: StandInBackend, *, port: int, idle_s: float) -> None:
        self.backend = backend
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
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections may break at any moment; only what is a mistake in here is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _posted_document(arrival: Arrival) -> Any:
    """The document to check. Without a JSON content type the backend does not parse the body."""
    if arrival.headers.get_content_type() == "application/json":
        return contract.decode(arrival.body)
    return arrival.body


def _careless_headers(headers: Message) -> list[str]:
    found = []
    if headers["Accept"] != "application/json":
        found.append(f"header Accept: expected application/json, found {headers['Accept']}")
    if headers["Content-Encoding"] is not None:
        found.append(f"header Content-Encoding: expected none, found {headers['Content-Encoding']}")
    return found


def _json_answer(status: int, document: object, headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps(document).encode()
    return Answer(status, body, {"Content-Type": "application/json", **(headers or {})})


def _keyless_answer(headers: Message) -> Answer:
    if "text/html" in headers.get("Accept", ""):
        return Answer(302, headers={"Location": "/login"})
    return _json_answer(401, {"error": "unauthorized", "message": "X-API-Key is missing"})


def _schema_answer(faults: list[contract.Fault]) -> Answer:
    detail = [{"loc": list(fault.location), "msg": fault.message} for fault in faults]
    return _json_answer(422, {"detail": detail})


def _failure(serial: str, error: str) -> dict[str, Any]:
    return {"device_identifier": serial, "status": "error", "error": error}


def _summary_answer(document: Any, results: list[dict[str, Any]]) -> Answer:
    stored = sum(result["status"] == "ok" for result in results)
    summary = {
        "cerbo_serial": document["cerbo_serial"],
        "timestamp": document["timestamp"],
        "total_devices": len(results),
        "success_count": stored,
        "error_count": len(results) - stored,
        "results": results,
    }
    if stored == len(results):
        return _json_answer(201, summary)
    return _json_answer(207 if stored else 404, summary)
