"""Plays a GX for a broker's clients: it answers keepalives, and sends heartbeats."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from tests.bench.traffic import HEARTBEAT_S, Wire, frames, payload, said_by
from tests.bench.waiting import Failed
from tests.support.dbus_flashmq import Message

LOOK_S = 0.2
"""Seconds until it notices that it is to end."""


def instances(chargers: int) -> range:
    """The device instances of the GX's chargers: not 0, which a recorded one has."""
    return range(1, chargers + 1)


class BenchGx:
    """Answers for its portals as a GX does, on a thread of its own, and beats unless paused."""

    def __init__(
        self, port: int, portals: Sequence[str], chargers: int, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._wire = Wire(port, "bench-gx")
        self._portals = portals
        self._chargers = chargers
        self._heartbeat_s = heartbeat_s
        self._is_ending = threading.Event()
        self._pauses = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._wire.send(frames(self._retained(portal_id) for portal_id in self._portals))
        self._wire.subscribe("R/+/keepalive")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._thread.join()
        self._wire.close()

    def check(self) -> None:
        """Raises Failed if it does not answer any more."""
        if self._error is not None:
            raise Failed(f"expected the GX to go on: {self._error}") from self._error

    @contextmanager
    def without_heartbeats(self) -> Iterator[None]:
        """Within this it does not beat. After 30 s of silence a relay makes a new connection."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def _run(self) -> None:
        try:
            self._answer_and_beat()
        except (OSError, Failed) as error:
            self._error = error

    def _answer_and_beat(self) -> None:
        beat_s = time.monotonic()
        while not self._is_ending.is_set():
            if time.monotonic() >= beat_s:
                beat_s = max(beat_s + self._heartbeat_s, time.monotonic())
                if not self._pauses:
                    self._wire.send(frames(map(self._heartbeat, self._portals)))
            until_beat_s = max(0.0, beat_s - time.monotonic())
            for topic, request in self._wire.messages(min(LOOK_S, until_beat_s)):
                if b"suppress-republish" not in request:
                    self._publish_everything(topic.split("/")[1], request)

    def _publish_everything(self, portal_id: str, request: bytes) -> None:
        said = [m for i in instances(self._chargers) for m in said_by(portal_id, i)]
        echo = json.loads(request)["keepalive-options"][0] | {"value": int(time.time())}
        completed = Message(f"N/{portal_id}/full_publish_completed", json.dumps(echo).encode())
        self._wire.send(frames([*said, completed]))

    @staticmethod
    def _heartbeat(portal_id: str) -> Message:
        return Message(f"N/{portal_id}/heartbeat", payload(int(time.time())))

    @staticmethod
    def _retained(portal_id: str) -> Message:
        return Message(f"N/{portal_id}/system/0/Serial", payload(portal_id), retain=True)
