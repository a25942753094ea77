"""What a GX says, as ready-made MQTT frames, and a GX that says it: sockets, no MQTT library.

The load must cost next to nothing, or it would be measured along with what listens to it.
"""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

from tests.charger_values import single_tracker

PORTAL_ID = "c0619ab2f7e1"
HEARTBEAT_S = 3.0
_PATHS_PER_CHARGER = 48
"""As many as PEERS.md measured with; a real charger has some 500, most of them history."""


def portal_ids(count: int) -> list[str]:
    """So many portal ids, the first of them the usual one."""
    return [f"{int(PORTAL_ID, 16) + number:012x}" for number in range(count)]


def publish_frame(topic: str, payload: bytes) -> bytes:
    """A QoS 0 PUBLISH."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    return b"\x30" + _length(len(body)) + body


def _length(count: int) -> bytes:
    encoded = bytearray()
    while True:
        count, low = divmod(count, 128)
        encoded.append(low | (128 if count else 0))
        if not count:
            return bytes(encoded)


def charger_values(instance: int, turn: int = 0) -> dict[str, object]:
    """What a charger says of 48 paths; the ones that change in daylight differ in each `turn`."""
    values = single_tracker(serial=f"HQ{instance:09d}", power_w=100.0 + turn % 977 * 0.37)
    values["Pv/V"] = 60.0 + turn % 331 * 0.01
    values["Dc/0/Voltage"] = 52.0 + turn % 101 * 0.01
    values["Dc/0/Current"] = 1.0 + turn % 499 * 0.1
    for day in range(_PATHS_PER_CHARGER - len(values)):
        values[f"History/Daily/{day}/TimeInFloat"] = float(day * 60 + turn % 7)
    return values


def said_by(portal_id: str, instance: int, turn: int = 0) -> list[bytes]:
    """The frames of everything that one charger says."""
    return [
        publish_frame(f"N/{portal_id}/solarcharger/{instance}/{path}", _payload(value))
        for path, value in charger_values(instance, turn).items()
    ]


def _payload(value: object) -> bytes:
    return json.dumps({"value": value}, separators=(",", ":")).encode()


def flood(portals: Sequence[str], chargers: int, count: int) -> Iterator[bytes]:
    """`count` messages in pieces of one charger's 48 each, turn by turn, round robin."""
    sent = turn = 0
    while sent < count:
        turn += 1
        for portal_id in portals:
            for instance in range(chargers):
                frames = said_by(portal_id, instance, turn)[: count - sent]
                sent += len(frames)
                yield b"".join(frames)


class Wire:
    """A bare MQTT connection that publishes, and hears what it subscribed to."""

    def __init__(self, port: int, client_id: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._received = b""
        self._read_exactly(4)

    def subscribe(self, topic: str) -> None:
        """Subscribes, QoS 0, and waits until that is in force."""
        name = topic.encode()
        body = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x00"
        self._socket.sendall(b"\x82" + _length(len(body)) + body)
        self._read_exactly(5)

    def send(self, frames: bytes) -> None:
        """Sends frames; waits as long as the broker takes none."""
        self._socket.sendall(frames)

    def messages(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """What has come, after at most `timeout_s`."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        self._received += self._socket.recv(65536)
        found = []
        while (frame := self._take_frame()) is not None:
            size = int.from_bytes(frame[:2], "big")
            found.append((frame[2 : 2 + size].decode(), frame[2 + size :]))
        return found

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _read_exactly(self, count: int) -> None:
        while count:
            count -= len(self._socket.recv(count))

    def _take_frame(self) -> bytes | None:
        """The body of the next frame; ours are short enough for two bytes of length."""
        data = self._received
        if len(data) < 3:
            return None
        length, start = data[1], 2
        if length & 128:
            length, start = (length & 127) + data[2] * 128, 3
        if len(data) < start + length:
            return None
        self._received = data[start + length :]
        return data[start : start + length]


class BenchGx:
    """Answers keepalives of its portals as a GX does, and beats; on a thread of its own."""

    def __init__(self, port: int, portals: Sequence[str], chargers: int) -> None:
        self._wire = Wire(port, "bench-gx")
        self._portals = portals
        self._chargers = chargers
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._wire.subscribe("R/+/keepalive")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._thread.join()
        self._wire.close()

    def _run(self) -> None:
        beat_s = time.monotonic()
        while not self._is_ending.is_set():
            if time.monotonic() >= beat_s:
                beat_s += HEARTBEAT_S
                self._wire.send(b"".join(map(self._heartbeat, self._portals)))
            for topic, payload in self._wire.messages(min(0.2, HEARTBEAT_S)):
                if b"suppress-republish" not in payload:
                    self._publish_everything(topic.split("/")[1], payload)

    def _publish_everything(self, portal_id: str, payload: bytes) -> None:
        frames = [f for i in range(self._chargers) for f in said_by(portal_id, i)]
        echo = json.loads(payload)["keepalive-options"][0] | {"value": int(time.time())}
        completed = f"N/{portal_id}/full_publish_completed"
        self._wire.send(b"".join([*frames, publish_frame(completed, json.dumps(echo).encode())]))

    @staticmethod
    def _heartbeat(portal_id: str) -> bytes:
        return publish_frame(f"N/{portal_id}/heartbeat", _payload(int(time.time())))
