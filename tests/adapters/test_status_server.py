"""Tests the status server alone: which clients it cuts off or answers, and where it listens."""

import errno
import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mqtt_http_bridge.adapters.status_page import Resource, StatusServer, answers, server
from mqtt_http_bridge.adapters.status_page.request import (
    MOST_HEAD_BYTES,
    Incomplete,
    Request,
    is_ours,
    read_head,
)
from tests.support.patience import wait_until

TIMEOUT_S = 20.0
BIG = b"x" * 5_000_000


class Gate:
    """An answer that waits until it is let through."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.times = 0

    def answer(self) -> tuple[int, bytes]:
        self.times += 1
        self.opened.wait(TIMEOUT_S)
        return 200, b"through"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the end, so that nothing hangs."""
    gate = Gate()
    yield gate
    gate.opened.set()


def broken() -> tuple[int, bytes]:
    raise ZeroDivisionError


@pytest.fixture
def small(gate: Gate) -> Iterator[StatusServer]:
    """A server of some resources, in this process."""
    resources = {
        "/": Resource("text/plain", lambda: (200, BIG)),
        "/at-once": Resource("text/plain", lambda: (200, b"at once"), is_instant=True),
        "/hangs": Resource("text/plain", gate.answer),
        "/broken": Resource("text/plain", broken),
    }
    small = StatusServer(("127.0.0.1", 0), resources, ["relay.example.org"])
    small.start()
    yield small
    small.stop()


def address_of(small: StatusServer) -> tuple[str, int]:
    return "127.0.0.1", int(small.url.strip("/").rpartition(":")[2])


def asked(small: StatusServer, path: str, **headers: str) -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection(*address_of(small), timeout=TIMEOUT_S)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


# --- what clients do ---------------------------------------------------------------------------


