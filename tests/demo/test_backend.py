"""Tests the stand-in backend: each observed answer of the real one, and each fault on demand."""

import gzip
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from mqtt_http_bridge.demo.backend import MEASUREMENTS_PATH, NEVER_REGISTERED, StandInBackend
from mqtt_http_bridge.demo.contract import Location
from mqtt_http_bridge.demo.server import Arrival
from tests.demo.test_contract import (
    DEVICE,
    DEVICE_PATH,
    MEASUREMENT,
    REQUIRED,
    measurement_of,
    measurement_with,
    measurement_without,
    name_of,
    wrong_values,
)
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

TIMEOUT_S = 20.0
"""Seconds that a test waits for what is certain to come."""

SERIAL = "HQ2208AXN7V"
OTHER_SERIAL = "HQ99999ZZZZ"
TIMESTAMP = "2025-10-30T15:27:33.058551+00:00"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "X-API-Key": "demo-key",
}
TWO_DEVICES = measurement_of(
    {"yield_power_w": 100.9}, {"device_instance": 282, "serial": OTHER_SERIAL}
)


@dataclass(frozen=True)
class Reply:
    """The answer that came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@contextmanager
def connection_to(backend: StandInBackend) -> Iterator[http.client.HTTPConnection]:
    """One client connection, kept alive between requests."""
    connection = http.client.HTTPConnection(*address_of(backend), timeout=TIMEOUT_S)
    try:
        yield connection
    finally:
        connection.close()


def send(
    connection: http.client.HTTPConnection,
    document: object = MEASUREMENT,
    *,
    headers: dict[str, str] = HEADERS,
    method: str = "POST",
    path: str = MEASUREMENTS_PATH,
) -> Reply:
    """One request and its answer. Bytes are sent as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def post(backend: StandInBackend, document: object = MEASUREMENT, **options: Any) -> Reply:
    """One request on a connection of its own."""
    with connection_to(backend) as connection:
        return send(connection, document, **options)


def address_of(backend: StandInBackend) -> tuple[str, int]:
    """Returns where it listens, for a bare socket."""
    port = urlsplit(backend.url).port
    assert port is not None
    return "127.0.0.1", port


