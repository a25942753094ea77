"""Tests what becomes of each device after every kind of answer, over real sockets.

What the rows say is what the outbox has afterwards: only `results` with `ok` for a device, in a
whole 2xx, take it out.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from tests.support.measuring import CANNOT_STORE, NOT_FOUND, UNAUTHORIZED, measurement
from tests.support.sending import Sending, serials_in

pytestmark = pytest.mark.usefixtures("quick_disk")

KEPT: Final = "owed: A B"
HTML: Final = b"<!doctype html><title>Welcome</title>"


def results(**said: Any) -> bytes:
    """The summary; for each serial `ok`, or an error."""
    found = [
        {"device_identifier": serial, "status": "ok"}
        if error == "ok"
        else {"device_identifier": serial, "status": "error", "error": error.format(serial)}
        for serial, error in said.items()
    ]
    return json.dumps({"total_devices": len(found), "results": found}).encode()


OK: Final = results(A="ok", B="ok")
HALF_OK: Final = results(A="ok")


def violation(*places: list[Any]) -> bytes:
    return json.dumps(
        {"detail": [{"loc": place, "msg": "Field required"} for place in places]}
    ).encode()


def sized(status: str, body: bytes = b"", *, more: bytes = b"") -> bytes:
    """An answer with its length, and with the word that the server hangs up."""
    head = f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
    return head + more + b"\r\n" + body


def chunked(status: str, body: bytes, *, end: bytes = b"0\r\n\r\n") -> bytes:
    """The same in two chunks."""
    head = f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = (body[: len(body) // 2], body[len(body) // 2 :])
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + end


def until_closed(status: str, body: bytes) -> bytes:
    """The same, ended by the end of the connection."""
    return f"HTTP/1.0 {status} X\r\n\r\n".encode() + body


ANSWERS: Final[dict[str, tuple[bytes, str]]] = {
    # A whole 2xx with results.
    **{
        f"{status}, all ok": (sized(status, OK), "")
        for status in ("200", "201", "202", "207", "299")
    },
    "201, all ok, chunked": (chunked("201", OK), ""),
    "201, all ok, until closed": (until_closed("201", OK), ""),
    "207, one unknown": (sized("207", results(A="ok", B=NOT_FOUND)), "parked: B"),
    "207, one of another account": (sized("207", results(A="ok", B=UNAUTHORIZED)), "parked: B"),
    "207, one with other words": (sized("207", results(A="ok", B="Sunday")), "parked: B"),
    "207, one that cannot be stored": (sized("207", results(A="ok", B=CANNOT_STORE)), "owed: B"),
    "207, one without words": (sized("207", results(A="ok", B="")), "owed: B"),
    "201, one not named": (sized("201", HALF_OK), "owed: B"),
    "201, one twice": (sized("201", HALF_OK[:-2] + b"," + OK[OK.index(b"[") + 1 :]), ""),
    "201, a stranger besides": (sized("201", results(A="ok", B="ok", Z="ok")), ""),
    "200, OK in capitals": (sized("200", OK.replace(b'"ok"', b'"OK"')), KEPT),
    "200, ok as true": (sized("200", OK.replace(b'"ok"', b"true")), KEPT),
    # A whole 2xx that names nobody.
    **{
        f"{status}, {name}": (sized(status, body), KEPT)
        for status in ("200", "201", "202", "207")
        for name, body in {
            "empty": b"",
            "{}": b"{}",
            "log in": b'{"error":"please log in"}',
            "counts alone": b'{"success_count":2,"error_count":0}',
            "no results": b'{"results":[]}',
            "a page": HTML,
        }.items()
    },
    "204": (b"HTTP/1.1 204 X\r\n\r\n", KEPT),
    "205": (sized("205"), KEPT),
    "200, null": (sized("200", b"null"), KEPT),
    "200, a list": (sized("200", b"[]"), KEPT),
    "200, results null": (sized("200", b'{"results":null}'), KEPT),
    "200, results an object": (sized("200", b'{"results":{"A":"ok","B":"ok"}}'), KEPT),
    "200, results of strangers": (sized("200", results(Y="ok", Z="ok")), KEPT),
    "200, results of junk": (sized("200", b'{"results":[1,null,[],{}]}'), KEPT),
    "200, not UTF-8": (sized("200", OK.replace(b"total", b"\xff")), KEPT),
    "200, two documents": (sized("200", OK + OK), KEPT),
    "200, deep": (sized("200", b"[" * 100_000), KEPT),
    # A 2xx that is not whole.
    "201, half a body": (sized("201", OK)[:-9], KEPT),
    "201, half a chunk": (chunked("201", OK)[:-12], KEPT),
    "201, no last chunk": (chunked("201", OK, end=b""), KEPT),
    "201, half until closed": (until_closed("201", OK[:-5]), KEPT),
    "201, half a header": (b"HTTP/1.1 201 X\r\nContent-Le", KEPT),
    "201, headers alone": (b"HTTP/1.1 201 X\r\n\r\n", KEPT),
    "201, a bad chunk": (b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + OK, KEPT),
    "201, gzip": (sized("201", OK, more=b"Content-Encoding: gzip\r\n"), ""),
    "nothing": (b"", KEPT),
    "no HTTP": (b"SSH-2.0-x\r\n" + OK, KEPT),
    # Others, with results or without.
    "404, all unknown": (sized("404", results(A=NOT_FOUND, B=NOT_FOUND)), "parked: A B"),
    "404, the wrong key": (sized("404", results(A=UNAUTHORIZED, B=UNAUTHORIZED)), "parked: A B"),
    "404, none can be stored": (sized("404", results(A=CANNOT_STORE, B=CANNOT_STORE)), KEPT),
    "404, of each": (sized("404", results(A=NOT_FOUND, B=CANNOT_STORE)), KEPT),
    "404, ok": (sized("404", OK), KEPT),
    "404, no path": (sized("404", b'{"detail":"Not Found"}'), KEPT),
    "404, a page": (sized("404", HTML), KEPT),
    "422, one, and then the other": (
        sized("422", violation(["body", "devices", 0, "name"])),
        "parked: A B",
    ),
    "422, all": (sized("422", violation(["body", "timestamp"])), "parked: A B"),
    "422, a page": (sized("422", HTML), KEPT),
    **{
        f"{status}, ok": (sized(status, OK), KEPT)
        for status in ("302", "307", "400", "401", "403", "405", "408", "409", "413", "425", "429")
    },
    **{
        f"{status}, ok": (sized(status, OK), KEPT) for status in ("500", "502", "503", "504", "599")
    },
    "100, and no more": (b"HTTP/1.1 100 Continue\r\n\r\n", KEPT),
    "100, then all ok": (b"HTTP/1.1 100 Continue\r\n\r\n" + sized("201", OK), ""),
    "999, ok": (sized("999", OK), KEPT),
}
"""The answers sent back, and what the outbox has then: `owed` and `parked`, by device."""


class Repeating:
    """A server that gives each request the same bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5.0)
                    data = b""
                    while b"\r\n\r\n" not in data or not data.endswith(b"]}"):
                        data += connection.recv(65536)
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Repeating]:
    running = Repeating()
    yield running
    running.close()