def test_who_takes_too_long_is_cut_off(
    small: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte now and then keeps no connection open; nor does not reading."""
    monkeypatch.setattr(server, "LONGEST_CONNECTION_S", 0.3)
    address = address_of(small)
    with socket.create_connection(address) as dripping, socket.create_connection(address) as deaf:
        deaf.sendall(b"GET / HTTP/1.0\r\n\r\n")
        deadline_s = time.monotonic() + 10.0
        dripping.settimeout(0.05)
        is_open = True
        while is_open and time.monotonic() < deadline_s:
            try:
                dripping.sendall(b"a")
                is_open = bool(dripping.recv(1))
            except TimeoutError:
                continue
            except OSError:
                is_open = False
        assert not is_open
        wait_until(lambda: not small._connections)


@pytest.mark.parametrize("says", [b"", b"G", b"GET / HTTP/1.0\r\n\r\n"])
def test_slow_clients_never_keep_anybody_from_an_answer(small: StatusServer, says: bytes) -> None:
    """However many there are: at once, and long before they are cut off."""
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(address_of(small))).sendall(says)
        started_s = time.monotonic()
        assert asked(small, "/at-once") == (200, b"at once")
        assert time.monotonic() - started_s < server.LONGEST_CONNECTION_S
        for _ in range(2 * server.MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(address_of(small))).sendall(says)
        assert asked(small, "/at-once") == (200, b"at once")
        assert len(small._connections) <= server.MOST_CONNECTIONS


def test_the_one_that_came_first_makes_room(small: StatusServer) -> None:
    """So the table never grows."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(address_of(small), TIMEOUT_S))
        second = stack.enter_context(socket.create_connection(address_of(small), TIMEOUT_S))
        for _ in range(server.MOST_CONNECTIONS - 1):
            stack.enter_context(socket.create_connection(address_of(small)))
        assert first.recv(1) == b""
        second.sendall(b"GET /at-once HTTP/1.0\r\n\r\n")
        assert second.recv(12) == b"HTTP/1.0 200"


def test_all_of_it_arrives(small: StatusServer) -> None:
    """Also what no buffer holds, for many at once who take their time."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(address_of(small), TIMEOUT_S))
            for _ in range(5)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for client in clients:
            with client.makefile("rb") as stream:
                assert stream.read().partition(b"\r\n\r\n")[2] == BIG


def test_what_hangs_holds_up_nobody_else(small: StatusServer, gate: Gate) -> None:
    """A disk that stands still under one answer: the others come, and it is worked out once."""
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(socket.create_connection(address_of(small), TIMEOUT_S))
            for _ in range(3)
        ]
        for client in waiting:
            client.sendall(b"GET /hangs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: gate.times == 1)
        assert asked(small, "/at-once") == (200, b"at once")
        gate.opened.set()
        for client in waiting:
            with client.makefile("rb") as stream:
                assert stream.read().endswith(b"through")
        assert gate.times == 1


def test_an_answer_is_kept_for_a_moment(
    small: StatusServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, it is worked out once."""
    gate.opened.set()
    monkeypatch.setattr(answers, "KEPT_S", 3600.0)
    for _ in range(3):
        assert asked(small, "/hangs") == (200, b"through")
    assert gate.times == 1


def test_an_answer_is_not_kept_for_long(
    small: StatusServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next moment has its own."""
    gate.opened.set()
    # It is given to whoever has waited for it, so it has to be kept for a moment.
    monkeypatch.setattr(answers, "KEPT_S", 0.05)
    assert asked(small, "/hangs") == (200, b"through")
    time.sleep(0.06)
    assert asked(small, "/hangs") == (200, b"through")
    assert gate.times >= 2


def test_an_answer_that_takes_long_is_kept_for_longer(
    small: StatusServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, only a share of the time goes into it."""
    monkeypatch.setattr(answers, "KEPT_S", 0.0)
    monkeypatch.setattr(answers, "SHARE", 1e-6)
    threading.Timer(0.05, gate.opened.set).start()
    for _ in range(3):
        assert asked(small, "/hangs") == (200, b"through")
    assert gate.times == 1


def test_a_defect_is_an_answer(small: StatusServer, caplog: pytest.LogCaptureFixture) -> None:
    """It ends neither of the threads, and the log asks to report it."""
    assert asked(small, "/broken")[0] == 500
    assert asked(small, "/at-once")[0] == 200
    said = "the status page has met a bug in this program, please report it: ZeroDivisionError()"
    assert said in [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_a_defect_of_the_server_is_told(
    small: StatusServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that is gone must not look as if nobody had asked for one."""
    with monkeypatch.context() as patch:
        patch.setattr(small, "_turn", broken)
        small._wake()
        wait_until(lambda: any("a bug in this program" in text for text in caplog.messages))
    assert asked(small, "/at-once")[0] == 200


def test_it_has_two_threads_whatever_comes(small: StatusServer) -> None:
    """None is started for a client: with memory short that can take for ever."""
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(address_of(small)))
        assert asked(small, "/at-once")[0] == 200
        assert threading.active_count() == before
    assert threading.stack_size() == 0, "others have the stack they had"


def test_without_descriptors_it_waits(small: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not spin, and takes whoever has waited."""
    tries = []

    def refuse(_sock: socket.socket) -> None:
        tries.append(time.monotonic())
        raise OSError(errno.EMFILE, "Too many open files")

    with socket.create_connection(address_of(small), TIMEOUT_S) as client:
        wait_until(lambda: bool(small._connections))
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "accept", refuse)
            with socket.create_connection(address_of(small), TIMEOUT_S) as second:
                wait_until(lambda: bool(tries) and small._accept_s > tries[0] + 0.5)
                client.sendall(b"GET /at-once HTTP/1.0\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.0 200"
                patch.undo()
                second.sendall(b"GET /at-once HTTP/1.0\r\n\r\n")
                assert second.recv(12) == b"HTTP/1.0 200"
        assert len(tries) < 10  # One each second; if it spun, thousands.


# --- by which name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("relay.example.org", 200),
        ("Relay.Example.ORG.:8480", 200),
        ("localhost:8480", 200),
        ("127.0.0.1", 200),
        ("[::1]:8480", 200),
        ("evil.example.org:8480", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("xlocalhost", 421),
        ("", 421),
        ("[::1].evil.example.org", 421),
    ],
)
def test_another_name_is_not_answered(small: StatusServer, host: str, status: int) -> None:
    """A web page that has its own name stand for this address reads nothing (DNS rebinding)."""
    found, body = asked(small, "/at-once", Host=host)
    assert found == status
    assert (found == 200) is (body == b"at once")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (None, True),
        ("venus.local", True),
        ("pi", False),
        ("a.localhost", True),
        ("fe80::1%25eth0", False),
        ("[fe80::1%25eth0]:80", True),
        ("192.168.1.20:8480", True),
        ("192.168.1.20.", True),
        ("192.168.1.256", False),
        ("[::1", True),
        (":8480", False),
    ],
)
def test_which_names_are_ours(host: str | None, expected: bool) -> None:
    """No address is anybody's name; every other name has to be one of those given."""
    assert is_ours(host, {"venus.local"}) is expected


# --- heads ---------------------------------------------------------------------------------------


def test_a_head() -> None:
    """With either line end, and in pieces."""
    head = b"GET /x?y=1 HTTP/1.1\r\nA: b\r\nhost:  h:80 \r\n\r\n"
    assert read_head(head) == Request("GET", "/x", "h:80")
    assert read_head(head.replace(b"\r", b"")) == Request("GET", "/x", "h:80")
    for end in range(len(head) - 1):
        with pytest.raises(Incomplete):
            read_head(head[:end])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / x HTTP/1.1\r\n\r\n",
        b"GET / SPDY/1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"A" * MOST_HEAD_BYTES,
    ],
)
def test_what_is_no_request(small: StatusServer, head: bytes) -> None:
    """It is told, and the next one is answered."""
    with socket.create_connection(address_of(small), TIMEOUT_S) as client:
        client.sendall(head)
        assert client.recv(11) in (b"HTTP/1.0 40", b"HTTP/1.0 43")
    assert asked(small, "/at-once")[0] == 200