def reset_on_close(raw: socket.socket) -> None:
    """Have the connection end with an error for the other side, not in good order."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def headers_without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.fixture(scope="module")
def lenient() -> Iterator[StandInBackend]:
    """One backend for all the tests that only look at an answer."""
    with StandInBackend(strict=False) as backend:
        yield backend


@pytest.fixture
def faulty() -> Iterator[FaultyBackend]:
    with FaultyBackend() as backend:
        yield backend


# The answers of the real backend.


def test_all_devices_stored() -> None:
    """201, a summary, and the reports under (timestamp, serial)."""
    with StandInBackend() as backend:
        reply = post(backend, TWO_DEVICES)
        assert (reply.status, reply.headers["Content-Type"]) == (201, "application/json")
        assert reply.document == {
            "cerbo_serial": "c0619ab35133",
            "timestamp": TIMESTAMP,
            "total_devices": 2,
            "success_count": 2,
            "error_count": 0,
            "results": [
                {
                    "device_identifier": SERIAL,
                    "status": "ok",
                    "inverter_id": 1,
                    "yield_power_w": 100,
                },
                {
                    "device_identifier": OTHER_SERIAL,
                    "status": "ok",
                    "inverter_id": 2,
                    "yield_power_w": 16,
                },
            ],
        }
        assert backend.accepted == [(TIMESTAMP, SERIAL), (TIMESTAMP, OTHER_SERIAL)]
        assert list(backend.stored.values()) == TWO_DEVICES["devices"]
        assert backend.contract_violations == []


def test_some_devices_stored() -> None:
    """207, and only the registered device is kept."""
    with StandInBackend(known_serials={SERIAL}) as backend:
        reply = post(backend, TWO_DEVICES)
        summary = reply.document
        assert reply.status == 207
        assert (summary["success_count"], summary["error_count"]) == (1, 1)
        assert [result["status"] for result in summary["results"]] == ["ok", "error"]
        assert summary["results"][1] == {
            "device_identifier": OTHER_SERIAL,
            "status": "error",
            "error": "Device HQ99999ZZZZ not found",
        }
        assert backend.accepted == [(TIMESTAMP, SERIAL)]


def test_no_device_registered() -> None:
    """404 with a summary, so the status alone does not tell it from a wrong path."""
    with StandInBackend(known_serials=()) as backend:
        reply = post(backend, TWO_DEVICES)
        assert reply.status == 404
        assert [result["error"] for result in reply.document["results"]] == [
            "Device HQ2208AXN7V not found",
            "Device HQ99999ZZZZ not found",
        ]
        assert backend.accepted == []


def test_wrong_key() -> None:
    """404 as well, each device `Unauthorized`."""
    with StandInBackend(api_key="right") as backend:
        reply = post(backend, TWO_DEVICES, headers={**HEADERS, "X-API-Key": "wrong"})
        assert reply.status == 404
        assert reply.document["error_count"] == 2
        assert {result["error"] for result in reply.document["results"]} == {"Unauthorized"}
        assert backend.stored == {}
        assert post(backend, headers={**HEADERS, "X-API-Key": "right"}).status == 201


@pytest.mark.parametrize("known", [(), None], ids=["no device known", "every device known"])
def test_an_unknown_serial_is_answered_alike_whatever_the_key(
    known: tuple[str, ...] | None,
) -> None:
    """404 and `not found`: it proves the URL and the database, not the key."""
    with StandInBackend(known_serials=known) as backend:
        unknown = measurement_of({"serial": NEVER_REGISTERED})
        for key in (backend.api_key, "wrong"):
            reply = post(backend, unknown, headers={**HEADERS, "X-API-Key": key})
            (result,) = reply.document["results"]
            assert (reply.status, result["status"]) == (404, "error")
            assert result["error"] == f"Device {NEVER_REGISTERED} not found"


def test_a_key_belongs_to_one_owner() -> None:
    """207: what is somebody else's is `Unauthorized`, whichever of the keys is sent."""
    with StandInBackend(owners={OTHER_SERIAL: "of the neighbour"}) as backend:
        for key, expected in (("demo-key", ["ok", "error"]), ("of the neighbour", ["error", "ok"])):
            reply = post(backend, TWO_DEVICES, headers={**HEADERS, "X-API-Key": key})
            results = reply.document["results"]
            assert (reply.status, [result["status"] for result in results]) == (207, expected)
            assert [r["error"] for r in results if "error" in r] == ["Unauthorized"]


def test_the_database_is_down() -> None:
    """500 with text, but for no devices, which are still answered with 201."""
    with StandInBackend(strict=False) as backend:
        backend.is_database_down = True
        assert (post(backend).status, post(backend, measurement_of()).status) == (500, 201)
        assert backend.accepted == []
        backend.is_database_down = False
        assert post(backend).status == 201


def test_an_inverter_without_owner() -> None:
    """500 for each request that names it, whoever else is in it; the others pass without it."""
    with StandInBackend() as backend:
        backend.without_owner = {OTHER_SERIAL}
        assert [post(backend, TWO_DEVICES).status for _ in range(2)] == [500, 500]
        assert backend.accepted == []
        assert post(backend).status == 201


@pytest.mark.parametrize("headers", [headers_without("X-API-Key"), {**HEADERS, "X-API-Key": ""}])
def test_missing_key(lenient: StandInBackend, headers: dict[str, str]) -> None:
    """401, and the word for it."""
    reply = post(lenient, headers=headers)
    assert (reply.status, reply.document["error"]) == (401, "unauthorized")


def test_missing_key_from_a_browser(lenient: StandInBackend) -> None:
    """With text/html accepted, it is a redirect to a login page."""
    reply = post(lenient, headers={**headers_without("X-API-Key"), "Accept": "text/html,*/*"})
    assert (reply.status, reply.headers["Location"]) == (302, "/login")


