"""Tests whom a pinned certificate trusts: one truth for `pin`, `run`, `check` and `pair`."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import tls
from mqtt_http_bridge.adapters.broker.trust import tls_context
from mqtt_http_bridge.app.check_gx import tls_finding
from mqtt_http_bridge.app.pin import pin_one
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.status.findings import Mark
from tests.support.mosquitto import Certificate, Mosquitto, _find_program, _run

TIMEOUT_S = 20.0
NAME = "broker.example.org"
OPENSSL = _find_program("openssl")
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `name` begins the names of its files."""

    directory: Path
    name: str

    @property
    def file(self) -> Path:
        return self.directory / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def sign(
        self, name: str, *, extensions: str, renews: Path | None = None, days: int = 30
    ) -> Path:
        """A certificate for `name`, for the key `renews` or a new one in `<name>.key`."""
        file, request = self.directory / f"{name}.pem", self.directory / f"{name}.req"
        if renews is None:
            key = [*CURVE, "-keyout", str(self.directory / f"{name}.key")]
        else:
            key = ["-key", str(renews)]
        _run([OPENSSL, "req", "-new", *key, "-subj", f"/CN={name}", "-out", str(request)])
        said = self.directory / "extensions"
        said.write_text(extensions, encoding="ascii")
        issuer = ["-CA", str(self.file), "-CAkey", str(self.key), "-CAcreateserial"]
        files = ["-in", str(request), "-out", str(file), "-extfile", str(said), "-days", str(days)]
        _run([OPENSSL, "x509", "-req", *issuer, *files])
        return file


AUTHORITY = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
SERVER = f"basicConstraints=CA:false\nsubjectAltName=DNS:{NAME}\n"


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    """An authority that nobody stands above."""
    root = Authority(tmp_path, "root")
    files = ["-keyout", str(root.key), "-out", str(root.file)]
    _run([OPENSSL, "req", "-x509", *CURVE, "-subj", "/CN=root", "-days", "30", *files])
    return root


@pytest.fixture
def middle(root: Authority) -> Authority:
    """One that the root vouches for."""
    root.sign("middle", extensions=AUTHORITY)
    return Authority(root.directory, "middle")


@contextmanager
def shown_by(certificate: Path, key: Path, *others: Path) -> Iterator[int]:
    """The port of a real broker that shows a certificate, and those of `others` with it."""
    chain = certificate.with_name("shown.pem")
    chain.write_text("".join(p.read_text() for p in (certificate, *others)), encoding="ascii")
    with Mosquitto(certificate=Certificate(certificate_file=chain, key_file=key)) as broker:
        yield broker.port


@contextmanager
def server(certificate: Path, key: Path) -> Iterator[int]:
    """The port of a server that does nothing but shake hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listening.accept()
                with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as one:
                    one.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(TIMEOUT_S)
        listening.close()


def verdicts(port: int, pinned: Path, capsys: pytest.CaptureFixture[str]) -> set[bool]:
    """Returns what `run`, `check` and `pin` make of a server, given `pinned`: trusted or not."""
    settings = MqttSettings(port=port, tls=True, pinned_certificate=str(pinned))
    before = pinned.read_bytes()
    found = {
        shakes_hands(tls_context(settings), port),
        tls_finding(settings).mark is Mark.OK,
        is_done(lambda: pin_one("127.0.0.1", port, pinned)),
    }
    pinned.write_bytes(before)
    capsys.readouterr()
    return found


def shakes_hands(context: ssl.SSLContext, port: int) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return True
    except tls.NotPinned:
        return False


def is_done(act: Callable[[], None]) -> bool:
    try:
        act()
    except LocalFault:
        return False
    return True


def pinned_from(port: int, directory: Path) -> Path:
    """The file that `pin` makes of what a server shows."""
    path = directory / "gx.pem"
    pin_one("127.0.0.1", port, path)
    return path


def test_a_certificate_of_an_authority(
    root: Authority, middle: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that `pin` saved is trusted: alone, with its chain, signed by one of the middle."""
    for authority, others in (
        (root, ()),
        (middle, (middle.file,)),
        (middle, (middle.file, root.file)),
    ):
        certificate = authority.sign("leaf", extensions=SERVER)
        with shown_by(certificate, tmp_path / "leaf.key", *others) as port:
            pinned = pinned_from(port, tmp_path)
            assert verdicts(port, pinned, capsys) == {True}
        pinned.unlink()


