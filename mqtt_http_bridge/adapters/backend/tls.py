"""Resumes TLS sessions: new connections to a known server do not send certificates again.

A full handshake takes about 3 kB and most of the CPU time of a POST. Once a server has shown its
certificate, it hands out a ticket, which proves that the next connection is to the same server. So
a ticket is kept for one name and port, within one context, with one set of authorities. A day after
the certificate was last seen, it is checked again; otherwise nobody would notice that it has
expired.
"""

import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, cast

from urllib3.util.ssl_ import create_urllib3_context

from mqtt_http_bridge.adapters.backend.deadline import LimitedSocket, LimitedTlsSocket

Server = tuple[str | None, int]
"""The name in the certificate, and the port."""
LONGEST_UNSEEN_S: Final = 86_400.0
"""Seconds after a full handshake in which its sessions may be resumed."""


class ResumingSocket(LimitedTlsSocket):
    """Hands its session to its context with the first answer.

    With TLS 1.3 the ticket comes after the handshake, before the answer. Reading it takes a third
    of a millisecond, so it is done only once.
    """

    server: "Server"
    _is_kept = False

    def recv_into(self, *arguments: Any) -> Any:
        """Reads, in time."""
        count = super().recv_into(*arguments)
        if count and not self._is_kept:
            self._is_kept = True
            cast("ResumingContext", self.context).keep(self)
        return count


class ResumingContext(ssl.SSLContext):
    """Connects to servers whose certificates are checked. Several threads use it."""

    sslsocket_class = ResumingSocket

    def __new__(cls, *_: Any) -> Self:
        """Makes the context of a client, which checks certificates and their names."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, authorities: Callable[[], str], now_s: Callable[[], float]) -> None:
        """Uses `authorities`, which returns the file or the directory with the trusted ones."""
        super().__init__()
        usual = create_urllib3_context()
        self.minimum_version = usual.minimum_version
        # urllib3 disables tickets with TLS 1.2, in case a server never renews its keys.
        self.options = usual.options & ~ssl.OP_NO_TICKET
        self.verify_flags = usual.verify_flags
        self.hostname_checks_common_name = False
        super().set_alpn_protocols(["http/1.1"])
        self._authorities = authorities
        self._now_s = now_s
        self._loading = threading.Lock()
        self._is_loaded = False
        self._sessions: dict[Server, ssl.SSLSession] = {}
        self._seen_s: dict[Server, float] = {}
        """The last time that each server showed its certificate."""

    def wrap_socket(  # type: ignore[override]
        self, sock: LimitedSocket, *, server_hostname: str | None = None
    ) -> ResumingSocket:
        """Connects with TLS, and resumes the last session with this server if there is one."""
        self._load()
        server = server_hostname, sock.getpeername()[1]
        made = cast(
            "ResumingSocket",
            super().wrap_socket(
                sock,
                do_handshake_on_connect=False,
                server_hostname=server_hostname,
                session=self._session(server),
            ),
        )
        made.deadline, made.server = sock.deadline, server
        try:
            made.do_handshake()
        except BaseException:
            made.close()
            raise
        return made

    def wrap_bio(self, *arguments: Any, **keywords: Any) -> ssl.SSLObject:
        """Connects to a server behind a proxy that itself uses TLS."""
        self._load()
        return super().wrap_bio(*arguments, **keywords)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Does nothing: urllib3 would set the same ones again while other threads read them."""

    def keep(self, sock: ResumingSocket) -> None:
        """Keeps the session of a connection over which an answer has come."""
        if not sock.session_reused:
            self._seen_s[sock.server] = self._now_s()
        with suppress(ValueError):  # OpenSSL says that this session cannot be resumed.
            session = sock.session
            if session is not None:
                self._sessions[sock.server] = session

    def _session(self, server: Server) -> ssl.SSLSession | None:
        if self._now_s() - self._seen_s.get(server, 0.0) > LONGEST_UNSEEN_S:
            return None
        return self._sessions.get(server)

    def _load(self) -> None:
        """Reads the authorities, when the first connection needs them."""
        with self._loading:
            if not self._is_loaded:
                path = self._authorities()
                by_kind = {"capath": path} if Path(path).is_dir() else {"cafile": path}
                self.load_verify_locations(**by_kind)
                self._is_loaded = True