@pytest.mark.parametrize("path", REQUIRED, ids=name_of)
def test_missing_field(lenient: StandInBackend, path: Location) -> None:
    """422, and where."""
    reply = post(lenient, measurement_without(path))
    assert reply.status == 422
    assert reply.document == {"detail": [{"loc": ["body", *path], "msg": "Field required"}]}


@pytest.mark.parametrize(("path", "value"), wrong_values())
def test_wrong_type(lenient: StandInBackend, path: Location, value: object) -> None:
    """422, and where: null as much as any other wrong type."""
    reply = post(lenient, measurement_with(path, value))
    assert reply.status == 422
    assert [fault["loc"] for fault in reply.document["detail"]] == [["body", *path]]


def test_schema_violation_stores_nothing() -> None:
    """One bad device keeps the good ones of its request out, too."""
    with StandInBackend() as backend:
        reply = post(backend, measurement_of({}, {"serial": OTHER_SERIAL, "yield_power_w": None}))
        assert reply.status == 422
        assert reply.document["detail"][0]["loc"] == ["body", "devices", 1, "yield_power_w"]
        assert (backend.stored, backend.accepted) == ({}, [])


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (b"", ["body"]),
        (b'{"timestamp":', ["body", 13]),
        (json.dumps([MEASUREMENT]).encode(), ["body"]),
    ],
    ids=["empty", "broken", "array"],
)
def test_no_measurement(lenient: StandInBackend, body: bytes, location: list[object]) -> None:
    """422 for anything but one JSON object."""
    reply = post(lenient, body)
    assert reply.status == 422
    assert [fault["loc"] for fault in reply.document["detail"]] == [location]


@pytest.mark.parametrize(
    "headers",
    [headers_without("Content-Type"), {**HEADERS, "Content-Type": "text/plain"}],
    ids=["missing", "text"],
)
def test_wrong_content_type(lenient: StandInBackend, headers: dict[str, str]) -> None:
    """422 for the whole body, which is not even parsed."""
    reply = post(lenient, headers=headers)
    assert reply.status == 422
    assert [fault["loc"] for fault in reply.document["detail"]] == [["body"]]


def test_content_type_with_charset(lenient: StandInBackend) -> None:
    """Parameters of the content type do not matter."""
    headers = {**HEADERS, "Content-Type": "application/json; charset=utf-8"}
    assert post(lenient, headers=headers).status == 201


def test_compressed_body(lenient: StandInBackend) -> None:
    """400: the backend does not unpack."""
    body = gzip.compress(json.dumps(MEASUREMENT).encode())
    assert post(lenient, body, headers={**HEADERS, "Content-Encoding": "gzip"}).status == 400


@pytest.mark.parametrize(
    ("field", "value"), [("serial", "HQ\0"), ("yield_power_w", float("nan"))], ids=["NUL", "NaN"]
)
def test_values_that_break_the_database(field: str, value: object) -> None:
    """500 with plain text, every time, and nothing stored."""
    with StandInBackend() as backend:
        for _ in range(2):
            reply = post(backend, measurement_with((*DEVICE_PATH, field), value))
            assert (reply.status, reply.headers["Content-Type"]) == (500, "text/plain")
        assert backend.accepted == []


