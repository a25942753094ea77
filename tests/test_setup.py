"""`discover`, `pin` and `pair`: from a GX to a config that works, and to no secret in the open."""

import base64
import json
import os
import ssl
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app import listen
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from tests.charger_values import multi_tracker, single_tracker
from tests.gx import PORTAL_ID, StandInGx
from tests.mosquitto import Certificate, Login, Mosquitto, make_certificate

SECRET = "correct horse battery"
PASSWORD_VARIABLE = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """An open broker."""
    with Mosquitto() as broker:
        yield broker


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker as the GX has it by default: TLS and a password."""
    (tmp_path / "broker").mkdir()
    certificate = make_certificate(tmp_path / "broker")
    login = Login(user="mqtt-http-bridge", password=SECRET)
    with Mosquitto(certificate=certificate, login=login) as broker:
        yield broker


def told(capsys: pytest.CaptureFixture[str], *argv: str, status: int = DONE) -> tuple[str, str]:
    """What a command prints on stdout and stderr; no secret may be in either."""
    assert main(argv) == status
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    return captured.out, captured.err


# --- discover ------------------------------------------------------------------------------------


def test_discover_prints_a_config_that_works(
    broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints is a config: with a key beside it, it is read, and fits the GX."""
    with StandInGx(broker, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        gx.add("multi", 1, multi_tracker())
        out, err = told(capsys, "discover", "127.0.0.1", "--port", str(broker.port))
    (tmp_path / "config.yaml").write_text(out, encoding="utf-8")
    (tmp_path / "api_key.txt").write_text("key\n", encoding="utf-8")
    settings = load(tmp_path / "config.yaml", {})
    assert settings.mqtt.portal_ids == (PORTAL_ID,)
    assert settings.mqtt.services == ("solarcharger", "multi")
    assert (settings.mqtt.host, settings.mqtt.port) == ("127.0.0.1", broker.port)
    assert "HQ2211AAAA1 'South roof'" in err
    assert "1234567 HQ2233RS45X 'MPPT RS barn'" in err
    assert "not listened to" not in err


def test_discover_names_chargers_without_a_serial(
    broker: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line to fill in is there."""
    with StandInGx(broker, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker(serial=None))
        out, _ = told(capsys, "discover", "--port", str(broker.port))
    assert list(yaml.safe_load(out)["device"]["serials"]) == [277]


def test_discover_a_secured_gx(
    secured: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pin, then discover with the certificate and the password: both come out as names of files."""
    port = str(secured.port)
    told(capsys, "pin", "127.0.0.1", "--port", port)
    (tmp_path / "password").write_text(SECRET + "\n", encoding="utf-8")
    with StandInGx(secured, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        arguments = ("discover", "127.0.0.1", "--port", port, "--certificate", "gx.pem")
        out, _ = told(capsys, *arguments, "--password-file", "password")
        monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
        again, _ = told(capsys, *arguments)
    assert again == out
    mqtt = yaml.safe_load(out)["mqtt"]
    assert (mqtt["tls"], mqtt["pinned_certificate"]) == (True, "gx.pem")
    assert mqtt["password_file"] == "gx_password.txt"


def test_discover_is_refused(secured: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the password: what to set, and where the GX shows it."""
    port = str(secured.port)
    told(capsys, "pin", "127.0.0.1", "--port", port)
    out, err = told(
        capsys, "discover", "127.0.0.1", "--port", port, "--certificate", "gx.pem", status=FAILED
    )
    assert out == ""
    assert "Access & Security" in err


def test_discover_finds_nothing(
    broker: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed port, and a broker that is none of a GX."""
    monkeypatch.setattr(listen, "ANSWER_S", 0.3)
    _, err = told(capsys, "discover", "--port", str(broker.port), status=FAILED)
    assert "the broker tells none" in err
    broker.stop()
    _, err = told(capsys, "discover", "--port", str(broker.port), status=FAILED)
    assert "Connection refused" in err
    assert "MQTT Access" in err


# --- pin -----------------------------------------------------------------------------------------


def test_pin(secured: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The certificate is saved, its fingerprint shown, and the lines make it the trusted one."""
    out, err = told(capsys, "pin", "127.0.0.1", "--port", str(secured.port), "-o", "cerbo.pem")
    assert secured.certificate is not None
    assert (tmp_path / "cerbo.pem").read_text() == secured.certificate.certificate_file.read_text()
    assert "CN=venus.local" in err
    assert "SHA-256" in err
    assert yaml.safe_load(out)["mqtt"] == {
        "host": "127.0.0.1",
        "port": secured.port,
        "tls": True,
        "pinned_certificate": "cerbo.pem",
    }


def test_pin_twice(secured: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same certificate again is fine; another one does not silently take its place."""
    arguments = ("pin", "127.0.0.1", "--port", str(secured.port))
    told(capsys, *arguments)
    told(capsys, *arguments)
    (tmp_path / "other").mkdir()
    secured.stop()
    secured.certificate = make_certificate(tmp_path / "other")
    secured.start()
    before = (tmp_path / "gx.pem").read_text()
    _, err = told(capsys, *arguments, status=FAILED)
    assert "remove the file and run pin again" in err
    assert (tmp_path / "gx.pem").read_text() == before


def test_pin_without_tls(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that speaks no TLS."""
    _, err = told(capsys, "pin", "127.0.0.1", "--port", str(broker.port), status=FAILED)
    assert "expected a server that speaks TLS" in err


def test_port_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends before anything is done."""
    with pytest.raises(SystemExit) as caught:
        main(["pin", "127.0.0.1", "--port", "99999"])
    assert caught.value.code == WRONG_USAGE
    assert "expected a number from 1 to 65535" in capsys.readouterr().err


# --- pair ----------------------------------------------------------------------------------------


class GxWeb(HTTPServer):
    """The HTTPS side of a GX with Venus OS v3.80, as its sources describe it."""

    def __init__(self, certificate: Certificate) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.is_window_open = False
        self.status: int | None = None
        super().__init__(("127.0.0.1", 0), _Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust us hang up."""


class _Answer(BaseHTTPRequestHandler):
    server: GxWeb

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        login = base64.b64encode(f"remoteconsole:{SECRET}".encode()).decode()
        is_in = self.headers.get("Authorization") == f"Basic {login}" or self.server.is_window_open
        status = self.server.status or (200 if is_in else 401)
        if self.path != "/auth/generate-token/":
            status = 404
        self.send_response(status)
        self.end_headers()
        if status == 200:
            self.server.forms.append(form)
            name = f"token/{form['role'][0]}/{form['device_id'][0]}"
            self.wfile.write(json.dumps({"token_name": name, "password": "tok-SECRET"}).encode())

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[GxWeb]:
    """A GX that pairs; its certificate is in gx.pem."""
    (tmp_path / "web").mkdir()
    certificate = make_certificate(tmp_path / "web")
    (tmp_path / "gx.pem").write_text(certificate.certificate_file.read_text(), encoding="ascii")
    server = GxWeb(certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def pair(web: GxWeb, *more: str) -> tuple[str, ...]:
    return ("pair", "127.0.0.1", "--port", str(web.server_port), *more)


def test_pair_with_the_password(
    web: GxWeb,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token is in a file for its owner alone, whatever the umask, and on no screen."""
    monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
    before = os.umask(0)
    try:
        out, err = told(capsys, *pair(web))
    finally:
        os.umask(before)
    path = tmp_path / "gx_token.txt"
    assert path.read_text(encoding="utf-8") == "tok-SECRET\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "tok-SECRET" not in out + err
    (form,) = web.forms
    assert form["role"] == ["mqtt-http-bridge"]
    mqtt = yaml.safe_load(out)["mqtt"]
    assert mqtt["username"] == f"token/mqtt-http-bridge/{form['device_id'][0]}"
    assert mqtt["password_file"] == "gx_token.txt"


def test_the_token_works(web: GxWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the pairing window no password is needed; the lines printed log in at a broker."""
    web.is_window_open = True
    out, _ = told(capsys, *pair(web))
    mqtt = yaml.safe_load(out)["mqtt"]
    certificate = Certificate(
        certificate_file=tmp_path / "web" / "certificate.pem", key_file=tmp_path / "web" / "key.pem"
    )
    login = Login(user=mqtt["username"], password="tok-SECRET")
    with Mosquitto(certificate=certificate, login=login) as broker, StandInGx(broker) as gx:
        gx.add("solarcharger", 277, single_tracker())
        mqtt["port"] = broker.port
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"mqtt": mqtt}), encoding="utf-8")
        settings = load(path, {}, needs_backend=False)
        heard = listen.listen(settings.mqtt, settings.device)
    assert heard.is_connected
    assert [charger.serial for charger in heard.gxs[PORTAL_ID].chargers] == ["HQ2211AAAA1"]


@pytest.mark.parametrize(
    ("status", "todo"),
    [(401, "pairing window"), (404, "v3.80"), (500, "found status 500")],
)
def test_pair_is_refused(
    web: GxWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, todo: str
) -> None:
    """Each refusal says what to do, and leaves no file behind."""
    web.status = status
    _, err = told(capsys, *pair(web), status=FAILED)
    assert todo in err
    assert not (tmp_path / "gx_token.txt").exists()


def test_pair_with_a_stranger(
    web: GxWeb,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who shows another certificate than the pinned one gets no password."""
    monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other").certificate_file
    _, err = told(capsys, *pair(web, "--certificate", str(other)), status=FAILED)
    assert "found another" in err
    assert web.forms == []


def test_pair_without_a_pin(web: GxWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent to anybody before a certificate is pinned."""
    (tmp_path / "gx.pem").unlink()
    _, err = told(capsys, *pair(web), status=FAILED)
    assert "run pin first" in err
