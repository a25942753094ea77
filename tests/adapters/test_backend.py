"""Tests the HTTP client against real sockets: whatever a server does becomes an answer in time."""

import contextlib
import errno
import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mqtt_http_bridge.adapters.backend import Backend, Backends, check_authorities, reasons
from mqtt_http_bridge.adapters.backend.http import MAX_ANSWER_BYTES, MeasurementsClient
from mqtt_http_bridge.adapters.backend.link import Link
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.answers import NoReply, NotSent, Reply
from mqtt_http_bridge.core.delivery.verdict import Outcome
from mqtt_http_bridge.core.delivery.waits import LONGEST_RETRY_AFTER_S
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.demo.server import Connection
from tests.support.bare_server import served_by
from tests.support.certificates import Certificate, TlsBackend, make_certificate
from tests.support.faulty_backend import (
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
from tests.support.measuring import measurement

BODY = to_body(measurement("A", "B"))
KEY = "demo-key"
SHORT_S = 1.0
"""A time-out short enough to be waited for, and long enough for a busy machine."""
LATE_S = 5.0
"""Something that takes so long is not over in time."""


def backend_at(url: str, *, timeout_s: float = LATE_S, ca_file: Path | None = None) -> Backend:
    return Backend(
        BackendSettings(
            url=url,
            api_key=Secret(KEY),
            timeout_s=timeout_s,
            ca_file=str(ca_file) if ca_file else None,
        ),
        DIALECT,
    )


def reply_of(url: str, **options: Any) -> Reply:
    """The answer of a server that answers."""
    backend = backend_at(url, **options)
    answer = backend.post(BODY)
    backend.close()
    assert isinstance(answer, Reply), answer
    return answer


def failure_of(url: str, **options: Any) -> NoReply | NotSent:
    """Returns what is made of a server that does not answer; within the time for all of it."""
    backend = backend_at(url, **options)
    started_s = time.monotonic()
    answer = backend.post(BODY)
    backend.close()
    assert isinstance(answer, NoReply | NotSent), answer
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
    assert arrival.headers["Accept-Encoding"] == "identity"
    assert arrival.headers["User-Agent"].startswith("mqtt-http-bridge/")
    assert faulty.contract_violations == []
    assert [result["status"] for result in json.loads(reply.body)["results"]] == ["ok", "ok"]


def test_each_post_has_its_own_body(faulty: FaultyBackend) -> None:
    """Everything that is prepared once is the same for all but the body and its length."""
    bodies = [BODY, to_body(measurement("A")), to_body(measurement("A", "B", "C")), BODY]
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


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://solar.example.org/api/", "https://solar.example.org/api/"),
        ("/login?next=%2Fapi&key=canary", "{url}/login"),
        (f"https://me:canary@b.example/{KEY}#x", "https://b.example/***"),
        ("http://b.example/" + 1000 * "x", "http://b.example/" + 183 * "x"),
        (None, ""),
    ],
)
def test_where_a_redirect_leads(faulty: FaultyBackend, location: str | None, shown: str) -> None:
    """The whole address, but nothing that may be secret: no login, no query, no key."""
    faulty.always(Forced(307, headers={"Location": location} if location else {}))
    assert reply_of(faulty.url).location == shown.format(url=faulty.url)


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
    """Everything that somebody keeps there for other programs stays there."""
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
        pytest.param(Forced(201, delay_s=LATE_S), "answer within", id="slow"),
        pytest.param(DRIP, "no complete answer within", id="drip in the body"),
        pytest.param(DRIP_IN_HEADERS, "no complete answer within", id="drip in the headers"),
        pytest.param(
            Dripping(body=b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9999\r\n\r\n"),
            "no complete answer within",
            id="drip in a redirect",
        ),
        pytest.param(
            Dripping(body=b"HTTP/1.0 200 OK\r\n\r\n{"),
            "no complete answer within",
            id="drip without a length",
        ),
        pytest.param(
            Dripping(body=b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{", interval_s=9.0),
            "answer within",
            id="silence in the body",
        ),
        pytest.param(DROP_BEFORE_ANSWER, "cut off", id="dropped"),
        pytest.param(DROP_AFTER_STORING, "cut off", id="dropped after storing"),
        pytest.param(Reset(), "Connection reset", id="reset"),
        pytest.param(HALF, "no complete answer: it was cut off", id="half"),
        pytest.param(HALF_A_HEADER, "no complete answer: it was cut off", id="half a header"),
        pytest.param(HALF_A_CHUNK, "no complete answer: it was cut off", id="half a chunk"),
        pytest.param(GARBAGE, "an answer that is not HTTP", id="garbage"),
        pytest.param(HEADERS_FOR_EVER, "an answer that is not HTTP", id="10,000 headers"),
        pytest.param(LONG_HEADER, "an answer that is not HTTP", id="a header of 1 MB"),
        pytest.param(BAD_CHUNK, "no ", id="bad chunk"),
        pytest.param(BAD_LENGTH, "no ", id="two lengths"),
    ],
)
def test_what_is_no_answer_is_none_in_time(
    faulty: FaultyBackend, forced: Forced, said: str
) -> None:
    """No hang, no exception, a reason for people; and the next POST is as good as any."""
    faulty.answer_next(forced)
    backend = backend_at(faulty.url, timeout_s=SHORT_S if "within" in said else LATE_S)
    started_s = time.monotonic()
    answer = backend.post(BODY)
    assert time.monotonic() - started_s < LATE_S
    assert isinstance(answer, NoReply)
    assert answer.reason.startswith(f"{faulty.url}: ")
    assert said in answer.reason
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
    """If the server says so, it is a whole one."""
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
    remedy = "is the backend up, and backend.url its address?"
    assert failure == NotSent(f"{url}: no connection: Connection refused", remedy)


def test_no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No internet: the system's own words, and no byte has left."""

    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    failure = failure_of("http://solar.example.org")
    assert failure.reason.endswith("no connection: Name or service not known")
    assert isinstance(failure, NotSent)


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
    assert isinstance(failure, NotSent)


def test_time_that_is_up_before_there_is_a_connection_still_counts(faulty: FaultyBackend) -> None:
    """A connection made too late is not waited on."""
    settings = BackendSettings(url=faulty.url, api_key=Secret(KEY), timeout_s=LATE_S)
    client = MeasurementsClient(settings, DIALECT, Link(settings))
    client._deadline.begin(0.0)
    with pytest.raises(OSError, match="the time for the whole exchange"):
        client._post(BODY, Secret(KEY))
    assert faulty.received == []
    client.close()


def test_an_exchange_starts_no_thread(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is in the waits of its own sockets."""
    started: list[threading.Thread] = []
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            started.append(thread)
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    faulty.answer_next(None, Forced(201, delay_s=LATE_S))
    backend = backend_at(faulty.url, timeout_s=SHORT_S)
    for _ in range(3):
        backend.post(BODY)
    backend.close()
    assert started == []


def test_each_key_goes_with_its_own_posts(faulty: FaultyBackend) -> None:
    """Over one connection, and in any order; without one, that of the settings."""
    backend = backend_at(faulty.url)
    for key in ("one", "two", None, "one"):
        backend.post(BODY, Secret(key) if key else None)
    backend.close()
    keys = [arrival.headers["X-API-Key"] for arrival in faulty.received]
    assert keys == ["one", "two", KEY, "one"]


def test_an_answer_that_repeats_another_key_comes_without_it(faulty: FaultyBackend) -> None:
    """The key that was sent is the one that is taken out."""
    faulty.always(Forced(500, b"your key rotated-key is wrong"))
    backend = backend_at(faulty.url)
    assert backend.post(BODY, Secret("rotated-key")) == Reply(500, b"your key *** is wrong")
    backend.close()


def test_the_time_is_asked_for_without_a_key(faulty: FaultyBackend) -> None:
    """A HEAD; what counts is the Date, whatever the status."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        date = b"Date: Sun, 14 Jun 2026 10:30:00 GMT"
        connection.sendall(b"HTTP/1.1 405 No\r\n" + date + b"\r\nContent-Length: 5\r\n\r\n")

    with served_by(serve) as server:
        backend = backend_at(server.url)
        answer = backend.ask_time()
        backend.close()
    assert answer == Reply(405, date=datetime(2026, 6, 14, 10, 30, tzinfo=UTC))
    assert seen[0].startswith(b"HEAD / HTTP/1.1\r\n")
    assert KEY.encode() not in seen[0]


@pytest.mark.parametrize("date", [b"", b"Date: yesterday\r\n"])
def test_a_server_that_tells_no_time_has_answered(date: bytes) -> None:
    """There is no date, and that is all."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + date + b"\r\n")

    with served_by(serve) as server:
        backend = backend_at(server.url)
        assert backend.ask_time() == Reply(200)
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
        assert isinstance(failure, NotSent)
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
        assert "renew it" in failure.remedy


def test_a_certificate_for_another_name(certificate: Certificate) -> None:
    """It is trusted, and somebody else's: the address is what to look at."""
    with TlsBackend(certificate) as backend:
        url = backend.url.replace("127.0.0.1", "localhost")
        failure = failure_of(url, ca_file=certificate.file)
        assert "Hostname mismatch, certificate is not valid for 'localhost'" in failure.reason
        assert failure.remedy == "set backend.url to a name that the certificate is for"
        assert failure.is_of_tls


def test_an_authority_that_is_not_known(certificate: Certificate) -> None:
    """The setting to change is named."""
    with TlsBackend(certificate) as backend:
        assert failure_of(backend.url).remedy.startswith("set backend.ca_file")


@pytest.mark.parametrize(
    ("released", "said"),
    [
        ("2026-11-23", "not trusted: certificate is not yet valid"),
        ("2150-01-01", "the clock of this machine is wrong: it is before the release"),
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
        assert isinstance(failure, NotSent)


def test_an_old_clock_excuses_no_other_fault(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A self-signed certificate is not trusted, whatever the day."""
    monkeypatch.setattr(reasons, "RELEASED", "2150-01-01")
    with TlsBackend(certificate) as backend:
        assert "not trusted: self-signed" in failure_of(backend.url).reason


def test_https_to_a_server_that_speaks_http(faulty: FaultyBackend) -> None:
    """The reason says what is wrong, and the remedy what to set."""
    failure = failure_of(faulty.url.replace("http:", "https:"))
    assert failure.reason.endswith("TLS: that port does not use it")
    assert "set backend.url to http://" in failure.remedy
    assert failure.is_of_tls


def test_http_to_a_server_that_speaks_tls() -> None:
    """The alert by which TLS refuses a request is known for what it is."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    with served_by(refuse) as wire:
        failure = failure_of(wire.url)
    assert failure.reason.endswith("that port uses TLS")
    assert (failure.remedy, failure.is_of_tls) == ("set backend.url to https://", True)


def test_two_sides_that_have_no_version_in_common(certificate: Certificate) -> None:
    """TLS is spoken, but nothing that both know."""
    with TlsBackend(certificate) as backend:
        backend._context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        backend._context.maximum_version = ssl.TLSVersion.TLSv1_2
        failure = failure_of(backend.url)
    assert failure.reason.endswith("TLS: no version or cipher in common")
    assert failure.is_of_tls


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nnone\n"])
def test_a_file_without_certificates_is_an_error_of_the_config(
    tmp_path: Path, content: str
) -> None:
    """Said at the start, not at every POST."""
    file = tmp_path / "ca.pem"
    file.write_text(content, encoding="ascii")
    with pytest.raises(ConfigError, match=r"backend\.ca_file: expected certificates in PEM"):
        check_authorities(BackendSettings("https://a", Secret(KEY), ca_file=str(file)))


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
        assert "no complete answer within" in failure.reason


def test_a_proxy_that_is_not_there(faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the proxy, without its password, and no byte has left."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:canary@127.0.0.1:9")
    failure = failure_of(faulty.url)
    assert failure.reason.endswith("the proxy set in the environment cannot be reached")
    assert isinstance(failure, NotSent)


LOGIN_WANTED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden canary\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "reason", "remedy"),
    [
        (LOGIN_WANTED, "wants a login (407)", "give it one in HTTP_PROXY and HTTPS_PROXY"),
        (FORBIDDEN, "does not lead to the backend (403)", "name the backend in NO_PROXY"),
    ],
    ids=["407", "403"],
)
def test_a_proxy_that_opens_no_tunnel(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, reason: str, remedy: str
) -> None:
    """It is there, and says why; no byte has left, and its own words are not repeated."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with served_by(refuse) as wire:
        monkeypatch.setenv("HTTPS_PROXY", wire.url)
        failure = failure_of("https://solar.invalid")
    assert failure.reason.endswith(f"the proxy set in the environment {reason}")
    assert remedy in failure.remedy
    assert isinstance(failure, NotSent)


def test_a_proxy_that_wants_a_login_for_a_plain_request(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers in the backend's place."""
    monkeypatch.setenv("HTTP_PROXY", faulty.url)
    monkeypatch.setenv("http_proxy", faulty.url)
    faulty.always(Forced(407))
    verdict = DIALECT.judge(reply_of("http://solar.invalid"), ["A"])
    assert "407, a proxy that wants a login: give it one in HTTP_PROXY" in verdict.said
    assert verdict.outcome is Outcome.MISCONFIGURED


def test_a_proxy_of_another_kind(faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """SOCKS takes a package that is not there: that is told as what it is."""
    monkeypatch.setenv("HTTP_PROXY", "socks5://me:canary@127.0.0.1:9")
    failure = failure_of(faulty.url)
    assert failure.reason.endswith("the proxy set in the environment does not speak HTTP")


@pytest.mark.parametrize(
    "address",
    ["http://[::1", "http://a b:1", "http://127.0.0.1:99999", f"http://{'a' * 64}:1", "ftp://x"],
)
def test_a_proxy_that_cannot_be_one(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The remedy names where it is set, and no byte has left."""
    monkeypatch.setenv("HTTP_PROXY", address)
    failure = failure_of(faulty.url)
    assert failure.reason.endswith("the address of the backend or of a proxy cannot be one")
    assert "HTTP_PROXY" in failure.remedy
    assert isinstance(failure, NotSent)


@pytest.mark.parametrize("url", ["http://*.example", "http://☃.example", "http://[v1.a]"])
def test_an_address_that_cannot_be_one(url: str) -> None:
    """An address that only requests refuses is an answer, too; no proxy is chosen for it."""
    assert backend_at(url).proxy is None
    failure = failure_of(url)
    assert failure.reason.endswith("the address of the backend or of a proxy cannot be one")
    assert "backend.url" in failure.remedy
    assert isinstance(failure, NotSent)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://me:canary@proxy.invalid:3128"}, "http://proxy.invalid:3128"),
        ({"HTTPS_PROXY": "me:canary@proxy.invalid:3128"}, "http://proxy.invalid:3128"),
        ({"HTTP_PROXY": "http://proxy.invalid:3128"}, None),
        ({"HTTPS_PROXY": "http://p.invalid:1", "NO_PROXY": "example.org"}, None),
    ],
    ids=["none", "with a login", "without a scheme", "for the other scheme", "not for this one"],
)
def test_which_proxy_it_goes_by(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    """The one that requests would take, without its login."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert backend_at("https://solar.example.org").proxy == expected


def test_no_proxy_is_asked_where_the_environment_says_so(
    faulty: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY: a backend in one's own house is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert reply_of(faulty.url).status == 201


# --- our own code --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files", "http.py"), ImportError("No module named 'x'")],
)
def test_code_that_cannot_be_loaded_is_loaded_later(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A disk that refuses for a moment, or too many open files: the thread that sends lives on."""

    def refuse(_self: Backends) -> MeasurementsClient:
        raise error

    backend = backend_at("http://127.0.0.1:9")
    with monkeypatch.context() as patch:
        patch.setattr(Backends, "client", refuse)
        for answer in (backend.post(BODY), backend.ask_time()):
            assert isinstance(answer, NotSent)
            why = getattr(error, "strerror", None) or str(error)
            assert answer.reason == f"cannot load the program's own HTTP client: {why}"
            assert answer.remedy
    answer = backend.post(BODY)
    assert isinstance(answer, NotSent)
    assert "Connection refused" in answer.reason
    backend.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_a_machine_without_room_for_a_connection(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Nobody looks at the backend for it."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(code, os.strerror(code))

    backend = backend_at("http://127.0.0.1:9")
    backend.post(BODY)  # It loads the client.
    monkeypatch.setattr("urllib3.util.connection.socket.socket", refuse)
    answer = backend.post(BODY)
    assert isinstance(answer, NotSent)
    assert answer.reason.endswith(": this machine has no room for another connection")
    assert answer.remedy == "see what uses up the memory or the open files of this machine"
