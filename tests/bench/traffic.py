"""What a GX says, as ready-made MQTT frames, and a wire to say it by: no MQTT library.

The load must cost next to nothing, or it would be measured along with what listens to it.
"""

import json
import select
import socket
from collections.abc import Iterable

from tests.bench.waiting import Failed
from tests.charger_values import single_tracker
from tests.dbus_flashmq import Message

PORTAL_ID = "c0619ab2f7e1"
HEARTBEAT_S = 3.0
PATIENCE_S = 120.0
"""How long a broker may take nothing, or say nothing, before that is an error."""
_PATHS_PER_CHARGER = 48
"""As many as PEERS.md measured with; a real charger has some 500, most of them history."""


def portal_ids(count: int) -> list[str]:
    """So many portal ids, the first of them the usual one."""
    return [f"{int(PORTAL_ID, 16) + number:012x}" for number in range(count)]


def publish_frame(topic: str, content: bytes, *, is_retained: bool = False) -> bytes:
    """A QoS 0 PUBLISH."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + content
    return (b"\x31" if is_retained else b"\x30") + _length(len(body)) + body


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


def said_by(
    portal_id: str, instance: int, turn: int = 0, paths: Iterable[str] | None = None
) -> list[Message]:
    """What one charger says of these paths; of all without."""
    values = charger_values(instance, turn)
    prefix = f"N/{portal_id}/solarcharger/{instance}"
    return [Message(f"{prefix}/{path}", payload(values[path])) for path in (paths or values)]


def payload(value: object) -> bytes:
    """A value as the GX writes it."""
    return json.dumps({"value": value}, separators=(",", ":")).encode()


def frames(messages: Iterable[Message]) -> bytes:
    """The frames of messages, one after the other."""
    return b"".join(publish_frame(m.topic, m.payload, is_retained=m.retain) for m in messages)


class Wire:
    """A bare MQTT connection that publishes, and hears what it subscribed to."""

    def __init__(self, port: int, client_id: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._received = b""
        self._read_exactly(4)

    @property
    def port(self) -> int:
        """The port at this end."""
        return int(self._socket.getsockname()[1])

    def subscribe(self, topic: str) -> None:
        """Subscribes, QoS 0, and waits until that is in force."""
        name = topic.encode()
        body = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x00"
        self._socket.sendall(b"\x82" + _length(len(body)) + body)
        self._read_exactly(5)

    def send(self, data: bytes) -> None:
        """Sends frames; waits while the broker takes none."""
        self._socket.sendall(data)

    def messages(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """What has come, after at most `timeout_s`."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        self._received += self._some(65536)
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
            count -= len(self._some(count))

    def _some(self, most: int) -> bytes:
        received = self._socket.recv(most)
        if not received:
            raise Failed("expected the broker to keep the connection of the load, it was closed")
        return received

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
