"""Plays a broker on raw sockets with a GX and one charger, which attacks as no real one would.

It lets everybody in, grants what is subscribed to, answers a keepalive with a full publish, and has
a heartbeat. What it sends beside that is for a test to say.
"""

import json
import re
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tests.support.charger_values import single_tracker
from tests.support.mqtt_packets import CONNACK, PINGRESP, publish

PORTAL = "c0619ab2f7e1"
HEARTBEAT_S = 0.2
TIMEOUT_S = 20.0
_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ = 1, 3, 8, 12


def value(said: object) -> bytes:
    """A payload of the GX."""
    return json.dumps({"value": said}).encode()


def of_charger(path: str, said: object, instance: int = 277, portal: str = PORTAL) -> bytes:
    """A packet in which a charger says something."""
    topic = f"N/{portal}/solarcharger/{instance}/{path}"
    return publish(topic.encode(), value(said))


class HostileBroker:
    """One broker, for one client at a time. A context manager."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        """True if it grants no subscription."""
        self.keepalives = 0
        """Keepalives that it got."""
        self.connections = 0
        self.is_ended = threading.Event()
        """Set once a connection has ended."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._mutex = threading.Lock()
        self._client: socket.socket | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._serve, self._beat)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        client = self._client
        if client is not None:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        self._server.close()

    def attack(self, packets: Iterable[bytes]) -> None:
        """Sends all of it, in between what the GX says; ends early with the connection."""
        for packet in packets:
            self._send(packet)

    def _send(self, data: bytes) -> None:
        with self._mutex, suppress(OSError):
            if self._client is not None:
                self._client.sendall(data)

    # --- its threads -----------------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._stopping.wait(HEARTBEAT_S):
            self._send(publish(f"N/{PORTAL}/heartbeat".encode(), value(1)))
            self._send(of_charger("Yield/Power", 64.5))

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                with client, suppress(OSError, ValueError):
                    self._talk(client)
                self._client = None
                self.is_ended.set()

    def _talk(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            while first := stream.read(1):
                length, shift = 0, 0
                while (byte := stream.read(1)[0]) > 127:
                    length, shift = length | (byte & 127) << shift, shift + 7
                body = stream.read(length | byte << shift)
                self._hear(client, first[0] >> 4, body)

    def _hear(self, client: socket.socket, kind: int, body: bytes) -> None:
        if kind == _CONNECT:
            client.sendall(CONNACK)
            self._client = client
        elif kind == _SUBSCRIBE:
            topics = len(re.findall(rb"N/", body))
            codes = (b"\x80" if self.refuses else b"\x00") * topics
            self._send(b"\x90" + bytes([2 + topics]) + body[:2] + codes)
            self._send(publish(f"N/{PORTAL}/system/0/Serial".encode(), value(PORTAL), 0x31))
        elif kind == _PINGREQ:
            self._send(PINGRESP)
        elif kind == _PUBLISH:
            self.keepalives += 1
            self._say_everything(body)

    def _say_everything(self, asked: bytes) -> None:
        for path, said in single_tracker().items():
            self._send(of_charger(path, said))
        if found := re.search(rb'echo": *"([^"]+)"', asked):
            echo = {"full-publish-completed-echo": found[1].decode(), "value": 1}
            topic = f"N/{PORTAL}/full_publish_completed".encode()
            self._send(publish(topic, json.dumps(echo).encode()))
