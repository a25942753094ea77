"""The search for GX devices by SSDP: what is asked, and what the answers mean.

A GX answers an M-SEARCH with the address of an XML file that describes it (docs/gx.md, "Finding a
GX"). But anybody else can answer too, with anything: an answer only says where to look, never what
to trust. It is followed only to the machine that sent it, only within the local network, and only
over plain HTTP to a numeric address; the XML may have no document type, which is where entities
come from, and has to be small.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from xml.parsers import expat

from mqtt_http_bridge.core.venus.topics import is_portal_id
from mqtt_http_bridge.core.words import visible

TARGETS: Final = ("urn:schemas-upnp-org:device:Basic:1", "upnp:rootdevice")
"""The device type that a GX announces, and the one that every device answers to."""
MOST_XML_BYTES: Final = 32_768
"""The description of a GX has 2,000 or so."""
MOST_PATH_CHARACTERS: Final = 200
MOST_TEXT_CHARACTERS: Final = 64
MANUFACTURER: Final = "Victron Energy"
_UPNP: Final = "urn:schemas-upnp-org:device-1-0"
_VENUS: Final = "urn:schemas-victronenergy-com:venusinfo-1"
_WANTED: Final = {
    f"{_UPNP} {name}": name for name in ("manufacturer", "friendlyName", "modelName")
} | {
    f"{_VENUS} {name}": name
    for name in ("X_VrmPortalId", "X_VenusVersion", "X_MqttOnLan", "X_MqttTokenPairing")
}


class NoAnnouncement(ValueError):
    """It is not the answer of a GX."""


class NotFollowed(ValueError):
    """An answer points to a place where no GX would; the text says where."""


class Location(NamedTuple):
    """The place from which the description of a device is to be fetched."""

    address: str
    port: int
    path: str


class Announcement(NamedTuple):
    """A claim that there is a GX at an address. All of it may be a lie; all texts are visible."""

    address: str
    portal_id: str
    name: str = ""
    model: str = ""
    version: str = ""
    has_mqtt: bool | None = None
    """True if MQTT is open to the network; None: it does not say."""
    has_pairing: bool = False

    def __str__(self) -> str:
        parts = [self.name or self.model or "a GX"]
        if self.model and self.model != parts[0]:
            parts.append(self.model)
        parts += [self.address, f"portal id {self.portal_id}"]
        if self.version:
            parts.append(f"Venus OS {self.version}")
        if self.has_mqtt is not None:
            parts.append(f"MQTT {'on' if self.has_mqtt else 'off'}")
        return ", ".join(parts)


class Found(NamedTuple):
    """The outcome of a search."""

    announcements: tuple[Announcement, ...] = ()
    """Sorted by address, each once."""
    remarks: tuple[str, ...] = ()
    """Answers that were not followed, described for people."""
    by_name: str = ""
    """The address of `venus.local`, where no GX answered and this name stands for one."""


def search_request(target: str, group: str, port: int, wait_s: int) -> bytes:
    """Returns the M-SEARCH for one of TARGETS; devices spread their answers over `wait_s`."""
    lines = [
        "M-SEARCH * HTTP/1.1",
        f"HOST: {group}:{port}",
        'MAN: "ssdp:discover"',
        f"MX: {wait_s}",
        f"ST: {target}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def location_in(reply: bytes, sender: str) -> Location:
    """Reads where an answer sends us.

    Raises NoAnnouncement, and NotFollowed for a place that is not the sender's own.
    """
    lines = reply.decode("ascii", errors="replace").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 200"):
        raise NoAnnouncement("no answer to a search")
    fields = (line.partition(":") for line in lines[1:])
    places = [value.strip() for name, _, value in fields if name.strip().upper() == "LOCATION"]
    if len(places) != 1:
        raise NoAnnouncement("an answer without a place")
    return _own_location(places[0], sender)


def _own_location(url: str, sender: str) -> Location:
    shown = visible(url[:100])
    try:
        parts = urlsplit(url)
        host, port = IPv4Address(parts.hostname or ""), parts.port or 80
    except ValueError as error:
        raise NotFollowed(f"{sender} sends us to {shown}, which is no address") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_tame = path.isascii() and path.isprintable() and " " not in path
    if parts.scheme != "http" or "@" in parts.netloc or not is_tame:
        raise NotFollowed(f"{sender} sends us to {shown}, which is not plain HTTP")
    if len(path) > MOST_PATH_CHARACTERS:
        raise NotFollowed(f"{sender} sends us to {shown}..., which is too long")
    if str(host) != sender:
        raise NotFollowed(f"{sender} sends us to {shown}, which is another machine")
    if host.is_global or host.is_multicast or host.is_unspecified:
        raise NotFollowed(f"{sender} sends us to {shown}, which is not in a local network")
    return Location(sender, port, path)


def description_request(location: Location) -> bytes:
    """Returns the request for a description: HTTP/1.0, so that the answer comes in one piece."""
    host = location.address if location.port == 80 else f"{location.address}:{location.port}"
    lines = [f"GET {location.path} HTTP/1.0", f"Host: {host}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii")


def is_whole(response: bytes) -> bool:
    """Tells whether everything announced in the head of a response has come."""
    head, found, body = response.partition(b"\r\n\r\n")
    lengths = [value for name, value in _fields(head) if name == b"content-length"]
    return bool(found and lengths and lengths[0].isdigit() and len(body) >= int(lengths[0][:9]))


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip()


def announcement_in(response: bytes, address: str) -> Announcement:
    """Reads the description of a GX out of an HTTP response. Raises NoAnnouncement."""
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if status[1:2] != [b"200"] or not status[0].startswith(b"HTTP/1."):
        raise NoAnnouncement("no description")
    texts = _texts_in(body)
    if texts.get("manufacturer") != MANUFACTURER or "X_VrmPortalId" not in texts:
        raise NoAnnouncement("not a GX")
    if not is_portal_id(texts["X_VrmPortalId"]):
        raise NoAnnouncement("an invalid portal id")
    return Announcement(
        address=address,
        portal_id=texts["X_VrmPortalId"],
        name=_shown(texts, "friendlyName"),
        model=_shown(texts, "modelName"),
        version=_shown(texts, "X_VenusVersion"),
        has_mqtt={"0": False, "1": True}.get(texts.get("X_MqttOnLan", "")),
        has_pairing=texts.get("X_MqttTokenPairing") == "1",
    )


def _shown(texts: Mapping[str, str], name: str) -> str:
    return visible(texts.get(name, "")[:MOST_TEXT_CHARACTERS])


def _texts_in(xml: bytes) -> dict[str, str]:
    """Reads the elements of the outermost device that are wanted, each the first time it stands."""
    if len(xml) > MOST_XML_BYTES:
        raise NoAnnouncement("a description that is too long")
    reader = _Reader()
    try:
        reader.parser.Parse(xml, True)
    except NoAnnouncement:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise NoAnnouncement("a description that is not XML") from error
    return {name: text.strip() for name, text in reader.texts.items()}


_PATH: Final = [f"{_UPNP} root", f"{_UPNP} device"]


class _Reader:
    """Follows the elements of one document."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = lambda name, attributes: self._start(name)
        self.parser.EndElementHandler = lambda name: self._open.pop()
        self.parser.CharacterDataHandler = self._read

    def _refuse(self, *_: object) -> None:
        raise NoAnnouncement("a description with a document type")

    def _start(self, name: str) -> None:
        self._open.append(name)
        if (wanted := self._wanted()) and wanted in self.texts:
            raise NoAnnouncement("a description with a duplicate value")
        if wanted:
            self.texts[wanted] = ""

    def _read(self, text: str) -> None:
        if wanted := self._wanted():
            self.texts[wanted] += text

    def _wanted(self) -> str | None:
        return _WANTED.get(self._open[-1]) if self._open[:-1] == _PATH else None
