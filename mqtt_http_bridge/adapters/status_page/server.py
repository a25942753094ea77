"""Serves HTTP, read-only: GET and HEAD, each connection for a few seconds.

One thread handles all connections and waits for none of them. So a slow client only takes up a
place in a table; when all are taken, the oldest connection makes room. Most answers are made in
another thread (see `answers`); `/healthz` and others that need no work are answered here, whatever
hangs.

If the address does not exist yet, or the port is in use, this is logged and tried again.
"""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.status_page.answers import Answers, Resource, tell_bug
from mqtt_http_bridge.adapters.status_page.request import (
    MOST_HEAD_BYTES,
    Incomplete,
    Request,
    answer_head,
    is_ours,
    read_head,
)
from mqtt_http_bridge.core.events import NEVER

log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 64
LONGEST_CONNECTION_S: Final = 5.0
"""From the first byte to the last; a slower client is cut off."""
MOST_A_SECOND: Final = 100
"""The most connections to accept per second; others wait, or are turned away by the system."""
AT_ONCE: Final = 16
"""After a pause, this many are accepted at once: a browser asks for all files of the page
together."""
POLL_S: Final = 0.25
"""Seconds between two checks for slow clients, while there are clients."""
IDLE_S: Final = 10.0
TRY_AGAIN_S: Final = 10.0
STOP_S: Final = 1.0
STACK_BYTES: Final = 524_288
"""The stack of each thread: these need little."""
_CHUNK: Final = 65_536
_HEADERS: Final = (
    ("Server", "mqtt-http-bridge"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
_PLAIN: Final = (
    ("Content-Security-Policy", "default-src 'none'"),
    ("Content-Type", "text/plain; charset=utf-8"),
)
_ERRORS: Final[Mapping[int, str]] = {
    400: "this is no request",
    404: "not found",
    405: "this server answers GET and HEAD",
    421: "call it by its IP address, or add the name to status.host_names",
    431: "the request is too long",
}


@dataclass(slots=True, eq=False)
class _Connection:
    """Serves one client: reads its request, then sends the answer."""

    sock: socket.socket
    opened_s: float
    received: bytearray = field(default_factory=bytearray)
    request: Request | None = None
    """Its request, once it is complete."""
    left: list[memoryview] | None = None
    """The rest of the answer, once there is one; empty when everything is sent."""


class StatusServer:
    """Serves `resources` by path. Any thread may start and stop it."""

    def __init__(
        self,
        address: tuple[str, int],
        resources: Mapping[str, Resource],
        host_names: Collection[str] = (),
    ) -> None:
        """Listens only after `start`; port 0 takes a free one.

        `host_names` are the names that it accepts, besides IP addresses and localhost.
        """
        self._address = address
        self.url = _url(address)
        """The address at which it listens, or will listen."""
        self._host_names = {name.lower() for name in host_names}
        self._answers = Answers(resources, self._wake)
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._listening: socket.socket | None = None
        self._connections: dict[int, _Connection] = {}
        self._told = ""
        self._try_s = self._accept_s = -NEVER
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="status page", daemon=True)

    def start(self) -> None:
        """Serves in its own threads until `stop`; listens at once if it can."""
        self._listen()
        for thread in (self._answers.thread, self._thread):
            thread_start.start(thread, stack_bytes=STACK_BYTES)

    def stop(self) -> None:
        """Stops listening, and ends all connections."""
        self._is_stopping = True
        self._answers.stop()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _wake(self) -> None:
        with suppress(OSError):  # Full: it is awake, or will be soon.
            self._waker.send(b"\0")

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - the page is less than the service
                tell_bug(error)
                self._close_all()
                time.sleep(POLL_S)
        self._close_all()
        for sock in (self._listening, self._wakeup, self._waker):
            if sock is not None:
                sock.close()
        self._selector.close()

    def _turn(self) -> None:
        """Waits for something to do, and does it."""
        if self._listening is None and time.monotonic() >= self._try_s:
            self._listen()
        self._mind_listening()
        for key, events in self._selector.select(self._wait_s()):
            if key.fileobj is self._wakeup:
                self._answer_waiting()
            elif key.fileobj is self._listening:
                self._accept()
            elif (connection := self._connections.get(key.fd)) is key.data and connection:
                self._serve(connection, events)
        self._cut_off_slow()

    def _listen(self) -> None:
        self._try_s = time.monotonic() + TRY_AGAIN_S
        try:
            self._listening = _listening_socket(self._address)
        except OSError as error:
            words = error.strerror or str(error)
            if words != self._told:
                log.warning(
                    "status.listen: expected to listen at %s, found that this machine refuses (%s):"
                    " stop what listens there, or set another address or port; trying again every"
                    " %.0f s",
                    self.url,
                    words,
                    TRY_AGAIN_S,
                )
            self._told = words
        else:
            self._told = ""
            self.url = _url(self._listening.getsockname()[:2])
            log.info("status page at %s", self.url)

    def _mind_listening(self) -> None:
        """Accepts clients or makes them wait, so that many of them do not overload us."""
        listening = self._listening
        if listening is None:
            return
        is_taking = listening.fileno() in self._selector.get_map()
        is_time = time.monotonic() >= self._accept_s
        if is_time and not is_taking:
            self._selector.register(listening, selectors.EVENT_READ)
        elif is_taking and not is_time:
            self._selector.unregister(listening)

    def _wait_s(self) -> float:
        wait_s = POLL_S if self._connections else IDLE_S
        pause_s = self._accept_s - time.monotonic()
        return min(wait_s, pause_s) if pause_s > 0.0 else wait_s

    def _accept(self) -> None:
        if self._listening is None:
            return
        earliest_s = time.monotonic() - AT_ONCE / MOST_A_SECOND
        self._accept_s = max(self._accept_s, earliest_s) + 1.0 / MOST_A_SECOND
        try:
            sock, _ = self._listening.accept()
        except OSError:
            self._accept_s = time.monotonic() + 1.0  # Too many files are open, or it has gone.
            return
        if len(self._connections) >= MOST_CONNECTIONS:
            self._close(min(self._connections.values(), key=lambda each: each.opened_s))
        sock.setblocking(False)
        connection = _Connection(sock, time.monotonic())
        self._connections[sock.fileno()] = connection
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _cut_off_slow(self) -> None:
        oldest_s = time.monotonic() - LONGEST_CONNECTION_S
        for connection in list(self._connections.values()):
            if connection.opened_s < oldest_s:
                self._close(connection)

    def _close(self, connection: _Connection) -> None:
        descriptor = connection.sock.fileno()
        self._connections.pop(descriptor, None)
        self._selector.unregister(connection.sock)
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        connection.sock.close()

    def _close_all(self) -> None:
        for connection in list(self._connections.values()):
            with suppress(OSError, KeyError, ValueError):
                self._close(connection)
        self._connections.clear()

    # --- one connection --------------------------------------------------------------------------

    def _serve(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(connection)
            elif events & selectors.EVENT_READ:
                self._read(connection)
        except OSError:  # Clients may leave at any time.
            self._close(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            received = connection.sock.recv(MOST_HEAD_BYTES)
        except BlockingIOError:
            return
        if not received:
            self._close(connection)
        elif connection.request is None:
            connection.received += received
            self._take_in(connection)
        # Anything else that it sends while it waits is ignored.

    def _take_in(self, connection: _Connection) -> None:
        try:
            connection.request = read_head(bytes(connection.received))
        except Incomplete:
            if len(connection.received) >= MOST_HEAD_BYTES:
                self._refuse(connection, 431)
            return
        except ValueError:
            self._refuse(connection, 400)
            return
        if connection.request.method not in ("GET", "HEAD"):
            self._refuse(connection, 405)
        elif not is_ours(connection.request.host, self._host_names):
            self._refuse(connection, 421)
        elif connection.request.path not in self._answers.resources:
            self._refuse(connection, 404)
        else:
            self._answer(connection, connection.request)

    def _answer_waiting(self) -> None:
        with suppress(BlockingIOError):
            while self._wakeup.recv(_CHUNK):
                pass
        for connection in list(self._connections.values()):
            if connection.request is not None and connection.left is None:
                try:
                    self._answer(connection, connection.request)
                except OSError:
                    self._close(connection)

    def _answer(self, connection: _Connection, request: Request) -> None:
        """Answers if the answer is ready; otherwise it is called again when it is."""
        found = self._answers.get(request.path)
        if found is not None:
            resource, (status, body) = self._answers.resources[request.path], found
            headers = (("Content-Type", resource.content_type), *resource.headers)
            self._begin(connection, status, headers, body)

    def _refuse(self, connection: _Connection, status: int) -> None:
        allow = (("Allow", "GET, HEAD"),) if status == 405 else ()
        body = f"{status}: {_ERRORS[status]}\n".encode()
        self._begin(connection, status, (*_PLAIN, *allow), body)

    def _begin(
        self,
        connection: _Connection,
        status: int,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
    ) -> None:
        head = answer_head(status, (*_HEADERS, *headers), len(body))
        is_head = connection.request is not None and connection.request.method == "HEAD"
        connection.left = [memoryview(part) for part in ((head,) if is_head else (head, body))]
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        """Sends what the client takes; after the last byte, waits for it to hang up."""
        left = connection.left or []
        with suppress(BlockingIOError):
            while left:
                left[0] = left[0][connection.sock.send(left[0]) :]
                if not left[0]:
                    del left[0]
        events = selectors.EVENT_READ
        if left:
            events = selectors.EVENT_WRITE
        else:
            # Not closed at once: unread data from the client would make the system discard the
            # answer.
            connection.sock.shutdown(socket.SHUT_WR)
        self._selector.modify(connection.sock, events, connection)


def _url(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}/"


def _listening_socket(address: tuple[str, int]) -> socket.socket:
    is_six = ip_address(address[0]).version == 6
    listening = socket.socket(socket.AF_INET6 if is_six else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(MOST_CONNECTIONS)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