# --- where it listens ----------------------------------------------------------------------------


def test_a_port_that_is_taken_is_had_later(
    small: StatusServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with the key and what to do, and when it is had."""
    monkeypatch.setattr(server, "TRY_AGAIN_S", 0.05)
    monkeypatch.setattr(server, "IDLE_S", 0.05)
    caplog.set_level(logging.INFO)
    tries = []
    listening_socket = server._listening_socket

    def counted(address: tuple[str, int]) -> socket.socket:
        tries.append(address)
        return listening_socket(address)

    monkeypatch.setattr(server, "_listening_socket", counted)
    resources = {"/": Resource("text/plain", lambda: (200, b"later"), is_instant=True)}
    later = StatusServer(address_of(small), resources)
    later.start()
    wait_until(lambda: len(tries) > 3)
    small.stop()
    wait_until(lambda: later._listening is not None)
    assert asked(later, "/") == (200, b"later")
    later.stop()
    (refused,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert refused.startswith("status.listen: expected to listen at http://127.0.0.1:")
    assert "Address already in use" in refused
    assert caplog.records[-1].message == f"status page at {later.url}"


def test_an_address_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """As at boot, before the network is up: nothing is raised."""
    absent = StatusServer(("192.0.2.1", 8480), {})
    absent.start()
    assert absent.url == "http://192.0.2.1:8480/"
    absent.stop()
    assert "Cannot assign requested address" in caplog.text


def test_the_end_closes_all(small: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is open, and within a moment."""
    monkeypatch.setattr(server, "STOP_S", TIMEOUT_S)
    with socket.create_connection(address_of(small), TIMEOUT_S) as client:
        wait_until(lambda: bool(small._connections))
        address = address_of(small)
        started_s = time.monotonic()
        small.stop()
        assert time.monotonic() - started_s < server.STOP_S
        assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, TIMEOUT_S)


def test_ipv6() -> None:
    """An address in brackets works, too, where the machine has it."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    six = StatusServer(("::1", 0), {"/": Resource("text/plain", lambda: (200, b"six"))})
    six.start()
    port = int(six.url.strip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("::1", port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"six"
    connection.close()
    six.stop()
