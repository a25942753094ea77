"""Reads the HTTP that is needed here: the head of a request, and the host names that we accept."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

MOST_HEAD_BYTES: Final = 8192
LOCALHOST: Final = "localhost"
REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """Holds one request."""

    method: str
    path: str
    host: str | None
    """The name under which the client calls us; None: it does not say."""


class Incomplete(Exception):
    """Raised while the head of the request is incomplete."""


def read_head(received: bytes) -> Request:
    """Reads the request at the start of `received`. Raises Incomplete, and ValueError for none."""
    head, mark, _ = received.replace(b"\r\n", b"\n").lstrip(b"\n").partition(b"\n\n")
    if not mark:
        raise Incomplete
    first, *fields = head.decode("latin-1").split("\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("another protocol")
    hosts = [
        value.strip() for name, _, value in (f.partition(":") for f in fields) if is_host(name)
    ]
    if len(hosts) > 1:
        raise ValueError("several hosts")
    return Request(method, target.partition("?")[0], hosts[0] if hosts else None)


def is_host(name: str) -> bool:
    """Tells whether a header field is the one that names the host."""
    return name.lower() == "host"


def is_ours(host: str | None, names: Collection[str]) -> bool:
    """Tells whether a request can only have been meant for us.

    A web page can make its own name resolve to our address, so that its scripts can read our
    answers (DNS rebinding). IP addresses cannot be misused like that, and `localhost` and `names`
    are ours.
    """
    if host is None:
        return True  # Every browser sends it.
    name = _without_port(host).lower().rstrip(".")
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}") or name in names or _is_address(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, _, port = host[1:].partition("]")
        return "" if port and not port.startswith(":") else address
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def answer_head(status: int, fields: Collection[tuple[str, str]], body_bytes: int) -> bytes:
    """Makes the head of an answer."""
    lines = [f"HTTP/1.0 {status} {REASONS.get(status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    lines += [f"Content-Length: {body_bytes}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")
