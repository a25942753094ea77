"""Looks at a host from outside: its name, ports, certificate and protocol. Sends no secret."""

import hashlib
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from mqtt_http_bridge.adapters import tls
from mqtt_http_bridge.adapters.connection_error import failure_of
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.settings import MqttSettings

CONNECT_S: Final = 5.0


class Certificate(NamedTuple):
    """Holds the certificate that a server showed."""

    pem: str
    sha256: str
    """The fingerprint as people compare it: pairs of hex digits with colons."""
    subject: str

    def __str__(self) -> str:
        return f"SHA-256 {self.sha256}, subject {self.subject}"


def addresses(host: str) -> list[str]:
    """Looks up the addresses of a name. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def resolved(mqtt: MqttSettings) -> list[str] | BrokerFailure:
    """Looks up the addresses of the broker's host, or says why its name does not resolve."""
    try:
        return addresses(mqtt.host)
    except (OSError, UnicodeError) as error:
        return failure_at(mqtt, Cause.NAME_NOT_RESOLVED, words(error))


def port_failure(mqtt: MqttSettings) -> BrokerFailure | None:
    """Says why the broker's address cannot be reached; None if it can."""
    try:
        socket.create_connection((mqtt.host, mqtt.port), CONNECT_S).close()
    except OSError as error:
        # TLS has not been tried yet.
        return failure_of(error, mqtt._replace(tls=False), CONNECT_S)
    return None


def open_ports(host: str, ports: Iterable[int]) -> set[int]:
    """Returns those of the ports that accept connections."""
    every = MqttSettings(hosts=(host,))
    return {port for port in ports if port_failure(every._replace(port=port)) is None}


def certificate(host: str, port: int) -> Certificate:
    """Returns the certificate that a server shows, whoever it is. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _tls(host, port, context) as connection:
        der = connection.getpeercert(binary_form=True) or b""
    pem = ssl.DER_cert_to_PEM_cert(der)
    return Certificate(pem, fingerprint(der), _subject(host, port, pem))


def _subject(host: str, port: int, pem: str) -> str:
    """Returns the subject of a certificate, which is trusted here: else Python does not say it."""
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
    """Returns the SHA-256 of a certificate."""
    return hashlib.sha256(der).digest().hex(":").upper()


def trust_error(host: str, port: int, ca_file: str | None) -> str:
    """Returns why neither the system's authorities nor `ca_file` trust a server; or empty."""
    try:
        with _tls(host, port, tls.verifying(ca_file)):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or words(error)
    except OSError as error:
        return words(error)


def shown_certificate(host: str, port: int) -> str:
    """Describes the certificate that a server shows; empty if it shows none."""
    try:
        return str(certificate(host, port))
    except (OSError, ValueError):
        return ""


def speaks_tls(host: str, port: int) -> bool:
    """Tells whether a server speaks TLS, whoever it is."""
    return bool(shown_certificate(host, port))


def speaks_http(host: str, port: int) -> bool:
    """Tells whether a server answers HTTP without TLS."""
    try:
        with socket.create_connection((host, port), CONNECT_S) as connection:
            connection.sendall(f"HEAD / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            return connection.recv(5) == b"HTTP/"
    except (OSError, ValueError):
        return False


def words(error: Exception) -> str:
    """Returns the text of a network error; never empty."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def _tls(host: str, port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((host, port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection
