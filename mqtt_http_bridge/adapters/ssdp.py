"""Searches the local network for GX devices by SSDP, on every interface, for some seconds.

What an answer may make us do is in `core.venus.announcement`; the limits of time, size and number
are here. IPv4 alone: a GX announces nothing else.
"""

import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Final

from mqtt_http_bridge.core.venus.announcement import (
    MOST_XML_BYTES,
    TARGETS,
    Announcement,
    Found,
    Location,
    NoAnnouncement,
    NotFollowed,
    announcement_in,
    description_request,
    is_whole,
    location_in,
    search_request,
)

GROUP: Final = "239.255.255.250"
PORT: Final = 1900
SEARCH_S: Final = 3.0
ASKED_AT_S: Final = (0.0, 0.8)
"""Seconds after the start at which each question is sent: a datagram may get lost."""
SPREAD_S: Final = 1
"""Seconds over which devices should spread their answers."""
FETCH_S: Final = 2.0
"""The longest time for a whole description."""
MOST_INTERFACES: Final = 64
MOST_ANSWERS: Final = 1000
MOST_DESCRIPTIONS: Final = 64
MOST_FROM_ONE: Final = 4
"""The most descriptions to fetch from one machine."""
MOST_REMARKS: Final = 5
FETCHERS: Final = 16
MOST_RESPONSE_BYTES: Final = MOST_XML_BYTES + 8192


def search(
    *,
    group: str = GROUP,
    port: int = PORT,
    interfaces: Sequence[str] | None = None,
    search_s: float = SEARCH_S,
) -> Found:
    """Asks on `interfaces`, or on all, and listens for `search_s`.

    It ends within FETCH_S after that, whatever answers. If nothing can be sent, nothing is found.
    Raises OSError if this machine has no room for another socket.
    """
    ends_s = time.monotonic() + search_s
    with ExitStack() as stack:
        sockets = [stack.enter_context(each) for each in _sockets(interfaces)]
        if not sockets:
            return Found()
        fetchers = stack.enter_context(ThreadPoolExecutor(FETCHERS, "description"))
        harvest = _Harvest(fetchers, ends_s + FETCH_S)
        with selectors.DefaultSelector() as selector:
            for each in sockets:
                selector.register(each, selectors.EVENT_READ)
            _listen(selector, harvest, (group, port), ends_s)
        return harvest.found()


def _sockets(interfaces: Sequence[str] | None) -> Iterator[socket.socket]:
    """Returns a socket for each interface, which sends only there."""
    try:
        known = socket.if_nameindex()[:MOST_INTERFACES]
    except OSError:
        return
    for index, name in known:
        if interfaces is not None and name not in interfaces:
            continue
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
            request = struct.pack("4s4si", b"\0" * 4, b"\0" * 4, index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        except OSError:
            made.close()
            continue
        yield made


def _listen(
    selector: selectors.BaseSelector, harvest: "_Harvest", to: tuple[str, int], ends_s: float
) -> None:
    began_s = time.monotonic()
    questions = [began_s + at_s for at_s in ASKED_AT_S]
    while (now_s := time.monotonic()) < ends_s:
        if questions and now_s >= questions[0]:
            questions.pop(0)
            for key in selector.get_map().values():
                _ask(key.fileobj, to)
        until_s = min([ends_s, *questions])
        for key, _ in selector.select(max(0.0, until_s - time.monotonic())):
            _take(key.fileobj, harvest)


def _ask(sender: object, to: tuple[str, int]) -> None:
    if isinstance(sender, socket.socket):
        for target in TARGETS:
            # The interface is down, or has no IPv4 address.
            with suppress(OSError):
                sender.sendto(search_request(target, *to, SPREAD_S), to)


def _take(receiver: object, harvest: "_Harvest") -> None:
    if isinstance(receiver, socket.socket):
        with suppress(OSError):
            reply, (address, _) = receiver.recvfrom(4096)
            harvest.take(reply, address)


class _Harvest:
    """Collects the answers to one search, and what they lead to. For one thread."""

    def __init__(self, fetchers: ThreadPoolExecutor, ends_s: float) -> None:
        self._fetchers = fetchers
        self._ends_s = ends_s
        self._answers = 0
        self._by_sender = Counter[str]()
        self._fetched: dict[Location, Future[Announcement | None]] = {}
        self._remarks: dict[str, None] = {}

    def take(self, reply: bytes, sender: str) -> None:
        """Follows an answer, unless it was followed before or there are too many."""
        self._answers += 1
        if self._answers > MOST_ANSWERS:
            return
        try:
            location = location_in(reply, sender)
        except NoAnnouncement:
            return
        except NotFollowed as error:
            self._remarks.setdefault(f"{error}: not followed")
            return
        if location in self._fetched or len(self._fetched) >= MOST_DESCRIPTIONS:
            return
        self._by_sender[sender] += 1
        if self._by_sender[sender] <= MOST_FROM_ONE:
            self._fetched[location] = self._fetchers.submit(_describe, location, self._ends_s)

    def found(self) -> Found:
        """Waits for what is being fetched, which has a limit each."""
        results = [future.result() for future in self._fetched.values()]
        announcements = sorted({each for each in results if each}, key=_place)
        return Found(tuple(announcements), tuple(self._remarks)[:MOST_REMARKS])


def _place(announcement: Announcement) -> tuple[bytes, str]:
    return socket.inet_aton(announcement.address), announcement.portal_id


def _describe(location: Location, ends_s: float) -> Announcement | None:
    """Fetches a device's description; None if it is no GX, or is too slow."""
    try:
        response = _fetch(location, min(ends_s, time.monotonic() + FETCH_S))
        return announcement_in(response, location.address)
    except (OSError, NoAnnouncement):
        return None


def _fetch(location: Location, ends_s: float) -> bytes:
    """Reads until the other side has finished, or MOST_RESPONSE_BYTES have come. Raises OSError."""
    response = b""
    to = (location.address, location.port)
    with socket.create_connection(to, _left_s(ends_s)) as connection:
        connection.settimeout(_left_s(ends_s))
        connection.sendall(description_request(location))
        while len(response) < MOST_RESPONSE_BYTES and not is_whole(response):
            connection.settimeout(_left_s(ends_s))
            more = connection.recv(8192)
            if not more:
                break
            response += more
    return response


def _left_s(ends_s: float) -> float:
    """Returns how much time is left. Raises TimeoutError if none is."""
    left_s = ends_s - time.monotonic()
    if left_s <= 0.0:
        raise TimeoutError("no time left")
    return left_s
