"""Adds faults to the stand-in backend: use it where a network, proxy or database fails."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from mqtt_http_bridge.demo.backend import StandInBackend
from mqtt_http_bridge.demo.server import Answer, Arrival, Connection


@dataclass(frozen=True)
class Forced(Answer):
    """An answer given whatever the request holds.

    delay_s: time from the request to its answer.
    store: the rows are stored all the same, at once, as when an answer gets lost.
    """

    delay_s: float = 0.0
    store: bool = False

    def send(self, connection: Connection) -> None:
        """Answer after the delay, unless the backend goes down in between."""
        if connection.server.closing.wait(self.delay_s):
            connection.close_connection = True
        else:
            self.send_now(connection)

    def send_now(self, connection: Connection) -> None:
        connection.respond(self)


@dataclass(frozen=True)
class Unfinished(Forced):
    """`body` goes out as it is, headers included or not, and the connection closes."""

    status: int | None = None

    def send_now(self, connection: Connection) -> None:
        connection.wfile.write(self.body)
        connection.close_connection = True


@dataclass(frozen=True)
class Dripping(Unfinished):
    """`body` goes out as it is, then one more byte every `interval_s`, until someone leaves."""

    interval_s: float = 0.2

    def send_now(self, connection: Connection) -> None:
        super().send_now(connection)
        while not connection.server.closing.wait(self.interval_s):
            connection.wfile.write(b".")


_OPENING = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"

DROP_BEFORE_ANSWER = Unfinished()
DROP_AFTER_STORING = Unfinished(store=True)
GARBAGE = Unfinished(body=b"SSH-2.0-not-a-web-server\r\n\x00\xff\r\n")
HALF = Unfinished(body=_OPENING + b'Content-Length: 1000\r\n\r\n{"total_devices":')
DRIP = Dripping(body=_OPENING + b"Content-Length: 1000000\r\n\r\n")
DRIP_IN_HEADERS = Dripping(body=_OPENING + b"X-Slow: ")


class FaultyBackend(StandInBackend):
    """Answers as told, and as the stand-in does when told nothing.

    cannot_store: serials that get `Failed to store measurement`; may be changed at any time.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cannot_store: set[str] = set()
        self._next: deque[Forced | None] = deque()
        self._always: Forced | None = None

    def answer_next(self, *answers: Forced | None) -> None:
        """Queue answers for the coming requests, one each; None stands for the true answer."""
        self._next.extend(answers)

    def always(self, answer: Forced | None) -> None:
        """Answer so whenever nothing is queued; None goes back to the true answers."""
        self._always = answer

    def answer(self, arrival: Arrival) -> Answer:
        forced = self._next_forced()
        if forced is None:
            return super().answer(arrival)
        if forced.store:
            super().answer(arrival)
        return forced

    def refusal(self, serial: str, key: str) -> str | None:
        refusal = super().refusal(serial, key)
        if refusal is None and serial in self.cannot_store:
            return "Failed to store measurement"
        return refusal

    def _next_forced(self) -> Forced | None:
        # No test before popping: two connections may be after the last one.
        try:
            return self._next.popleft()
        except IndexError:
            return self._always
