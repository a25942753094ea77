"""Plays a backend on raw sockets that answers as none should: use it against the real delivery.

It takes each POST whole, and gives the answers that a test has queued, one for each; when there are
no more, it stores everything and says so. It notes what it has said `ok` for, by its own reading of
what it sent: of an answer that is no whole 2xx with results, nothing.
"""

import gzip
import http.client
import io
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, Self

from tests.support.mqtt_packets import length_of

Stored = tuple[str, str]
"""The timestamp and the serial."""
Answer = Callable[[bytes], Iterable[bytes]]
"""Makes the answer to a body, piece by piece."""
TIMEOUT_S: Final = 20.0
ENDLESS: Final = 1 << 40
MOST_KEPT: Final = 1_000_000
"""No answer that says `ok` is longer."""
DRIP_S: Final = 0.05
_GZIP: Final = 31
"""The window bits by which zlib knows that format."""


def results(body: bytes, status: str = "ok") -> bytes:
    """The summary for all devices of a body."""
    serials = [device["serial"] for device in json.loads(body)["devices"]]
    found = [{"device_identifier": serial, "status": status} for serial in serials]
    return json.dumps({"total_devices": len(found), "results": found}).encode()


def head(status: int, length: int, more: bytes = b"") -> bytes:
    """The beginning of an answer."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n" % (status, length, more)


def whole(status: int, body: bytes, more: bytes = b"") -> bytes:
    return head(status, len(body), more) + body


def said_ok_for(answer: bytes) -> set[str]:
    """The serials that an answer says `ok` for, as the standard library reads it."""
    response = http.client.HTTPResponse(_Socket(answer))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
        if not 200 <= response.status < 300:
            return set()
        found = json.loads(body)["results"]
        return {
            str(each.get("device_identifier"))
            for each in found
            if isinstance(each, dict) and each.get("status") == "ok"
        }
    except (http.client.HTTPException, OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


# --- answers -------------------------------------------------------------------------------------


def honest(body: bytes) -> Iterator[bytes]:
    yield whole(201, results(body))


def nothing(body: bytes) -> Iterator[bytes]:
    yield from ()


def huge(body: bytes) -> Iterator[bytes]:
    """A hundred megabytes, with what was asked for at the end."""
    ok = results(body)
    yield head(201, 100_000_000 + len(ok))
    for _ in range(100):
        yield b" " * 1_000_000
    yield ok


def endless_body(body: bytes) -> Iterator[bytes]:
    yield head(201, ENDLESS)
    while True:
        yield b" " * 65_536


def endless_chunks(body: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 65_536 + b"\r\n"


def endless_headers(body: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 201 X\r\n"
    while True:
        yield b"X-More: " + b"x" * 60_000 + b"\r\n"


def endless_line(body: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 201 "
    while True:
        yield b"x" * 65_536


def endless_continue(body: bytes) -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000


def slow(body: bytes) -> Iterator[bytes]:
    """Everything as it should be, a byte at a time: it takes far too long."""
    for byte in whole(201, results(body)):
        time.sleep(DRIP_S)
        yield bytes([byte])


def truncated(body: bytes) -> Iterator[bytes]:
    yield whole(201, results(body))[:-20]


def length_too_small(body: bytes) -> Iterator[bytes]:
    ok = results(body)
    yield head(201, len(ok) - 3) + ok


def twice(body: bytes) -> Iterator[bytes]:
    """A failure, and unasked an `ok` for whoever asks next on this connection."""
    yield whole(500, b"") + whole(201, results(body))


def with_coding(coding: bytes, pack: Callable[[bytes], bytes]) -> Answer:
    """Packed, which was never asked for."""
    return lambda body: [whole(201, pack(results(body)), b"Content-Encoding: " + coding + b"\r\n")]


def bomb(body: bytes) -> Iterator[bytes]:
    """A hundred megabytes in a hundred kilobytes."""
    packer = zlib.compressobj(wbits=_GZIP)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100))
    packed += packer.compress(results(body)) + packer.flush()
    yield whole(201, packed, b"Content-Encoding: gzip\r\n")


def in_text_coding(coding: str) -> Answer:
    return lambda body: [whole(201, results(body).decode().encode(coding))]


def of_numbers(body: bytes) -> Iterator[bytes]:
    """Digits without end, and brackets: what costs a parser most."""
    yield whole(201, b'{"results":' + b"9" * 900_000 + b"}")


def of_brackets(body: bytes) -> Iterator[bytes]:
    yield whole(201, b"[" * 900_000)


def of_other_kind(body: bytes) -> Iterator[bytes]:
    """A broker's word."""
    yield b"\x30" + length_of(200) + bytes(200)