@pytest.mark.parametrize("path", ["/", "/api", "/api/victron", "/victron/measurements"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_wrong_path(lenient: StandInBackend, method: str, path: str) -> None:
    """404 without results, even without a key."""
    reply = post(lenient, path=path, method=method, headers={})
    assert (reply.status, reply.document) == (404, {"detail": "Not Found"})


def test_trailing_slash(lenient: StandInBackend) -> None:
    """307 to the path without it."""
    reply = post(lenient, path=MEASUREMENTS_PATH + "/")
    assert (reply.status, reply.body) == (307, b"")
    assert reply.headers["Location"] == lenient.url + MEASUREMENTS_PATH


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_wrong_method(lenient: StandInBackend, method: str) -> None:
    """405, naming the right one."""
    reply = post(lenient, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("key", ["demo-key", "wrong"])
def test_no_devices(lenient: StandInBackend, key: str) -> None:
    """A meaningless 201, whatever the key."""
    reply = post(lenient, measurement_of(), headers={**HEADERS, "X-API-Key": key})
    assert (reply.status, reply.document["total_devices"]) == (201, 0)


def test_repeats_are_taken() -> None:
    """One row under (timestamp, serial), but each acceptance is remembered."""
    with StandInBackend() as backend:
        assert [post(backend).status for _ in range(2)] == [201, 201]
        assert backend.accepted == [(TIMESTAMP, SERIAL)] * 2
        assert backend.stored == {(TIMESTAMP, SERIAL): DEVICE}
        assert backend.contract_violations == []


def test_inverter_id_stays_with_the_serial() -> None:
    """It is the same in every measurement."""
    with StandInBackend() as backend:
        replies = [post(backend, measurement_of({"serial": serial})) for serial in "ABBA"]
        results = [reply.document["results"][0] for reply in replies]
        assert [result["inverter_id"] for result in results] == [1, 2, 2, 1]


# What the real backend swallows.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (measurement_with(("surplus",), 1), "body.surplus: "),
        (measurement_with((*DEVICE_PATH, "yield_power_w"), 16), "body.devices.0.yield_power_w: "),
        (measurement_with(("timestamp",), "2025-10-30T15:27:33Z"), "body.timestamp: "),
        (measurement_of({}, {"serial": "A", "device_instance": 0}), "body.devices: "),
        (measurement_of(), "body.devices: "),
    ],
    ids=["extra field", "whole number", "timestamp", "order", "no devices"],
)
def test_departures_are_noted(document: object, expected: str) -> None:
    """Taken with 201 and noted, unless not asked to be strict."""
    with StandInBackend() as strict, StandInBackend(strict=False) as lenient:
        assert [post(backend, document).status for backend in (strict, lenient)] == [201, 201]
        (violation,) = strict.contract_violations
        assert violation.startswith(expected)
        assert lenient.contract_violations == []


def test_services_are_passed_on() -> None:
    """With two services read, the order of instances may start anew."""
    with StandInBackend(services=2) as backend:
        post(backend, measurement_of({}, {"serial": "A", "device_instance": 0}))
        assert backend.contract_violations == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (headers_without("Accept"), "header Accept: expected application/json, found None"),
        ({**HEADERS, "Accept": "*/*"}, "header Accept: expected application/json, found */*"),
        ({**HEADERS, "Content-Encoding": "gzip"}, "header Content-Encoding: expected none"),
    ],
    ids=["no Accept", "any Accept", "Content-Encoding"],
)
def test_careless_headers_are_noted(headers: dict[str, str], expected: str) -> None:
    """Also where the answer is 201."""
    with StandInBackend() as backend:
        assert post(backend, headers=headers).status == 201
        (violation,) = backend.contract_violations
        assert violation.startswith(expected)


def test_changed_values_are_noted(faulty: FaultyBackend) -> None:
    """A retry with other numbers is a violation even when the first try was not stored."""
    faulty.answer_next(Forced(503))
    post(faulty)
    post(faulty, measurement_of({"yield_power_w": 17.0, "name": "Shed"}))
    assert faulty.contract_violations == [
        (
            f"{TIMESTAMP} {SERIAL}: expected the values sent at first, "
            "found others in name, yield_power_w"
        )
    ]
    assert faulty.stored[TIMESTAMP, SERIAL]["name"] == "Shed"


def test_other_requests_are_not_held_to_the_contract() -> None:
    """A look at some other page is no measurement."""
    with StandInBackend() as backend:
        post(backend, b"", path="/", method="GET", headers={})
        assert backend.contract_violations == []


# What it remembers.


