"""The HTTP side against real sockets: whatever a server does becomes an answer, and in time."""

import contextlib
import json
import logging
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mqtt_http_bridge.adapters.backend import Backend, reasons
from mqtt_http_bridge.adapters.backend.deadline import CuttableAdapter
from mqtt_http_bridge.adapters.backend.http import MAX_ANSWER_BYTES, MAX_IDLE_S, Route
from mqtt_http_bridge.app.stand_in_server import Connection
from mqtt_http_bridge.core.delivery import LONGEST_RETRY_AFTER_S, NoReply, Reply
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.measurement import to_json
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from tests.certificates import Certificate, TlsBackend, make_certificate
from tests.faulty_backend import (
    DRIP,
    DRIP_IN_HEADERS,
    DROP_AFTER_STORING,
    DROP_BEFORE_ANSWER,
    GARBAGE,
    HALF,
    Dripping,
    FaultyBackend,
    Forced,
    Unfinished,
)
from tests.measuring import measurement

BODY = to_json(measurement("A", "B"))
KEY = "demo-key"
SHORT_S = 0.25
"""A time-out short enough to be waited for."""
LATE_S = 5.0
"""Something that takes so long is not over in time."""


def backend_at(url: str, *, timeout_s: float = LATE_S, ca_file: Path | None = None) -> Backend:
    return Backend(
        BackendSettings(
            url=url,
            api_key=Secret(KEY),
            timeout_s=timeout_s,
            ca_file=str(ca_file) if ca_file else None,
        )
    )


def reply_of(url: str, **options: Any) -> Reply:
    """The answer of a server that answers."""
    backend = backend_at(url, **options)
    answer = backend.post(BODY)
    backend.close()
    assert isinstance(answer, Reply), answer
    return answer


def failure_of(url: str, **options: Any) -> NoReply:
    """What is made of a server that does not answer; within the time for the whole of it."""
    backend = backend_at(url, **options)
    started_s = time.monotonic()
    answer = backend.post(BODY)
    backend.close()
    assert isinstance(answer, NoReply), answer
    assert time.monotonic() - started_s < LATE_S
    return answer


@pytest.fixture
def faulty() -> Iterator[FaultyBackend]:
    with FaultyBackend() as backend:
        yield backend


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


# --- a POST that works -------------------------------------------------------------------------


def test_a_post_is_what_the_contract_asks_for(faulty: FaultyBackend) -> None:
    """The stored bytes, the key, JSON both ways, and nothing compressed."""
    reply = reply_of(faulty.url)
    (arrival,) = faulty.received
    assert (reply.status, arrival.path) == (201, "/api/victron/measurements")
    assert arrival.body == BODY
    assert arrival.headers["X-API-Key"] == KEY
    assert arrival.headers["Content-Type"] == arrival.headers["Accept"] == "application/json"
    assert arrival.headers["User-Agent"].startswith("mqtt-http-bridge/")
    assert faulty.contract_violations == []
    assert [result["status"] for result in json.loads(reply.body)["results"]] == ["ok", "ok"]


def test_each_post_has_its_own_body(faulty: FaultyBackend) -> None:
    """What is prepared once is the same for all but the body and its length."""
    bodies = [BODY, to_json(measurement("A")), to_json(measurement("A", "B", "C")), BODY]
    backend = backend_at(faulty.url)
    for body in bodies:
        assert isinstance(backend.post(body), Reply)
    backend.close()
    assert [arrival.body for arrival in faulty.received] == bodies
    lengths = [arrival.headers.get_all("Content-Length") for arrival in faulty.received]
    assert lengths == [[str(len(body))] for body in bodies]
    assert faulty.contract_violations == []


@pytest.mark.parametrize("status", [201, 207, 401, 404, 422, 429, 500, 503])
def test_every_status_is_an_answer(faulty: FaultyBackend, status: int) -> None:
    """With its body: what it means is decided elsewhere."""
    faulty.always(Forced(status, b'{"detail":[]}'))
    assert reply_of(faulty.url) == Reply(status, b'{"detail":[]}')


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2099 07:28:00 GMT", None),
    ],
)
def test_the_wait_that_is_asked_for(
    faulty: FaultyBackend, value: str, expected_s: float | None
) -> None:
    """Retry-After in seconds or as a date; anything else is no wish at all."""
    faulty.always(Forced(503, headers={"Retry-After": value.encode().decode("latin-1")}))
    assert reply_of(faulty.url).retry_after_s == expected_s


