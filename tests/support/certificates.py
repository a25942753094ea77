"""Makes server certificates for loopback: use them where a backend speaks TLS."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.faulty_backend import FaultyBackend
from tests.support.mosquitto import _find_program as find_program
from tests.support.mosquitto import _run as run

_CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = solar.example.org
[v3]
subjectAltName = IP:127.0.0.1
basicConstraints = critical, CA:true
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ca]
default_ca = here
[here]
database = {directory}/index
new_certs_dir = {directory}
serial = {directory}/serial
default_md = sha256
policy = any
x509_extensions = v3
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1, which is its own authority, and its key."""

    file: Path
    key_file: Path


def make_certificate(directory: Path, since: str = "2000", until: str = "2199") -> Certificate:
    """A certificate that is valid from one year to another."""
    config, request = directory / "config", directory / "request.pem"
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    config.write_text(_CONFIG.format(directory=directory), encoding="ascii")
    (directory / "index").touch()
    (directory / "serial").write_text("01\n", encoding="ascii")
    openssl, settings = find_program("openssl"), ["-config", str(config)]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(made.key_file), "-out", str(request)]
    run([openssl, "req", "-new", *settings, *key, *files])
    dates = ["-startdate", f"{since}0101000000Z", "-enddate", f"{until}0101000000Z"]
    files = ["-keyfile", str(made.key_file), "-in", str(request), "-out", str(made.file)]
    run([openssl, "ca", "-selfsign", "-batch", "-notext", *settings, *dates, *files])
    return made


class TlsBackend(FaultyBackend):
    """The same, but it speaks TLS."""

    def __init__(self, certificate: Certificate, **options: Any) -> None:
        super().__init__(**options)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.file, certificate.key_file)

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")

    def up(self) -> None:
        super().up()
        assert self._server is not None
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
