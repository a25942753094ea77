"""Makes ready-made MQTT frames of what a GX says, and a wire to say it by: no MQTT library.

The load must cost next to nothing, or it would be measured along with what listens to it.
"""

import json
import select
import socket
from collections.abc import Iterable
from zlib import crc32

from tests.bench.waiting import Failed
from tests.support.charger_values import single_tracker
from tests.support.dbus_flashmq import Message

PORTAL_ID = "c0619ab2f7e1"
HEARTBEAT_S = 3.0
PATIENCE_S = 120.0
"""Seconds that a broker may take nothing, or say nothing, before that is an error."""
_CONNACK, _PUBLISH, _SUBACK = 2, 3, 9
_PATHS_PER_CHARGER = 48
"""A real charger has some 500, most of them history that never changes."""


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


def charger_values(instance: int, turn: int = 0, portal_id: str = PORTAL_ID) -> dict[str, object]:
    """Returns what a charger says of 48 paths; those that change in daylight differ by `turn`."""
    serial = f"HQ{crc32(portal_id.encode()):010d}{instance:03d}"
    values = single_tracker(serial=serial, power_w=100.0 + turn % 977 * 0.37)
    values["Pv/V"] = 60.0 + turn % 331 * 0.01
    values["Dc/0/Voltage"] = 52.0 + turn % 101 * 0.01
    values["Dc/0/Current"] = 1.0 + turn % 499 * 0.1
    for day in range(_PATHS_PER_CHARGER - len(values)):
        values[f"History/Daily/{day}/TimeInFloat"] = float(day * 60 + turn % 7)
    return values


def said_by(
    portal_id: str, instance: int, turn: int = 0, paths: Iterable[str] | None = None
) -> list[Message]:
    """Returns what one charger says of these paths; of all without."""
    values = charger_values(instance, turn, portal_id)
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

    def __init__(self, port: int, client_id: str, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._received = b""
        self._heard: list[bytes] = []
        self._wait_for_frame(_CONNACK)

    @property
    def port(self) -> int:
        """The port at this end."""
        return int(self._socket.getsockname()[1])

    def subscribe(self, topic: str) -> None:
        """Subscribes, QoS 0, and waits until that is in force."""
        name = topic.encode()
        body = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x00"
        self._socket.sendall(b"\x82" + _length(len(body)) + body)
        self._wait_for_frame(_SUBACK)

    def send(self, data: bytes) -> None:
        """Sends frames; waits while the broker takes none."""
        self._socket.sendall(data)

    def messages(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """Returns what has come, after at most `timeout_s`."""
        if not self._heard and not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        self._read()
        heard, self._heard = self._heard, []
        return [_said_in(body) for body in heard]

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _wait_for_frame(self, kind: int) -> None:
        """Returns when such a frame has come; a message may come before it, and is kept."""
        while kind not in self._read():
            pass

    def _read(self) -> set[int]:
        """Takes in what has come; the kinds of frame. Waits if nothing has."""
        received = self._socket.recv(65536)
        if not received:
            raise Failed("expected the broker to keep the connection of the load, it was closed")
        self._received += received
        kinds = set()
        while (frame := self._take_frame()) is not None:
            kind, body = frame
            kinds.add(kind)
            if kind == _PUBLISH:
                self._heard.append(body)
        return kinds

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The kind and body of the next frame; ours are short enough for two bytes of length."""
        data = self._received
        if len(data) < 2 or (data[1] & 128 and len(data) < 3):
            return None
        length, start = data[1], 2
        if length & 128:
            length, start = (length & 127) + data[2] * 128, 3
        if len(data) < start + length:
            return None
        self._received = data[start + length :]
        return data[0] >> 4, data[start : start + length]


def _said_in(body: bytes) -> tuple[str, bytes]:
    """The topic and payload of a QoS 0 PUBLISH."""
    size = int.from_bytes(body[:2], "big")
    return body[2 : 2 + size].decode(), body[2 + size :]