def test_a_chain_in_the_file(
    root: Authority, middle: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its certificates is one that may be shown, and none vouches for others."""
    certificate = middle.sign("leaf", extensions=SERVER)
    pinned = tmp_path / "chain.pem"
    parts = [p.read_text() for p in (certificate, middle.file, root.file)]
    pinned.write_text("# of the broker\n" + "\n".join(parts), encoding="ascii")
    with shown_by(certificate, tmp_path / "leaf.key", middle.file) as port:
        assert verdicts(port, pinned, capsys) == {True}
    other = middle.sign("other", extensions=SERVER)
    with shown_by(other, tmp_path / "other.key", middle.file) as port:
        assert verdicts(port, pinned, capsys) == {False}


def test_an_authority_vouches_for_nobody(
    root: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pinned is who has the key: what the authority signs for others is not, whoever they are."""
    certificate = root.sign("leaf", extensions=SERVER)
    with shown_by(certificate, tmp_path / "leaf.key", root.file) as port:
        assert verdicts(port, root.file, capsys) == {False}


def test_renewed_with_the_same_key(
    root: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is still the same server, also where it signs for itself, as a GX does."""
    key = tmp_path / "leaf.key"
    old = root.sign("leaf", extensions=SERVER)
    pinned = tmp_path / "gx.pem"
    pinned.write_bytes(old.read_bytes())
    renewed = root.sign("leaf", extensions=SERVER, renews=key)
    assert renewed.read_bytes() != pinned.read_bytes()
    by_itself = tmp_path / "itself.pem"
    files = ["-key", str(key), "-out", str(by_itself)]
    _run([OPENSSL, "req", "-x509", "-subj", "/CN=venus.local", "-days", "30", *files])
    for shown in (renewed, by_itself):
        with shown_by(shown, key) as port:
            assert verdicts(port, pinned, capsys) == {True}


def test_pin_keeps_up_with_a_renewed_certificate(root: Authority, tmp_path: Path) -> None:
    """The file then holds the new one."""
    key = tmp_path / "leaf.key"
    root.sign("leaf", extensions=SERVER)
    with server(tmp_path / "leaf.pem", key) as port:
        pinned = pinned_from(port, tmp_path)
    renewed = root.sign("leaf", extensions=SERVER, renews=key)
    with server(renewed, key) as port:
        pin_one("127.0.0.1", port, pinned)
    assert tls.certificates_in(pinned) == tls.certificates_in(renewed)


def test_renewed_with_another_key(
    root: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same name and the same authority: anybody may have that signed."""
    pinned = tmp_path / "gx.pem"
    pinned.write_bytes(root.sign("leaf", extensions=SERVER).read_bytes())
    with shown_by(root.sign("leaf", extensions=SERVER), tmp_path / "leaf.key") as port:
        assert verdicts(port, pinned, capsys) == {False}


def test_dates_do_not_count(
    root: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor a clock that is years off: who has the key has it at any time."""
    certificate = root.sign("leaf", extensions=SERVER, days=0)
    with shown_by(certificate, tmp_path / "leaf.key") as port:
        assert verdicts(port, pinned_from(port, tmp_path), capsys) == {True}


def test_an_authority_in_the_middle(root: Authority, middle: Authority, tmp_path: Path) -> None:
    """As `mqtt.ca_file` it is enough, on every Python alike; and another one is not."""
    certificate = middle.sign("leaf", extensions=SERVER)
    with server(certificate, tmp_path / "leaf.key") as port:
        for file, is_trusted in ((middle.file, True), (root.file, False)):
            context = tls_context(MqttSettings(tls=True, ca_file=str(file)))
            plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
            try:
                context.wrap_socket(plain, server_hostname=NAME).close()
            except ssl.SSLCertVerificationError:
                assert not is_trusted
            else:
                assert is_trusted
            plain.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----\n",
        b"\xff" * 100,
    ],
)
def test_what_is_no_certificate(content: bytes, tmp_path: Path) -> None:
    """The key that names the file is told."""
    path = tmp_path / "gx.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mqtt\.pinned_certificate: expected certificates in"):
        tls_context(MqttSettings(tls=True, pinned_certificate=str(path)))


def test_a_public_key(root: Authority) -> None:
    """A certificate gives the key that openssl takes out, and a broken one gives none."""
    (der,) = tls.certificates_in(root.file)
    key = root.directory / "public.pem"
    _run([OPENSSL, "x509", "-pubkey", "-noout", "-in", str(root.file), "-out", str(key)])
    found = ssl.DER_cert_to_PEM_cert(tls.public_key(der)).replace("CERTIFICATE", "PUBLIC KEY")
    assert "".join(found.split()) == "".join(key.read_text().split())
    for end in range(len(tls.public_key(der)) - 10):
        with pytest.raises(ValueError, match=r"cut off|expected a sequence"):
            tls.public_key(der[:end])
