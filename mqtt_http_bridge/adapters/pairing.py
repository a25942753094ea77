"""Obtains a token from a GX over HTTPS, trusting one pinned certificate and nothing else."""

import base64
import http.client
import ssl
import time
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.adapters import tls
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.venus import pairing
from mqtt_http_bridge.core.venus.pairing import NoToken, Token

USER: Final = "remoteconsole"
"""The GX accepts any name; its own pages send this one."""
TIMEOUT_S: Final = 15.0
"""For the connection, and once more for the whole answer."""
LOOK_S: Final = 5.0
"""The same for somebody who is not trusted yet."""
MAX_ANSWER_BYTES: Final = 10_000


class NotAsked(LocalFault):
    """Raised if there was no answer that could be trusted."""


def request_token(
    host: str, port: int, *, certificate: Path, device_id: str, password: Secret | None
) -> Token:
    """Requests a token, with the GX's password or, without one, in its pairing mode.

    `certificate` is that of the GX's web server: nothing is sent to anybody with a different key.
    Raises NoToken, and NotAsked; their texts hold no secret.
    """
    where = f"https://{host}:{port}{pairing.PATH}"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if password is not None:
        login = base64.b64encode(f"{USER}:{password.reveal()}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    form = pairing.form(pairing.ROLE, device_id)
    connection = _connection(host, port, TIMEOUT_S, _context(certificate))
    try:
        connection.request("POST", pairing.PATH, form, headers)
        response = connection.getresponse()
        status, body = response.status, response.read(MAX_ANSWER_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise NotAsked(
            f"{where}: expected the certificate in {certificate}, found another"
            f" ({error.verify_message}): if the GX was reset or replaced, remove that file and run"
            " pin again; else somebody else answers there"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise NotAsked(f"{where}: expected an answer, found none: {error}") from error
    finally:
        connection.close()
    name = pairing.token_name(pairing.ROLE, device_id)
    try:
        return pairing.token_in(status, body, name=name, has_password=password is not None)
    except NoToken as error:
        raise NoToken(error.refusal, f"{where}: {error}") from error


class _LimitedSocket(ssl.SSLSocket):
    """Waits for an answer no longer than its own time-out in all, however little comes at a time.

    The time-out of a socket is for a single wait: a byte now and then would hold us up for ever.
    """

    ends_s: float | None = None

    def recv_into(self, *arguments: Any) -> int:
        """Reads into a buffer, in time. Raises TimeoutError."""
        if self.ends_s is None:
            self.ends_s = time.monotonic() + (self.gettimeout() or TIMEOUT_S)
        left_s = self.ends_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the answer takes too long")
        self.settimeout(left_s)
        return super().recv_into(*arguments)


def _connection(
    host: str, port: int, timeout_s: float, context: ssl.SSLContext
) -> http.client.HTTPSConnection:
    # It stays what it was, too: the context may have a socket that checks whom it talks to.
    kind = type("LimitedSocket", (_LimitedSocket, context.sslsocket_class), {})
    context.sslsocket_class = kind
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def _context(certificate: Path) -> ssl.SSLContext:
    try:
        return tls.pinning(certificate)
    except tls.NoCertificate as error:
        raise NotAsked(
            f"{certificate}: expected the certificate of the GX's web server in PEM, found none:"
            " run pin first"
        ) from error


def is_offered(host: str, port: int) -> bool:
    """Tells whether a GX seems to support pairing. Sends no secret, and trusts nobody.

    It raises nothing: a server that does not answer offers nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = _connection(host, port, LOOK_S, context)
    try:
        # The GX only accepts POST there, and says so.
        connection.request("GET", pairing.PATH)
        return connection.getresponse().status in (400, 401, 403, 405)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