def test_arrivals_are_kept_as_they_came() -> None:
    """In order, with moment, headers, bytes and answer, before the client has the answer."""
    with StandInBackend() as backend:
        before_s = time.monotonic()
        post(backend)
        post(backend, b"{", headers={**HEADERS, "X-Extra": "1"})
        first, second = backend.received
        assert before_s <= first.monotonic_s <= second.monotonic_s <= time.monotonic()
        assert (first.method, first.path) == ("POST", MEASUREMENTS_PATH)
        assert (first.status, second.status) == (201, 422)
        assert (first.document, second.document) == (MEASUREMENT, None)
        assert (first.body, second.body) == (json.dumps(MEASUREMENT).encode(), b"{")
        assert (first.headers["x-api-key"], second.headers["x-extra"]) == ("demo-key", "1")


def test_wait_for_answers() -> None:
    """It returns as soon as that many are answered, callbacks included."""
    heard: list[Arrival] = []
    with StandInBackend(on_arrival=heard.append) as backend:
        client = threading.Thread(target=lambda: [post(backend) for _ in range(3)])
        client.start()
        arrivals = backend.wait_for(3, TIMEOUT_S)
        assert arrivals == backend.received
        # Each has a thread of its own, and the client goes on as soon as it has its answer.
        assert sorted(heard, key=lambda arrival: arrival.monotonic_s) == arrivals
        client.join()


def test_wait_for_too_many() -> None:
    """It gives up at the time given, and says how far it came."""
    with StandInBackend() as backend:
        post(backend)
        with pytest.raises(TimeoutError, match=r"expected 2 requests received .* found 1"):
            backend.wait_for_arrivals(2, timeout_s=0.01)


def test_callback_gets_the_answered_arrival() -> None:
    """In the connection's thread."""
    heard: list[tuple[int | None, str]] = []
    with StandInBackend(
        on_arrival=lambda arrival: heard.append((arrival.status, threading.current_thread().name))
    ) as backend:
        post(backend)
        backend.wait_for(1, TIMEOUT_S)
    ((status, thread),) = heard
    assert status == 201
    assert thread != threading.current_thread().name


def test_many_clients_at_once() -> None:
    """Nothing is lost and nothing mixed up."""
    with StandInBackend() as backend:
        serials = [f"HQ{number:09}" for number in range(16)]
        clients = [
            threading.Thread(target=post, args=(backend, measurement_of({"serial": serial})))
            for serial in serials
        ]
        for client in clients:
            client.start()
        backend.wait_for(len(serials), TIMEOUT_S)
        for client in clients:
            client.join()
        assert sorted(serial for _, serial in backend.accepted) == serials