def fates(sending: Sending) -> str:
    """Returns what the outbox has of each device."""
    found: dict[str, set[str]] = {"owed": set(), "parked": set()}
    for portal in sending.outbox.view().portals:
        number = 0
        while (after := sending.outbox.oldest_after(portal.portal_id, number)) is not None:
            entry = sending.outbox.take(portal.portal_id, number := after)
            assert entry is not None
            found["owed"] |= set(serials_in(entry.body))
        found["parked"] |= {parked.serial for parked in portal.parked}
    return ", ".join(f"{fate}: {' '.join(sorted(s))}" for fate, s in found.items() if s)


def test_there_are_enough_answers() -> None:
    """Sixty at least, each with its row."""
    assert len(ANSWERS) >= 60


@pytest.mark.parametrize(("answer", "fate"), ANSWERS.values(), ids=ANSWERS.keys())
def test_what_becomes_of_each_device(
    server: Repeating, tmp_path: Path, answer: bytes, fate: str
) -> None:
    """After one exchange: what is not said to be stored is still there."""
    server.answer = answer
    backend = Backend(BackendSettings(server.url, Secret("key"), timeout_s=5.0), DIALECT)
    with Sending(tmp_path / "outbox", backend) as sending:
        sending.store(measurement("A", "B"))
        job = sending.dispatcher.choose()
        assert job is not None
        sending.dispatcher.send(job, backend)
        assert fates(sending) == fate