def of_statuses(status: int) -> Answer:
    return lambda body: [whole(status, results(body), b"Retry-After: 1\r\n")]


def cannot_store(body: bytes) -> Iterator[bytes]:
    yield whole(207, results(body, "error"))


def names_one(body: bytes) -> Iterator[bytes]:
    """Of two or more, the last."""
    document = json.loads(results(body))
    yield whole(201, json.dumps({"results": document["results"][-1:]}).encode())


def names_others(body: bytes) -> Iterator[bytes]:
    """One device as it is, and one that is much like another."""
    last = json.loads(results(body))["results"][-1]
    others = [last, last | {"device_identifier": "gx0-A "}, last | {"device_identifier": None}]
    yield whole(201, json.dumps({"results": others}).encode())


def with_status(status: str) -> Answer:
    """Something else in the place of `ok`, or beside it."""
    return lambda body: [whole(201, results(body).replace(b'"ok"', status.encode()))]


ANSWERS: Final[tuple[Answer, ...]] = (
    *(nothing, huge, endless_body, endless_chunks, endless_headers, endless_line, endless_continue),
    *(slow, truncated, length_too_small, twice, bomb, of_numbers, of_brackets, of_other_kind),
    with_coding(b"gzip", gzip.compress),
    with_coding(b"deflate", zlib.compress),
    with_coding(b"br", lambda data: data),
    *map(in_text_coding, ("utf-16", "utf-8-sig", "utf-32-be", "cp037")),
    *map(of_statuses, (300, 307, 400, 404, 408, 425, 429, 500, 503, 599)),
    *(cannot_store, names_one, names_others),
    *map(with_status, ('"OK"', "true", "null", '["ok"]', '"error","status":1')),
)


def mutated(seed: int) -> Answer:
    """An honest answer with some of its bytes replaced, doubled or left out."""

    def answer(body: bytes) -> Iterator[bytes]:
        rng = random.Random(seed)
        data = bytearray(whole(201, results(body), b"Content-Type: application/json\r\n"))
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(data) + 1)
            stop = start + rng.choice([0, 1, 1, 5, 40])
            data[start:stop] = rng.choice(
                [b"", rng.randbytes(1), rng.randbytes(5), data[start:stop] * 2, b"\r\n", b'"ok"']
            )
        yield bytes(data)

    return answer


# --- the server ----------------------------------------------------------------------------------


class HostileBackend:
    """One backend. A context manager."""

    def __init__(self) -> None:
        self.ok = set[Stored]()
        """The reports that it has said `ok` for."""
        self.posts = 0
        self.longest_s = 0.0
        """The longest time that a client has listened to one answer, in seconds."""
        self._answers = deque[Answer]()
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, name="backend", daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown(socket.SHUT_RDWR)
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        self._server.close()

    def answer_next(self, *answers: Answer) -> None:
        """Queues answers for the coming POSTs, one each."""
        self._answers.extend(answers)

    @property
    def is_honest(self) -> bool:
        """Holds once all that was queued has been given."""
        return not self._answers

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._clients.append(client)
                thread = threading.Thread(target=self._talk, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError), client.makefile("rb") as stream:
            while not self._stopping.is_set():
                body = _body(stream)
                if body is None or not self._answer(client, body):
                    break
        self._clients.remove(client)

    def _answer(self, client: socket.socket, body: bytes) -> bool:
        """Answers; returns whether the connection stays."""
        with self._mutex:
            self.posts += 1
            answer = self._answers.popleft() if self._answers else honest
        client.settimeout(TIMEOUT_S)
        began_s = time.monotonic()
        try:
            self._send(client, body, answer)
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
        if answer in (honest, twice):
            return True
        if answer is nothing:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _send(self, client: socket.socket, body: bytes, answer: Answer) -> None:
        kept = b""
        for piece in answer(body):
            if self._stopping.is_set():
                return
            if len(kept) < MOST_KEPT:
                # Before it is sent: whoever gets it may look at once.
                kept += piece
                self._note(body, kept)
            client.sendall(piece)

    def _note(self, body: bytes, answer: bytes) -> None:
        document = json.loads(body)
        sent = {device["serial"] for device in document["devices"]}
        said = {(document["timestamp"], serial) for serial in said_ok_for(answer) & sent}
        with self._mutex:
            self.ok |= said


def _body(stream: Any) -> bytes | None:
    """The body of the next request; None at the end."""
    length = 0
    while (line := stream.readline()) != b"\r\n":
        if not line:
            return None
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return bytes(stream.read(length))
