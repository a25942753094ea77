"""Looks at a host from outside: name, port, certificate, the time it tells. Sends no secret."""

import hashlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server showed."""

    pem: str
    sha256: str
    """As people compare it: pairs of hex digits with colons."""
    subject: str

    def __str__(self) -> str:
        return f"SHA-256 {self.sha256}, subject {self.subject}"


def addresses(host: str) -> list[str]:
    """What the name stands for. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def port_error(host: str, port: int) -> str:
    """Why nothing can be reached there; empty if something can."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except TimeoutError:
        return f"no answer within {CONNECT_S:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def certificate(host: str, port: int) -> Certificate:
    """The certificate that a server shows, whoever it is. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _tls(host, port, context) as connection:
        der = connection.getpeercert(binary_form=True) or b""
    pem = ssl.DER_cert_to_PEM_cert(der)
    return Certificate(pem, fingerprint(der), _subject(host, port, pem))


def _subject(host: str, port: int, pem: str) -> str:
    """The subject of a certificate: Python tells it only of one it trusts, so this one is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    try:
        with _tls(host, port, context) as connection:
            found: Any = connection.getpeercert() or {}
    except ssl.SSLError as error:
        return f"unknown ({error.reason})"
    parts = [f"{_SHORT.get(name, name)}={value}" for ((name, value),) in found.get("subject", ())]
    return ", ".join(parts) or "empty"


_SHORT: Final = {"commonName": "CN", "organizationName": "O", "countryName": "C"}


def fingerprint(der: bytes) -> str:
    """The SHA-256 of a certificate."""
    return hashlib.sha256(der).digest().hex(":").upper()


def fingerprints_in(path: str) -> list[str]:
    """Those of all certificates in a PEM file; none if it cannot be read."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return []
    end = "-----END CERTIFICATE-----"
    blocks = [block[block.find("-----BEGIN") :] + end for block in text.split(end)[:-1]]
    try:
        return [fingerprint(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]
    except ValueError:
        return []


def trust_error(host: str, port: int, ca_file: str | None) -> str:
    """Why the system's authorities, or those in `ca_file`, do not vouch for a server; or empty."""
    try:
        with _tls(host, port, _trusting(ca_file)):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return error.strerror or str(error)


def http_time(url: str, ca_file: str | None) -> datetime | None:
    """The `Date` that an HTTP server tells, in UTC; None if it tells none, or is not trusted."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=CONNECT_S, context=_trusting(ca_file)
            )
        else:
            connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=CONNECT_S
            )
        connection.request("HEAD", parts.path or "/")
        date = connection.getresponse().getheader("Date")
        connection.close()
        return parsedate_to_datetime(date).astimezone(UTC) if date else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """What trusts the system's authorities, or those in a file, on every Python alike.

    From Python 3.13 on the default refuses certificates that are not to the letter of RFC 5280.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@contextmanager
def _tls(host: str, port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((host, port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection
