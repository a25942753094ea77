"""Holds the outcome of one request, before it is interpreted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

PROXY_LOGIN_REMEDY: Final = (
    "give it one in HTTP_PROXY and HTTPS_PROXY: http://user:password@host:port"
)
"""For a proxy on the way, whatever the backend."""


class Reply(NamedTuple):
    """Holds an HTTP answer."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None
    date: datetime | None = None
    """The time on the server's clock, to a second; None where it was not asked for."""
    location: str = ""
    """The target of a redirect, fit for one line of a log; empty where it tells none."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """Says that the request may have been sent, but no answer came, or none in HTTP."""

    reason: str
    """For people."""
    remedy: str = ""
    """The remedy, as an order without an end mark; empty if none is known."""
    is_of_tls: bool = False
    """True if TLS failed: a certificate was not trusted, or nothing in common was found."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Like `NoReply`, but no byte of the request was sent: there was no connection."""

    reason: str
    remedy: str = ""
    is_of_tls: bool = False


Answer = Reply | NoReply | NotSent
