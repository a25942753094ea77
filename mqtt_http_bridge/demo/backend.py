"""A stand-in for the HTTP backend: same contract, same answers, on this machine only.

`mqtt-http-bridge demo` delivers to it, and so do the tests. It keeps everything it is sent in
memory. It is no second implementation of the backend: what it answers, and when, is what was
observed of the real one. It also reports what the real one silently accepts.
"""

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from email.message import Message
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from mqtt_http_bridge.demo import contract
from mqtt_http_bridge.demo.server import Answer, Arrival, Connection, Server

MEASUREMENTS_PATH = "/api/victron/measurements"
NEVER_REGISTERED = "mqtt-http-bridge-check"
"""The serial that `check` makes up: no backend knows it."""


class StandInBackend:
    """The backend on 127.0.0.1, listening from `up` (or entering it as a context) to `down`.

    known_serials: the registered devices; None when every serial is, but NEVER_REGISTERED.
    api_key: the key that owns all devices but those in `owners`.
    owners: the keys of other owners, by the serials of their devices.
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
    """Faults that the real backend would swallow, but this project's contract does not allow."""

    def __init__(
        self,
        *,
        known_serials: Collection[str] | None = None,
        api_key: str = "demo-key",
        owners: Mapping[str, str] | None = None,
        strict: bool = True,
        on_arrival: Callable[[Arrival], None] | None = None,
        idle_s: float = 5.0,
        services: int = 1,
        port: int = 0,
    ) -> None:
        self.api_key = api_key
        self.is_database_down = False
        self.without_owner: set[str] = set()
        """Serials of inverters that nobody owns: what names one fails as a whole, each time."""
        self.received = []
        self.accepted = []
        self.stored = {}
        self.contract_violations = []
        self._known_serials = known_serials
        self._owners = owners or {}
        self._strict = strict
        self._on_arrival = on_arrival
        self._idle_s = idle_s
        self._services = services
        self._port = port
        self._server: Server | None = None
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
            self._server = Server(self.serve, port=self._port, idle_s=self._idle_s)
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
        """Answers as the real backend does, and stores what that answer says is stored.

        Called once for each request, in its connection's thread. Subclasses may override it.
        """
        path = urlsplit(arrival.path).path
        if path == MEASUREMENTS_PATH + "/":
            return Answer(307, headers={"Location": self.url + MEASUREMENTS_PATH})
        if path != MEASUREMENTS_PATH:
            return _json_answer(404, {"detail": "Not Found"})
        if not _is_measurement(arrival):
            return _json_answer(405, {"detail": "Method Not Allowed"}, {"Allow": "POST"})
        if not arrival.headers["X-API-Key"]:
            return _keyless_answer(arrival.headers)
        return self._measurement_answer(arrival)

    def refusal(self, serial: str, key: str) -> str | None:
        """Returns why a report is not stored, in the real backend's words; None: it is stored.

        A serial that it does not know is answered alike whatever the key.
        """
        if not self._is_registered(serial):
            return f"Device {serial} not found"
        return None if key == self._owners.get(serial, self.api_key) else "Unauthorized"

    def _is_registered(self, serial: str) -> bool:
        if self._known_serials is None:
            return serial != NEVER_REGISTERED
        return serial in self._known_serials

    def serve(self, arrival: Arrival, connection: Connection) -> None:
        """Answer one request and keep it. Called in the connection's thread."""
        if self._strict and _is_measurement(arrival):
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
        if self._is_failing(document):
            return Answer(500, b"Internal Server Error", {"Content-Type": "text/plain"})
        return _summary_answer(document, self._store(document, arrival.headers["X-API-Key"]))

    def _is_failing(self, document: Any) -> bool:
        """Tells whether the database has to be asked, and is down or fails on what it is asked."""
        serials = {device["serial"] for device in document["devices"]}
        if serials and (self.is_database_down or serials & self.without_owner):
            return True
        return bool(contract.breakages(document))

    def _store(self, document: Any, key: str) -> list[dict[str, Any]]:
        """Keep what can be kept; return a result for each device, in the order sent."""
        with self._changed:
            return [
                self._store_device(document["timestamp"], device, key)
                for device in document["devices"]
            ]

    def _store_device(self, timestamp: str, device: dict[str, Any], key: str) -> dict[str, Any]:
        serial = device["serial"]
        if (error := self.refusal(serial, key)) is not None:
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


def _is_measurement(arrival: Arrival) -> bool:
    """Tells whether it was sent to where measurements go, in the way they go there."""
    return arrival.method == "POST" and urlsplit(arrival.path).path == MEASUREMENTS_PATH


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
