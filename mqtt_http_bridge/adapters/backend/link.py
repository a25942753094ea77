"""Holds what all connections to one backend have in common, and makes them."""

import socket
import ssl
import time
from http.client import SWITCHING_PROTOCOLS, HTTPResponse
from pathlib import Path
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from mqtt_http_bridge.adapters.backend.deadline import Deadline, LimitedSocket
from mqtt_http_bridge.adapters.backend.keep_time import KeepTime
from mqtt_http_bridge.adapters.backend.tls import ResumingContext
from mqtt_http_bridge.core.settings import BackendSettings

UNHEARD_S: Final = 10.0
"""A connection whose other side acknowledges nothing for this long is dead: a mobile link was set
up again, or a router has forgotten it.
"""
_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake_or_not_s() -> float:
    """Reads a clock that also runs while the machine sleeps, if there is one."""
    return time.clock_gettime(_BOOT_CLOCK)


class Link:
    """Holds what the connections of all senders to one backend share. Several threads use it."""

    def __init__(self, settings: BackendSettings) -> None:
        self.keep_time = KeepTime(awake_or_not_s)
        self._settings = settings
        self._context: ResumingContext | None = None

    @property
    def context(self) -> ResumingContext:
        """Returns the context for new connections."""
        context = self._context  # Another thread may forget it at any moment.
        if context is None:
            context = self._context = ResumingContext(
                lambda: self._settings.ca_file or system_authorities(), awake_or_not_s
            )
        return context

    def forget(self) -> None:
        """Starts again after a failure: with a full handshake, and authorities that are read again.

        The session may be the cause, or the authority of the refused certificate may have been
        added.
        """
        self._context = None


def system_authorities() -> str:
    """Returns the path of the system's certificate authorities, or of those in requests."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return paths.cafile
    if paths.capath and any(Path(paths.capath).glob("*.0")):
        return paths.capath
    return str(requests.utils.DEFAULT_CA_BUNDLE_PATH)


class LinkAdapter(HTTPAdapter):
    """Makes connections that keep to a deadline, and that share a link. One thread uses it."""

    def __init__(self, link: Link, deadline: Deadline) -> None:
        self._link = link
        self._deadline = deadline
        super().__init__()

    def build_connection_pool_key_attributes(self, *arguments: Any) -> Any:
        """Adds the current context to what the connections of a pool have in common."""
        place, shared = super().build_connection_pool_key_attributes(*arguments)
        if place["scheme"] == "https":
            shared["ssl_context"] = self._link.context
        return place, shared

    def proxy_manager_for(self, proxy: Any, **keywords: Any) -> Any:
        """Makes the pools for connections through a proxy."""
        return super().proxy_manager_for(proxy, proxy_ssl_context=self._link.context, **keywords)

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Requires a certificate; the authorities are those of the context, which are read once."""
        conn.cert_reqs = "CERT_REQUIRED"

    def close(self) -> None:
        """Closes idle connections; the next ones use the context of that time."""
        super().close()
        self.proxy_manager.clear()

    def get_connection_with_tls_context(self, *arguments: Any, **keywords: Any) -> Any:
        """Returns the pool for a request; from now on it makes our kind of connection."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **keywords)
        pool.ConnectionCls = self._connecting(pool.ConnectionCls)
        return pool

    def _connecting(self, plain: Any) -> type[HTTPConnection]:
        """Makes our version of the connection class `plain`."""
        if getattr(plain, "is_ours", False):
            known: type[HTTPConnection] = plain
            return known
        deadline = self._deadline

        class Connection(plain):  # type: ignore[misc]
            is_ours = True
            response_class = FinalResponse
            _held: bytes | None = None

            def request(self, *arguments: Any, **keywords: Any) -> None:
                """Sends a request in one packet; separate headers would take one more."""
                self._held = b""
                try:
                    super().request(*arguments, **keywords)
                finally:
                    whole, self._held = self._held, None
                self.send(whole)

            def send(self, data: Any) -> None:
                if self._held is None:
                    super().send(data)
                else:
                    self._held += data

            def _new_conn(self) -> socket.socket:
                return _ours(super()._new_conn(), deadline)

        return Connection


class FinalResponse(HTTPResponse):
    """Begins with the final answer: any number of others (1xx) may come before it.

    The standard library skips only 100, and would leave the final answer for the next request.
    """

    def begin(self) -> None:
        """Reads up to the end of the headers."""
        super().begin()
        while 100 <= self.status < 200 and self.status != SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]
            super().begin()


def _ours(made: socket.socket, deadline: Deadline) -> LimitedSocket:
    """Makes a new connection keep to the deadline, and notice when it is dead."""
    timeout_s = made.gettimeout()
    ours = LimitedSocket(made.family, made.type, made.proto, made.detach())
    ours.settimeout(timeout_s)
    ours.deadline = deadline
    deadline.is_new = True
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNHEARD_S * 1000))
    return ours
