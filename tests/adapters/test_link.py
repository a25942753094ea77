"""Tests how long connections to the backend are kept, and what a new one reuses."""

import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.backend import Backend, Backends, deadline, keep_time, link, tls
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.answers import NoReply, NotSent, Reply
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.support.bare_server import PATIENCE_S, served_by
from tests.support.certificates import Certificate, TlsBackend, make_certificate
from tests.support.measuring import measurement

BODY = to_body(measurement("A", "B"))
KEY = Secret("demo-key")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def backends_at(url: str, *, timeout_s: float = 5.0, ca_file: Path | None = None) -> Backends:
    trusted = str(ca_file) if ca_file else None
    return Backends(BackendSettings(url, KEY, timeout_s=timeout_s, ca_file=trusted), DIALECT)


@contextmanager
def backend_at(url: str, *, timeout_s: float = 5.0) -> Iterator[Backend]:
    backend = backends_at(url, timeout_s=timeout_s)()
    yield backend
    backend.close()


def request_from(connection: socket.socket) -> bytes:
    """One whole request, or nothing if the client has left."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(BODY):
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        received += chunk
    return received


def answer_always(headers: bytes = b"") -> Callable[[socket.socket], None]:
    """A server that keeps every connection."""

    def serve(connection: socket.socket) -> None:
        while request_from(connection):
            connection.sendall(NO_CONTENT + headers + b"\r\n")

    return serve


def let_pass(backend: Backend, seconds: float) -> None:
    """As if the last answer had come so long ago."""
    assert backend._client is not None
    backend._client._used_s -= seconds


# --- what comes before an answer -----------------------------------------------------------------


@pytest.mark.parametrize("status", [b"100", b"102", b"103", b"199"])
@pytest.mark.parametrize("more", [b"Link: </style.css>\r\n", b"Content-Length: 0\r\n"])
def test_an_answer_that_is_not_final_is_not_the_answer(status: bytes, more: bytes) -> None:
    """Proxies send some (`Early Hints`): the final one belongs to this request, not to the next."""
    interim = b"HTTP/1.1 " + status + b" Wait\r\n" + more + b"\r\n"
    finals = iter((b"201 Created", b"422 No"))

    def serve(connection: socket.socket) -> None:
        while request_from(connection):
            connection.sendall(interim)
            connection.sendall(interim)
            connection.sendall(b"HTTP/1.1 " + next(finals) + b"\r\nContent-Length: 2\r\n\r\n{}")

    with served_by(serve) as wire, backend_at(wire.url) as backend:
        assert backend.post(BODY) == Reply(201, b"{}")
        assert backend.post(BODY) == Reply(422, b"{}")
        assert wire.connections == 1


# --- how long a connection is kept ---------------------------------------------------------------


def test_a_connection_is_used_again_after_an_hour() -> None:
    """As long as the server keeps it, which this one does."""
    with served_by(answer_always()) as wire, backend_at(wire.url) as backend:
        assert backend.post(BODY) == Reply(204)
        for idle_s in (30.0, 3600.0):
            let_pass(backend, idle_s)
            assert backend.post(BODY) == Reply(204)
        assert wire.connections == 1


def test_what_the_server_tells_is_obeyed() -> None:
    """`Keep-Alive: timeout` less two seconds."""
    serve = answer_always(b"Keep-Alive: timeout=65, max=100\r\n")
    with served_by(serve) as wire, backend_at(wire.url) as backend:
        for idle_s, connections in ((0.0, 1), (62.9, 1), (63.1, 2), (62.9, 2)):
            if idle_s:
                let_pass(backend, idle_s)
            assert backend.post(BODY) == Reply(204)
            assert wire.connections == connections


@pytest.mark.parametrize("header", [b"max=5", b"timeout=", b"timeout=-1", b"timeout=x", b""])
def test_what_makes_no_sense_is_overlooked(header: bytes) -> None:
    """A server that tells no time keeps its connections until it closes them."""
    serve = answer_always(b"Keep-Alive: " + header + b"\r\n")
    with served_by(serve) as wire, backend_at(wire.url) as backend:
        backend.post(BODY)
        let_pass(backend, 1000.0)
        assert backend.post(BODY) == Reply(204)
        assert wire.connections == 1


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("end", [close, reset], ids=["FIN", "RST"])
def test_an_hour_with_a_server_that_hangs_up(
    end: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed before anything is written: 120 of 120 are answered, and nothing is said."""
    caplog.set_level(logging.INFO)
    requests, ended = list[bytes](), threading.Event()

    def serve(connection: socket.socket) -> None:
        requests.append(request_from(connection))
        connection.sendall(NO_CONTENT + b"\r\n")
        end(connection)
        ended.set()

    with warnings.catch_warnings(record=True) as found, served_by(serve) as wire:
        warnings.simplefilter("always")
        with backend_at(wire.url) as backend:
            for count in range(1, 121):
                assert backend.post(BODY) == Reply(204)
                assert ended.wait(PATIENCE_S)
                ended.clear()
                assert (len(requests), wire.connections) == (count, count)
                let_pass(backend, 30.0)
    assert found == []
    assert caplog.records == []


def test_the_whole_request_is_one_packet() -> None:
    """Headers that went by themselves would be confirmed by themselves."""
    received = list[bytes]()

    def serve(connection: socket.socket) -> None:
        received.append(connection.recv(65_536))
        connection.sendall(NO_CONTENT + b"\r\n")

    with served_by(serve) as wire, backend_at(wire.url) as backend:
        assert backend.post(BODY) == Reply(204)
    assert received[0].endswith(b"\r\n\r\n" + BODY)


def test_the_time_is_asked_for_over_a_connection_that_is_used_again() -> None:
    """The POST that follows needs no other."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 5\r\n\r\n")
        answer_always()(connection)

    with served_by(serve) as wire, backend_at(wire.url) as backend:
        assert backend.ask_time() == Reply(405)
        assert backend.post(BODY) == Reply(204)
        assert wire.connections == 1


# --- a link that dies without a word -------------------------------------------------------------


class Forgetful:
    """A router on the way: it forgets idle connections, and swallows what comes on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = 0
        self.swallowed = 0

    def forget(self) -> None:
        """From now on nothing passes over the connections that there are."""
        with self._lock:
            self._generation += 1

    def __call__(self, connection: socket.socket) -> None:
        generation = self._generation
        while request_from(connection):
            if generation != self._generation:
                self.swallowed += 1
                while connection.recv(65_536):
                    pass
                return
            connection.sendall(NO_CONTENT + b"\r\n")


@pytest.mark.parametrize("is_shared", [False, True], ids=["one sender", "two senders in turn"])
def test_a_router_that_forgets_costs_one_late_post(
    is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one each interval, and not the whole of `backend.timeout`: here a tenth of real time."""
    monkeypatch.setattr(keep_time, "UNPROVEN_S", 1.0)
    router, lost = Forgetful(), list[int]()
    with served_by(router) as wire:
        make = backends_at(wire.url, timeout_s=PATIENCE_S)
        senders = [make(), make()] if is_shared else [make()] * 2
        for sender in set(senders):
            sender.post(BODY)
        for number in range(10):
            backend = senders[number % 2]
            let_pass(backend, 30.0)
            router.forget()
            began_s = time.monotonic()
            answer = backend.post(BODY)
            if isinstance(answer, NoReply):
                lost.append(number)
                assert time.monotonic() - began_s < PATIENCE_S / 2
                assert backend.post(BODY) == Reply(204)
            else:
                assert answer == Reply(204)
        for sender in set(senders):
            sender.close()
    assert (lost, router.swallowed) == ([0], 1)


def test_the_reason_tells_how_long_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that was given, which is not that of the config."""
    monkeypatch.setattr(keep_time, "UNPROVEN_S", 1.0)
    router = Forgetful()
    with served_by(router) as wire, backend_at(wire.url, timeout_s=PATIENCE_S) as backend:
        backend.post(BODY)
        let_pass(backend, 30.0)
        router.forget()
        answer = backend.post(BODY)
    assert isinstance(answer, NoReply)
    assert answer.reason.endswith("no answer within 1 s")


def test_a_new_connection_has_all_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow answer after a silence, where the server has hung up meanwhile, is waited for."""
    monkeypatch.setattr(keep_time, "UNPROVEN_S", 0.1)
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        request_from(connection)
        if ended.is_set():
            time.sleep(0.5)
        connection.sendall(NO_CONTENT + b"\r\n")
        close(connection)
        ended.set()

    with served_by(serve) as wire, backend_at(wire.url) as backend:
        backend.post(BODY)
        assert ended.wait(PATIENCE_S)
        let_pass(backend, 30.0)
        assert backend.post(BODY) == Reply(204)


_DROPPED = """
import subprocess, threading, time
from mqtt_http_bridge.adapters.backend import link
from tests.adapters.test_link import BODY, answer_always, backend_at
from tests.support.bare_server import served_by

link.UNHEARD_S = 1.0
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with served_by(answer_always()) as wire, backend_at(wire.url, timeout_s=20.0) as backend:
    backend.post(BODY)
    port = wire.url.rpartition(":")[2]
    drop = ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", port, "-j", "DROP"]
    subprocess.run(drop, check=True)
    began_s = time.monotonic()
    answer = backend.post(BODY)
    print(time.monotonic() - began_s, answer.reason)
"""


@pytest.mark.once
@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT") or not all(map(shutil.which, ("unshare", "iptables"))),
    reason="takes Linux, unshare and iptables",
)
def test_packets_that_nobody_confirms_end_a_connection() -> None:
    """Also where the silence was proven: a mobile link that was set up again, 1 s for 10 here."""
    command = ["unshare", "-rn", sys.executable, "-c", _DROPPED]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if "Operation not permitted" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no network namespace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    took_s, reason = done.stdout.split(" ", 1)
    assert 0.5 < float(took_s) < 10.0  # Without that limit it would be the 20 s for an answer.
    assert reason.startswith("http://127.0.0.1:")
    assert reason.endswith(": the connection is dead: nothing was confirmed\n")


# --- TLS sessions --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=VERSIONS, ids=lambda version: str(version.name))
def server(certificate: Certificate, request: pytest.FixtureRequest) -> Iterator[TlsBackend]:
    with TlsBackend(certificate) as backend:
        speak(backend, request.param)
        yield backend


def speak(server: TlsBackend, version: ssl.TLSVersion) -> None:
    server._context.minimum_version = server._context.maximum_version = version


def handshakes(server: TlsBackend) -> tuple[int, int]:
    """Counts all that it has had, and how many of these with a session from before."""
    stats = server._context.session_stats()
    return stats["accept_good"], stats["hits"]


def post_anew(backend: Backend) -> Reply | NoReply | NotSent:
    """A POST over a new connection."""
    backend.close()
    return backend.post(BODY)


def restart(server: TlsBackend, certificate: Certificate) -> None:
    """A new process: it knows no session, and none of its tickets."""
    version = server._context.minimum_version
    server.down()
    server._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server._context.load_cert_chain(certificate.file, certificate.key_file)
    speak(server, version)
    server.up()


def test_a_new_connection_resumes_the_session(server: TlsBackend, certificate: Certificate) -> None:
    """All but the first, again and again."""
    backend = backends_at(server.url, ca_file=certificate.file)()
    for _ in range(5):
        assert isinstance(post_anew(backend), Reply)
    backend.close()
    assert handshakes(server) == (5, 4)


def test_all_senders_resume_it(server: TlsBackend, certificate: Certificate) -> None:
    """They share the context, and with it the last session."""
    make = backends_at(server.url, ca_file=certificate.file)
    senders = [make() for _ in range(3)]
    for sender in senders:
        assert isinstance(sender.post(BODY), Reply)
        sender.close()
    assert handshakes(server) == (3, 2)


def test_a_session_is_read_once_per_connection(
    server: TlsBackend, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first answer: reading it takes a third of a millisecond."""
    kept = list[object]()
    monkeypatch.setattr(tls.ResumingContext, "keep", lambda _, sock: kept.append(sock))
    backend = backends_at(server.url, ca_file=certificate.file)()
    for _ in range(3):
        assert isinstance(backend.post(BODY), Reply)
    assert len(kept) == 1
    assert isinstance(post_anew(backend), Reply)
    assert len(kept) == 2
    backend.close()


def test_a_server_that_was_restarted_shows_its_certificate_again(
    server: TlsBackend, certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    """A full handshake, no error, and sessions from then on."""
    caplog.set_level(logging.INFO)
    backend = backends_at(server.url, ca_file=certificate.file)()
    for _ in range(2):
        assert isinstance(backend.post(BODY), Reply)
    restart(server, certificate)
    for _ in range(3):
        assert isinstance(post_anew(backend), Reply)
    backend.close()
    assert handshakes(server) == (3, 2)
    assert caplog.records == []


def test_a_session_is_no_way_around_the_certificate(
    server: TlsBackend, certificate: Certificate, tmp_path: Path
) -> None:
    """Somebody else at the address is refused, and once the right one is back all goes on."""
    backend = backends_at(server.url, ca_file=certificate.file)()
    assert isinstance(backend.post(BODY), Reply)
    received = len(server.received)
    restart(server, make_certificate(tmp_path))
    for _ in range(2):
        answer = post_anew(backend)
        assert isinstance(answer, NotSent)
        assert "not trusted" in answer.reason
    assert len(server.received) == received
    restart(server, certificate)
    assert isinstance(backend.post(BODY), Reply)
    backend.close()
    assert handshakes(server) == (1, 0)


def test_authorities_are_read_again_after_a_refusal(
    server: TlsBackend, certificate: Certificate, tmp_path: Path
) -> None:
    """A certificate that was renewed by another authority needs no restart of ours."""
    file = tmp_path / "ca.pem"
    shutil.copy(make_certificate(tmp_path).file, file)
    backend = backends_at(server.url, ca_file=file)()
    assert isinstance(backend.post(BODY), NotSent)
    shutil.copy(certificate.file, file)
    assert isinstance(backend.post(BODY), Reply)
    backend.close()


def test_authorities_are_read_once(
    server: TlsBackend, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a system are 200 kB, and take longer than the handshake."""
    read = list[object]()
    load = ssl.SSLContext.load_verify_locations

    def count(self: ssl.SSLContext, **keywords: Any) -> None:
        read.append(keywords)
        load(self, **keywords)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
    make = backends_at(server.url, ca_file=certificate.file)
    for backend in (make(), make()):
        for _ in range(3):
            assert isinstance(post_anew(backend), Reply)
        backend.close()
    assert read == [{"cafile": str(certificate.file)}]


def test_authorities_that_have_gone_are_an_answer(server: TlsBackend, tmp_path: Path) -> None:
    """No exception comes out; the entry waits."""
    backend = backends_at(server.url, ca_file=tmp_path / "gone")()
    assert isinstance(backend.post(BODY), NoReply | NotSent)
    assert server.received == []


def test_a_context_that_is_forgotten_meanwhile_is_one(certificate: Certificate) -> None:
    """Without it, a connection would trust others than `ca_file`, and keep to no deadline."""

    class Forgotten(link.Link):
        """Forgets after each look, as if another sender had failed just then."""

        made: tls.ResumingContext | None = None

        @property
        def _context(self) -> tls.ResumingContext | None:
            made, self.made = self.made, None
            return made

        @_context.setter
        def _context(self, made: tls.ResumingContext | None) -> None:
            self.made = made

    shared = Forgotten(BackendSettings("https://a", KEY, ca_file=str(certificate.file)))
    first = shared.made = shared.context
    assert isinstance(first, tls.ResumingContext)
    assert shared.context is first


def test_two_ports_are_two_servers(certificate: Certificate) -> None:
    """A session is for a name and a port, also within one context."""
    with TlsBackend(certificate) as one, TlsBackend(certificate) as other:
        other.down()
        other._context = one._context
        other.up()
        context = link.Link(BackendSettings(one.url, KEY, ca_file=str(certificate.file))).context
        resumed = [is_resumed(context, server) for server in (one, other, one, other)]
    assert resumed == [False, False, True, True]


def is_resumed(context: tls.ResumingContext, server: TlsBackend) -> bool:
    """Asks for something over a connection; whether that began with a session."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with deadline.LimitedSocket() as plain:
        plain.deadline = deadline.Deadline()
        plain.connect(address)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            sock.sendall(b"HEAD / HTTP/1.1\r\n\r\n")
            sock.recv_into(bytearray(1000))
            return bool(sock.session_reused)


def test_a_day_after_it_was_seen_the_certificate_is_looked_at_again(
    server: TlsBackend, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often sessions were resumed meanwhile."""
    now_s = 1e6
    monkeypatch.setattr(link, "awake_or_not_s", lambda: now_s)
    backend = backends_at(server.url, ca_file=certificate.file)()
    for hours, hits in ((0, 0), (12, 1), (23, 2), (25, 2), (36, 3)):
        now_s = 1e6 + hours * 3600.0
        assert isinstance(post_anew(backend), Reply)
        assert handshakes(server)[1] == hits
    backend.close()