@pytest.mark.parametrize("value", ["9" * 40, "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_an_absurd_wait_is_a_long_one(faulty: FaultyBackend, value: str) -> None:
    """It is cut elsewhere; here it must not be lost."""
    faulty.always(Forced(503, headers={"Retry-After": value}))
    assert (reply_of(faulty.url).retry_after_s or 0.0) > LONGEST_RETRY_AFTER_S


def test_the_date_is_compared_with_the_servers_own_clock(faulty: FaultyBackend) -> None:
    """A relay whose clock is years off waits as long as one with the right time."""
    faulty.always(
        Unfinished(
            body=b"HTTP/1.1 503 Busy\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
            b"Retry-After: Wed, 21 Oct 2015 07:30:00 GMT\r\nContent-Length: 0\r\n\r\n"
        )
    )
    assert reply_of(faulty.url).retry_after_s == 120.0


# --- redirects, cookies, and what lies about in the environment ----------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(faulty: FaultyBackend, status: int) -> None:
    """It is an answer like others: the key goes nowhere else."""
    with FaultyBackend() as elsewhere:
        faulty.always(Forced(status, headers={"Location": elsewhere.url + "/login"}))
        assert reply_of(faulty.url).status == status
        assert elsewhere.received == []
        assert len(faulty.received) == 1


@pytest.mark.parametrize("location", ["http://[", "http://\u00e4..", "//", "http://a:b:c/"])
def test_a_redirect_to_nowhere_is_a_redirect(faulty: FaultyBackend, location: str) -> None:
    """Nobody tries to make sense of it."""
    faulty.always(Forced(302, headers={"Location": location}))
    assert reply_of(faulty.url).status == 302


def test_the_body_of_a_redirect_has_a_limit(faulty: FaultyBackend) -> None:
    """As that of any other answer: the rest is not read."""
    faulty.always(Forced(302, b"x" * 10_000_000, {"Location": faulty.url}))
    assert len(reply_of(faulty.url).body) == MAX_ANSWER_BYTES


def test_cookies_are_not_kept(faulty: FaultyBackend) -> None:
    """A captive portal's are not taken to the backend."""
    faulty.always(Forced(200, b"{}", {"Set-Cookie": "portal=1"}))
    backend = backend_at(faulty.url)
    backend.post(BODY)
    backend.post(BODY)
    backend.close()
    assert [arrival.headers["Cookie"] for arrival in faulty.received] == [None, None]


def test_no_login_is_taken_from_a_netrc_file(
    faulty: FaultyBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody keeps there for other programs stays there."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    reply_of(faulty.url)
    assert faulty.received[0].headers["Authorization"] is None


def test_an_answer_that_repeats_the_key_comes_without_it(faulty: FaultyBackend) -> None:
    """Answers are quoted in logs and kept as reasons: the key must not get there."""
    faulty.always(Forced(404, f'{{"error":"no such key: {KEY}"}}'.encode()))
    assert reply_of(faulty.url).body == b'{"error":"no such key: ***"}'


# --- servers that misbehave ----------------------------------------------------------------------


class Reset(Unfinished):
    """The connection ends with an error instead of an answer."""

    def send_now(self, connection: Connection) -> None:
        linger = struct.pack("ii", 1, 0)
        connection.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.connection.close()
        connection.close_connection = True


HALF_A_HEADER = Unfinished(body=b"HTTP/1.1 201 Created\r\nContent-Ty")
HALF_A_CHUNK = Unfinished(body=b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{")
HEADERS_FOR_EVER = Unfinished(body=b"HTTP/1.1 200 OK\r\n" + b"X-Filler: y\r\n" * 10_000)
LONG_HEADER = Unfinished(body=b"HTTP/1.1 200 OK\r\nX-Filler: " + b"y" * 1_000_000 + b"\r\n\r\n")
BAD_CHUNK = Unfinished(body=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")
BAD_LENGTH = Unfinished(body=b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd")


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        pytest.param(Forced(201, delay_s=LATE_S), "no answer within", id="slow"),
        pytest.param(DRIP, "no whole answer within", id="drip in the body"),
        pytest.param(DRIP_IN_HEADERS, "no whole answer within", id="drip in the headers"),
        pytest.param(
            Dripping(body=b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9999\r\n\r\n"),
            "no whole answer within",
            id="drip in a redirect",
        ),
        pytest.param(
            Dripping(body=b"HTTP/1.0 200 OK\r\n\r\n{"),
            "no whole answer within",
            id="drip without a length",
        ),
        pytest.param(
            Dripping(body=b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{", interval_s=9.0),
            "no answer within",
            id="silence in the body",
        ),
        pytest.param(DROP_BEFORE_ANSWER, "cut off", id="dropped"),
        pytest.param(DROP_AFTER_STORING, "cut off", id="dropped after storing"),
        pytest.param(Reset(), "Connection reset", id="reset"),
        pytest.param(HALF, "no whole answer: it was cut off", id="half"),
        pytest.param(HALF_A_HEADER, "no whole answer: it was cut off", id="half a header"),
        pytest.param(HALF_A_CHUNK, "no whole answer: it was cut off", id="half a chunk"),
        pytest.param(GARBAGE, "no answer that is HTTP", id="garbage"),
        pytest.param(HEADERS_FOR_EVER, "no answer that is HTTP", id="10,000 headers"),
        pytest.param(LONG_HEADER, "no answer that is HTTP", id="a header of 1 MB"),
        pytest.param(BAD_CHUNK, "no ", id="bad chunk"),
        pytest.param(BAD_LENGTH, "no ", id="two lengths"),
    ],
)
def test_what_is_no_answer_is_none_in_time(
    faulty: FaultyBackend, forced: Forced, said: str
) -> None:
    """No hang, no exception, a reason for people; and the next POST is as good as any."""
    faulty.answer_next(forced)
    backend = backend_at(faulty.url, timeout_s=SHORT_S)
    started_s = time.monotonic()
    answer = backend.post(BODY)
    assert time.monotonic() - started_s < LATE_S
    assert isinstance(answer, NoReply)
    assert answer.reason.startswith(f"{faulty.url}: ")
    assert said in answer.reason
    assert answer.is_sent
    assert isinstance(backend.post(BODY), Reply)
    backend.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"204 No Content\r\n\r\n",
        b"201 Created\r\nContent-Length: 0\r\n\r\n",
        b"201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_an_answer_may_be_empty_on_purpose(faulty: FaultyBackend, answer: bytes) -> None:
    """Where the server says so, it is a whole one."""
    faulty.always(Unfinished(body=b"HTTP/1.1 " + answer))
    assert reply_of(faulty.url).body == b""


def test_an_answer_may_end_with_its_connection(faulty: FaultyBackend) -> None:
    """Old servers tell no length."""
    faulty.always(Unfinished(body=b'HTTP/1.0 201 Created\r\n\r\n{"results":[]}'))
    assert reply_of(faulty.url) == Reply(201, b'{"results":[]}')


def test_an_answer_of_10_mb_is_cut(faulty: FaultyBackend) -> None:
    """Nobody needs it, and a GX has no room for it."""
    faulty.always(Forced(201, b'{"results":[' + b" " * 10_000_000 + b"]}"))
    assert len(reply_of(faulty.url).body) == MAX_ANSWER_BYTES


def test_compressed_answers_are_not_unpacked(faulty: FaultyBackend) -> None:
    """None was asked for, and a small one can become a very large one."""
    faulty.always(Forced(200, b"\x1f\x8b rest", {"Content-Encoding": "gzip"}))
    assert reply_of(faulty.url) == Reply(200, b"\x1f\x8b rest")


def test_nobody_listens() -> None:
    """A refused connection: no byte has left."""
    with FaultyBackend() as backend:
        url = backend.url
    failure = failure_of(url)
    assert failure == NoReply(f"{url}: no connection: Connection refused", is_sent=False)


def test_no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No internet: the system's own words, and no byte has left."""

    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    failure = failure_of("http://solar.example.org")
    assert failure.reason.endswith("no connection: Name or service not known")
    assert not failure.is_sent


def test_nobody_picks_up() -> None:
    """A host that swallows what is sent to it: the connect time-out, and no byte has left."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        with contextlib.ExitStack() as queue:
            for _ in range(3):  # Fills the queue that nobody takes from.
                caller = queue.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(address)
            failure = failure_of(f"http://127.0.0.1:{address[1]}", timeout_s=SHORT_S)
    assert "no connection within" in failure.reason
    assert not failure.is_sent


def test_time_that_is_up_before_there_is_a_connection_still_counts(faulty: FaultyBackend) -> None:
    """A connection made too late is cut at once, not waited on for ever."""
    faulty.always(Forced(201, delay_s=LATE_S))
    route = Route(BackendSettings(url=faulty.url, api_key=Secret(KEY), timeout_s=LATE_S))
    started_s = time.monotonic()
    with route._adapter.limit(LATE_S):
        route._adapter._ends_s = time.monotonic()
        assert route._adapter._timer is not None
        route._adapter._look(route._adapter._timer)
        with pytest.raises(OSError, match="aborted"):
            route._post(BODY)
    assert time.monotonic() - started_s < LATE_S / 2
    route.close()


def test_one_timer_serves_exchanges_that_follow_each_other() -> None:
    """It gives each its full time, and ends when it finds none under way."""
    adapter = CuttableAdapter()
    with adapter.limit(LATE_S):
        first = adapter._timer
    with adapter.limit(LATE_S):
        assert adapter._timer is first
        assert first is not None
        adapter._look(first)
        assert not adapter.is_over
        second = adapter._timer
        assert second is not None
        assert second.interval == pytest.approx(LATE_S, rel=0.1)
    adapter._look(first)
    assert adapter._timer is second, "a timer that was given up changes nothing"
    adapter._look(second)
    assert adapter._timer is None
    assert not adapter.is_over
    for timer in (first, second):
        assert timer is not None
        timer.cancel()


def test_no_timer_is_left_when_connections_are_given_up() -> None:
    """Its thread ends, and the next exchange starts one of its own."""
    adapter = CuttableAdapter()
    with adapter.limit(LATE_S):
        timer = adapter._timer
    adapter.forget()
    assert timer is not None
    timer.join(LATE_S / 2)
    assert not timer.is_alive()
    with adapter.limit(LATE_S):
        assert adapter._timer not in (None, timer)
    adapter.forget()


# --- connections that are kept -------------------------------------------------------------------


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
                connection.settimeout(LATE_S)
                serve(connection)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(LATE_S)
            for thread in threads:
                thread.join(LATE_S)


def request_from(connection: socket.socket) -> bytes:
    """One whole request, or what came before the client left."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(BODY):
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        received += chunk
    return received


def keep_open(connection: socket.socket) -> None:
    """Answers as often as asked, and never hangs up."""
    while request_from(connection):
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def hang_up_when_idle(connection: socket.socket) -> None:
    """Answers once; by the time of the next request the connection is long closed."""
    if request_from(connection):
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def let_pass(backend: Backend, seconds: float) -> None:
    """As if the last answer had come so long ago."""
    assert backend._route is not None
    backend._route._used_s -= seconds


@pytest.mark.parametrize("serve", [keep_open, hang_up_when_idle])
def test_an_hour_at_30_s_without_a_warning(
    serve: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Servers that close idle connections and servers that keep them: 120 of 120 are answered."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as found, served_by(serve) as wire:
        warnings.simplefilter("always")
        backend = backend_at(wire.url)
        for _ in range(120):
            assert backend.post(BODY) == Reply(204)
            let_pass(backend, 30.0)
        backend.close()
    assert found == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_backlog_goes_over_one_connection() -> None:
    """What follows at once needs no new one; what comes after the server's idle time does."""
    with served_by(keep_open) as wire:
        backend = backend_at(wire.url)
        for _ in range(20):
            backend.post(BODY)
            let_pass(backend, MAX_IDLE_S - 1.0)
        assert wire.connections == 1
        let_pass(backend, MAX_IDLE_S)
        backend.post(BODY)
        assert wire.connections == 2
        backend.close()


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """Even one that was used just now: the POST goes over a new one, once."""
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        hang_up_when_idle(connection)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with served_by(serve) as wire:
        backend = backend_at(wire.url)
        for count in (1, 2, 3):
            assert backend.post(BODY) == Reply(204)
            assert closed.wait(LATE_S)
            closed.clear()
            assert wire.connections == count
        backend.close()


# --- TLS -----------------------------------------------------------------------------------------


def test_the_authority_of_the_config_is_trusted(certificate: Certificate) -> None:
    """`backend.ca_file` is all that a backend of one's own needs."""
    with TlsBackend(certificate) as backend:
        assert reply_of(backend.url, ca_file=certificate.file).status == 201


def test_a_self_signed_certificate_is_refused(certificate: Certificate) -> None:
    """Nothing is sent to whoever shows it, and the reason says what it is."""
    with TlsBackend(certificate) as backend:
        failure = failure_of(backend.url)
        assert "TLS: the certificate is not trusted: self-signed" in failure.reason
        assert not failure.is_sent
        assert backend.received == []


def test_a_certificate_for_another_name_is_refused(certificate: Certificate) -> None:
    """Also where its authority is trusted."""
    with TlsBackend(certificate) as backend:
        url = backend.url.replace("127.0.0.1", "localhost")
        failure = failure_of(url, ca_file=certificate.file)
        assert "TLS: the certificate is not trusted: " in failure.reason
        assert backend.received == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_cannot_add_an_authority(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The system's authorities or those of the config, no others."""
    monkeypatch.setenv(name, str(certificate.file))
    with TlsBackend(certificate) as backend:
        assert "not trusted" in failure_of(backend.url).reason


def test_nor_where_the_system_has_no_authorities(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then those that come with requests are trusted, by name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    with TlsBackend(certificate) as backend:
        assert "not trusted" in failure_of(backend.url).reason


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    """And the reason says so."""
    certificate = make_certificate(tmp_path, since="2000", until="2001")
    with TlsBackend(certificate) as backend:
        failure = failure_of(backend.url, ca_file=certificate.file)
        assert failure.reason.endswith("not trusted: certificate has expired")


@pytest.mark.parametrize(
    ("released", "said"),
    [
        ("2026-11-23", "not trusted: certificate is not yet valid"),
        ("2150-01-01", "the clock of this machine is wrong: it shows a day before this program"),
    ],
    ids=["the clock may be right", "the clock is older than the program"],
)
def test_not_yet_valid_is_the_clock_or_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: str, said: str
) -> None:
    """After a power cut without a battery, the clock is what to wait for."""
    monkeypatch.setattr(reasons, "RELEASED", released)
    certificate = make_certificate(tmp_path, since="2160", until="2170")
    with TlsBackend(certificate) as backend:
        failure = failure_of(backend.url, ca_file=certificate.file)
        assert said in failure.reason
        assert not failure.is_sent


def test_an_old_clock_excuses_no_other_fault(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A self-signed certificate is not trusted, whatever the day."""
    monkeypatch.setattr(reasons, "RELEASED", "2150-01-01")
    with TlsBackend(certificate) as backend:
        assert "not trusted: self-signed" in failure_of(backend.url).reason


def test_https_to_a_server_that_speaks_http(faulty: FaultyBackend) -> None:
    """The reason says where to look."""
    failure = failure_of(faulty.url.replace("http:", "https:"))
    assert "TLS: the two sides found no common way to speak" in failure.reason


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nnone\n"])
def test_a_file_without_certificates_is_an_error_of_the_config(
    tmp_path: Path, content: str
) -> None:
    """Said at the start, not at every POST."""
    file = tmp_path / "ca.pem"
    file.write_text(content, encoding="ascii")
    with pytest.raises(ConfigError, match=r"backend\.ca_file: expected certificates in PEM"):
        backend_at("https://solar.example.org", ca_file=file)


# --- a proxy -------------------------------------------------------------------------------------


def proxy(connection: socket.socket) -> None:
    """Forwards one connection: a tunnel for CONNECT, else requests with the whole address."""
    head = connection.recv(65_536)
    method, target, _ = head.split(b" ", 2)
    address = urlsplit(("//" if method == b"CONNECT" else "") + target.decode())
    with socket.create_connection((address.hostname, address.port)) as onward:
        if method == b"CONNECT":
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward.sendall(head)
        back = threading.Thread(target=pump, args=[onward, connection])
        back.start()
        pump(connection, onward)
        back.join(LATE_S)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


def test_http_goes_through_the_proxy_of_the_environment(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY, with the whole address in the request."""
    with served_by(proxy) as wire:
        monkeypatch.setenv("HTTP_PROXY", wire.url)
        monkeypatch.setenv("http_proxy", wire.url)
        assert reply_of(faulty.url).status == 201
        assert wire.connections == 1
    assert faulty.received[0].path == faulty.url + "/api/victron/measurements"


def test_https_goes_through_a_tunnel_and_is_verified(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY: the proxy sees nothing, and what is at the other end has to be trusted."""
    with served_by(proxy) as wire, TlsBackend(certificate) as backend:
        monkeypatch.setenv("HTTPS_PROXY", wire.url)
        assert reply_of(backend.url, ca_file=certificate.file).status == 201
        assert "not trusted" in failure_of(backend.url).reason
        assert wire.connections == 2


def test_a_drip_through_a_tunnel_ends_in_time_too(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on the whole holds for every way to the backend."""
    with served_by(proxy) as wire, TlsBackend(certificate) as backend:
        monkeypatch.setenv("HTTPS_PROXY", wire.url)
        backend.always(DRIP)
        failure = failure_of(backend.url, ca_file=certificate.file, timeout_s=SHORT_S)
        assert "no whole answer within" in failure.reason


def test_a_proxy_that_is_not_there(faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the proxy, without its password, and no byte has left."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:canary@127.0.0.1:9")
    failure = failure_of(faulty.url)
    assert failure.reason.endswith("the proxy of the environment cannot be reached")
    assert not failure.is_sent


def test_no_proxy_is_asked_where_the_environment_says_so(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY: a backend in one's own house is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert reply_of(faulty.url).status == 201
