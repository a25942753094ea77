"""Plays devices that answer a search by SSDP, on loopback alone: an honest GX, and liars.

From docs/gx.md, "Finding a GX": a GX answers an M-SEARCH with a LOCATION, whose XML holds the
manufacturer, names, and the portal id. The group is the real one and the port a free one; it is
joined on the loopback interface, so nothing reaches the network.
"""

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

GROUP = "239.255.255.250"
LOOPBACK = "lo"
DEVICE = "urn:schemas-upnp-org:device-1-0"
VENUS = "urn:schemas-victronenergy-com:venusinfo-1"


def description(
    portal_id: str = "c0619ab2f7e1",
    *,
    name: str = "Workshop",
    version: str = "v3.80",
    mqtt: str = "1",
    pairing: str = "1",
    manufacturer: str = "Victron Energy",
) -> bytes:
    """The XML of a GX."""
    venus = f'xmlns:ve="{VENUS}"'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<root xmlns="{DEVICE}">
  <specVersion><major>1</major><minor>0</minor></specVersion>
  <device>
    <deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType>
    <friendlyName>{name}</friendlyName>
    <manufacturer>{manufacturer}</manufacturer>
    <modelName>Cerbo GX</modelName>
    <serialNumber>HQ1940ABCDE</serialNumber>
    <UDN>uuid:com.victronenergy.ccgx.{portal_id}</UDN>
    <ve:X_VrmPortalId {venus}>{portal_id}</ve:X_VrmPortalId>
    <ve:X_VenusVersion {venus}>{version}</ve:X_VenusVersion>
    <ve:X_MqttOnLan {venus}>{mqtt}</ve:X_MqttOnLan>
    <ve:X_MqttTokenPairing {venus}>{pairing}</ve:X_MqttTokenPairing>
  </device>
</root>
""".encode()


def response(body: bytes) -> bytes:
    """Returns what a web server makes of a file."""
    head = f"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Device:
    """Something that is announced at an address of loopback, with a web server of its own."""

    def __init__(
        self,
        xml: bytes = b"",
        *,
        address: str = "127.0.0.1",
        location: str | None = None,
        reply: bytes | None = None,
        serve: Callable[[socket.socket, threading.Event], None] | None = None,
    ) -> None:
        """Opens a web server, which sends `xml`, or does with a connection what `serve` does.

        `location` is where it sends us, {port} being its own port there; `reply` its whole answer.
        """
        self.address = address
        self.fetched = 0
        self.closing = threading.Event()
        self._xml = xml
        self._serve = serve or self._send
        self._server = socket.create_server((address, 0))
        self.port = int(self._server.getsockname()[1])
        place = (location or f"http://{address}:{{port}}/gx.xml").format(port=self.port)
        self.reply = (
            reply
            or (
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:Basic:1\r\n"
                f"USN: uuid:com.victronenergy.ccgx\r\nLocation: {place}\r\n\r\n"
            ).encode()
        )
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.fetched += 1
            with connection, suppress(OSError):
                connection.settimeout(10.0)
                self._serve(connection, self.closing)

    def _send(self, connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(response(self._xml))

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


class Network:
    """Devices that share one group on loopback; use it as a context manager, which closes them."""

    def __init__(self, devices: Sequence[Device] = ()) -> None:
        self._devices = devices
        self.questions: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((GROUP, 0))
        self.port = int(self._socket.getsockname()[1])
        index = socket.if_nametoindex(LOOPBACK)
        request = struct.pack("4s4si", socket.inet_aton(GROUP), b"\0" * 4, index)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            index = socket.if_nametoindex(LOOPBACK)
            request = struct.pack("4s4si", b"\0" * 4, b"\0" * 4, index)
            waker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
            waker.sendto(b"", (GROUP, self.port))
            self._thread.join()
        self._socket.close()
        for device in self._devices:
            device.close()

    def _run(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(4096)
            if not question:
                return
            self.questions.append(question)
            for device in self._devices:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
                    answering.bind((device.address, 0))
                    answering.sendto(device.reply, asker)
