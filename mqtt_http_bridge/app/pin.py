"""The verb `pin`: fetches both certificates of a GX, to trust only those from then on.

The first time nothing vouches for what is fetched but the network it comes through: trust on first
use. From then on a certificate with another key is refused, here as everywhere.
"""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import network, tls
from mqtt_http_bridge.adapters.connection_error import failure_of
from mqtt_http_bridge.adapters.small_files import is_there
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.first_look import port_fix
from mqtt_http_bridge.core import proposal
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.fingerprint import FIRST_USE
from mqtt_http_bridge.core.settings import MqttSettings

MQTT_PORT: Final = 8883
WEB_PORT: Final = 443


def pin(
    host: str,
    port: int,
    output: Path,
    *,
    web_port: int,
    web_output: Path,
    fingerprint: str | None = None,
    web_fingerprint: str | None = None,
) -> None:
    """Saves the broker's certificate, and that of the web server where there is one.

    With a fingerprint, no other certificate is saved. Raises LocalFault.
    """
    try:
        pin_one(host, port, output, fingerprint)
    except OSError as error:
        raise LocalFault(_not_there(host, port, error)) from error
    try:
        pin_one(host, web_port, web_output, web_fingerprint)
        is_web = True
    except OSError as error:
        is_web = False
        if web_fingerprint is not None:
            raise LocalFault(
                f"{host}:{web_port}: expected a web server that speaks TLS, found none"
                f" ({error.strerror or error})"
            ) from error
        say(f"{host}:{web_port}: no web server that speaks TLS, which pair would need")
    if fingerprint is None or (web_fingerprint is None and is_web):
        for line in FIRST_USE:
            say(line)
    mqtt = MqttSettings((host,), port, tls=True, pinned_certificate=str(output))
    print("\n".join(proposal.mqtt_lines(mqtt)))


def _not_there(host: str, port: int, error: OSError) -> str:
    """Distinguishes a closed port, a port without TLS, and a name that does not resolve."""
    mqtt = MqttSettings(hosts=(host,), port=port, tls=True)
    failure = failure_of(error, mqtt, network.CONNECT_S)
    return f"{failure}: {port_fix(mqtt, failure)}"


def pin_one(host: str, port: int, output: Path, fingerprint: str | None = None) -> None:
    """Shows the certificate of one server, and saves it. Raises OSError and LocalFault."""
    shown = network.certificate(host, port)
    must_be(shown, fingerprint, f"{host}:{port}")
    save_certificate(output, shown.pem, shown.sha256)
    say(f"{host}:{port} shows a certificate with")
    say(f"  SHA-256  {shown.sha256}")
    say(f"  subject  {shown.subject}")
    say(f"  saved in {output}")


def must_be(shown: network.Certificate, fingerprint: str | None, where: str) -> None:
    """Raises LocalFault if a certificate has another fingerprint than the one asked for."""
    if fingerprint is not None and shown.sha256 != fingerprint:
        raise LocalFault(
            f"{where}: expected a certificate with the fingerprint {fingerprint}, found"
            f" {shown.sha256}: somebody else answers there, or the fingerprint is that of another"
            " certificate: a GX has one for MQTT and another one for the web"
        )


def must_hold_certificate(path: Path, what: str, command: str) -> None:
    """Raises ConfigError if the file that is named holds no certificate; `command` makes one."""
    try:
        tls.pinning(path)
    except tls.NoCertificate as error:
        raise ConfigError(
            f"{path}: expected {what} in PEM, found none: name the file that it is in, or run:"
            f" mqtt-http-bridge {command}"
        ) from error


def save_certificate(output: Path, pem: str, sha256: str) -> None:
    """Writes a certificate; a file with that of another key stays as it is. Raises LocalFault."""
    if is_there(output) and not is_pinned(pem, output):
        raise LocalFault(
            f"{output}: expected no file, or this certificate ({sha256}), found another:"
            " if the GX was reset or replaced, remove the file and run pin again"
        )
    temporary = output.with_name(f"{output.name}.new")
    try:
        temporary.write_text(pem, encoding="ascii")
        temporary.replace(output)
    except OSError as error:
        raise LocalFault(f"{output}: cannot be written: {error.strerror}") from error


def is_pinned(pem: str, path: Path) -> bool:
    """Tells whether a certificate has a key that the file at `path` pins."""
    try:
        return tls.is_pinned(pem, path)
    except tls.NoCertificate:
        return False
