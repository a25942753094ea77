"""Tests how long a GX's web server may take to answer; `tests/app/test_pair.py` has the rest."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import pairing
from tests.support.bare_server import served_by
from tests.support.mosquitto import Certificate, make_certificate

LIMIT_S = 0.5
PATIENCE_S = 10.0
BEGINNINGS = (
    b"",
    b"HTTP/1.1 403 Forbidden\r\nX: ",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n",
)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """The certificate of the web server."""
    return make_certificate(tmp_path)


@pytest.fixture(params=BEGINNINGS, ids=["at once", "in the headers", "in the body"])
def port(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[int]:
    """A web server that sends its beginning, and from then on a byte now and then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65_536)
            tls.sendall(request.param)
            while not over.wait(LIMIT_S / 10):
                tls.sendall(b"x")

    with served_by(drip) as wire:
        try:
            yield int(wire.url.rpartition(":")[2])
        finally:
            over.set()


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(pairing, "LOOK_S", LIMIT_S)


def test_a_token_is_not_waited_for_for_ever(port: int, certificate: Certificate) -> None:
    """The limit is for the whole answer, not for each byte."""
    began_s = time.monotonic()
    with pytest.raises(pairing.NotAsked, match="expected an answer, found none"):
        pairing.request_token(
            "127.0.0.1",
            port,
            certificate=Path(certificate.certificate_file),
            device_id="a",
            password=None,
        )
    assert time.monotonic() - began_s < PATIENCE_S


@pytest.mark.parametrize("port", BEGINNINGS[:2], indirect=True, ids=["at once", "in the headers"])
def test_somebody_who_is_not_trusted_holds_nobody_up(port: int) -> None:
    """A server that has not answered in time offers nothing."""
    began_s = time.monotonic()
    assert not pairing.is_offered("127.0.0.1", port)
    assert time.monotonic() - began_s < PATIENCE_S