def test_it_stays_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither requests, nor bad requests, nor broken connections are worth a line."""
    threads_before = set(threading.enumerate())
    with FaultyBackend() as backend:
        post(backend)
        backend.answer_next(Forced(201, delay_s=TIMEOUT_S))
        with connection_to(backend) as connection:
            connection.request("POST", MEASUREMENTS_PATH, b"{}", HEADERS)
            backend.wait_for_arrivals(2, TIMEOUT_S)
        with socket.create_connection(address_of(backend), timeout=TIMEOUT_S) as raw:
            raw.sendall(b"what?\r\n\r\n")
            assert b"400" in raw.recv(1000)
        with socket.create_connection(address_of(backend), timeout=TIMEOUT_S) as raw:
            raw.sendall(
                f"POST {MEASUREMENTS_PATH} HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            reset_on_close(raw)
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(TIMEOUT_S)
    assert capfd.readouterr() == ("", "")


def test_mistakes_in_callbacks_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """A test whose own callback fails must not go on in silence; the answer still counts."""

    def fail(arrival: Arrival) -> None:
        raise ValueError(f"no use for {arrival.path}")

    with StandInBackend(on_arrival=fail) as backend, connection_to(backend) as connection:
        assert send(connection).status == 201
        assert connection.sock.recv(1) == b""
        backend.wait_for(1, TIMEOUT_S)
    assert f"ValueError: no use for {MEASUREMENTS_PATH}" in capfd.readouterr().err


# Connections.


def test_connections_are_kept_alive() -> None:
    """Every answer has a length, so the next request can use the same connection."""
    with StandInBackend() as backend, connection_to(backend) as connection:
        send(connection)
        first_socket = connection.sock
        for path, status in (("/", 404), (MEASUREMENTS_PATH + "/", 307), (MEASUREMENTS_PATH, 201)):
            reply = send(connection, path=path)
            assert (reply.status, reply.headers["Content-Length"]) == (status, str(len(reply.body)))
        assert connection.sock is first_socket


def test_idle_connections_are_closed() -> None:
    """After the idle time, and not before: then the next request needs a new one."""
    with StandInBackend(idle_s=0.1) as backend, connection_to(backend) as connection:
        send(connection)
        answered_s = time.monotonic()
        assert connection.sock.recv(1) == b""
        assert 0.05 < time.monotonic() - answered_s < TIMEOUT_S


@pytest.mark.parametrize(
    "headers", ["Content-Length: ten", "Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
def test_body_without_a_length(lenient: StandInBackend, headers: str) -> None:
    """It is refused, for there is no telling where it ends."""
    with socket.create_connection(address_of(lenient), timeout=TIMEOUT_S) as raw:
        raw.sendall(f"POST {MEASUREMENTS_PATH} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 411 ")


def test_half_a_request_is_no_arrival() -> None:
    """A client that leaves in the middle of the body has not delivered."""
    with StandInBackend() as backend:
        with socket.create_connection(address_of(backend), timeout=TIMEOUT_S) as raw:
            raw.sendall(
                f"POST {MEASUREMENTS_PATH} HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(1) == b""
        assert backend.received == []


def test_down_cuts_and_refuses() -> None:
    """At once, as when the process dies, whatever is going on."""
    with FaultyBackend() as backend, connection_to(backend) as idle, connection_to(backend) as busy:
        send(idle)
        backend.answer_next(Forced(201, delay_s=60.0))
        busy.request("POST", MEASUREMENTS_PATH, json.dumps(MEASUREMENT), HEADERS)
        backend.wait_for_arrivals(2, TIMEOUT_S)
        started_s = time.monotonic()
        backend.down()
        assert idle.sock.recv(1) == b""
        with pytest.raises(ConnectionError):
            busy.getresponse()
        with pytest.raises(ConnectionRefusedError):
            post(backend)
        backend.wait_for(2, TIMEOUT_S)
        assert time.monotonic() - started_s < TIMEOUT_S


def test_up_again_on_the_same_port() -> None:
    """With everything it knew before; being up or down twice changes nothing."""
    with StandInBackend() as backend:
        post(backend)
        url = backend.url
        backend.down()
        backend.down()
        backend.up()
        backend.up()
        assert backend.url == url
        assert post(backend).status == 201
        assert len(backend.wait_for(2, TIMEOUT_S)) == 2


def test_down_from_the_callback() -> None:
    """The backend can die right after an answer."""
    backend = StandInBackend(on_arrival=lambda _: backend.down())
    with backend:
        assert post(backend).status == 201
        backend.wait_for(1, TIMEOUT_S)
        with pytest.raises(ConnectionRefusedError):
            post(backend)


def test_a_chosen_port() -> None:
    """A port can be asked for, and a taken one is an error."""
    with StandInBackend() as first:
        port = address_of(first)[1]
        with pytest.raises(OSError, match="in use"), StandInBackend(port=port):
            pass
    with StandInBackend(port=port) as second:
        assert second.url == f"http://127.0.0.1:{port}"
        assert post(second).status == 201


# Faults on demand.


def test_forced_answers_come_in_order(faulty: FaultyBackend) -> None:
    """One for each request, None being the true answer; then the true ones again."""
    faulty.answer_next(
        Forced(503, b"busy", {"Retry-After": "7"}), None, Forced(302, headers={"Location": "/"})
    )
    replies = [post(faulty) for _ in range(4)]
    assert [reply.status for reply in replies] == [503, 201, 302, 201]
    assert (replies[0].body, replies[0].headers["Retry-After"]) == (b"busy", "7")
    assert [arrival.status for arrival in faulty.received] == [503, 201, 302, 201]
    assert len(faulty.accepted) == 2


def test_always(faulty: FaultyBackend) -> None:
    """One answer for all requests, until it is taken back; queued ones go first."""
    faulty.always(Forced(500))
    faulty.answer_next(Forced(429))
    assert [post(faulty).status for _ in range(3)] == [429, 500, 500]
    faulty.always(None)
    assert post(faulty).status == 201


def test_stored_but_answered_otherwise(faulty: FaultyBackend) -> None:
    """The rows are kept as if the true answer had been given."""
    faulty.answer_next(Forced(504, store=True))
    assert post(faulty).status == 504
    assert faulty.stored == {(TIMESTAMP, SERIAL): DEVICE}


def test_delayed_answer(faulty: FaultyBackend) -> None:
    """The request is seen, and its rows are stored, before it is answered."""
    faulty.answer_next(Forced(201, delay_s=0.1, store=True))
    with connection_to(faulty) as connection:
        connection.request("POST", MEASUREMENTS_PATH, json.dumps(MEASUREMENT), HEADERS)
        (arrival,) = faulty.wait_for_arrivals(1, TIMEOUT_S)
        assert faulty.accepted == [(TIMESTAMP, SERIAL)]
        assert connection.getresponse().status == 201
        assert time.monotonic() - arrival.monotonic_s >= 0.1


@pytest.mark.parametrize(
    ("answer", "stored"), [(DROP_BEFORE_ANSWER, 0), (DROP_AFTER_STORING, 1)], ids=["lost", "stored"]
)
def test_dropped_connection(faulty: FaultyBackend, answer: Unfinished, stored: int) -> None:
    """The client sees the connection end without an answer, and the arrival has no status."""
    faulty.answer_next(answer)
    with pytest.raises(http.client.RemoteDisconnected):
        post(faulty)
    (arrival,) = faulty.wait_for(1, TIMEOUT_S)
    assert arrival.status is None
    assert len(faulty.accepted) == stored


def test_garbage(faulty: FaultyBackend) -> None:
    """The answer is not HTTP."""
    faulty.answer_next(GARBAGE)
    with pytest.raises(http.client.BadStatusLine):
        post(faulty)


def test_half_an_answer(faulty: FaultyBackend) -> None:
    """The answer ends before the length it announced."""
    faulty.answer_next(HALF)
    with pytest.raises(http.client.IncompleteRead):
        post(faulty)


@pytest.mark.parametrize("drip", [DRIP, DRIP_IN_HEADERS], ids=["body", "headers"])
def test_dripping_answer(faulty: FaultyBackend, drip: Dripping) -> None:
    """Byte after byte with no end, until the client leaves."""
    fast = Dripping(body=drip.body, interval_s=0.01)
    faulty.answer_next(fast)
    with socket.create_connection(address_of(faulty), timeout=TIMEOUT_S) as raw:
        raw.sendall(f"POST {MEASUREMENTS_PATH} HTTP/1.1\r\n\r\n".encode())
        received = b""
        while len(received) < len(drip.body) + 3:
            received += raw.recv(1000)
        assert received.startswith(drip.body + b"...")
        with pytest.raises(TimeoutError):
            faulty.wait_for(1, timeout_s=0.05)
    faulty.wait_for(1, TIMEOUT_S)


def test_drip_ends_when_the_backend_goes_down(faulty: FaultyBackend) -> None:
    """Nobody is left waiting in a thread."""
    faulty.answer_next(DRIP)
    with connection_to(faulty) as connection:
        connection.request("POST", MEASUREMENTS_PATH, b"{}", HEADERS)
        faulty.wait_for_arrivals(1, TIMEOUT_S)
        faulty.down()
        faulty.wait_for(1, TIMEOUT_S)


def test_database_fault_of_one_device(faulty: FaultyBackend) -> None:
    """The one result that is worth a retry, in the backend's words."""
    faulty.cannot_store = {OTHER_SERIAL}
    reply = post(faulty, TWO_DEVICES)
    assert reply.status == 207
    assert reply.document["results"][1]["error"] == "Failed to store measurement"
    faulty.cannot_store.clear()
    assert post(faulty, TWO_DEVICES).status == 201
