"""Tests `discover`, `pin` and `pair`: they give a config that works, and show no secret."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app import listen, prefixes
from mqtt_http_bridge.cli import DONE, FAILED, main
from mqtt_http_bridge.core.settings import Secret
from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Login, Mosquitto, make_certificate

pytestmark = pytest.mark.usefixtures("own_directory")

SECRET = "correct horse battery"
PASSWORD_VARIABLE = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker as the GX has it by default: TLS and a password."""
    (tmp_path / "broker").mkdir()
    certificate = make_certificate(tmp_path / "broker")
    login = Login(user="mqtt-http-bridge", password=SECRET)
    with Mosquitto(certificate=certificate, login=login) as broker:
        yield broker


def told(capsys: pytest.CaptureFixture[str], *argv: str, status: int = DONE) -> tuple[str, str]:
    """Returns what a command prints on stdout and stderr; no secret may be in either."""
    assert main(argv) == status
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    return captured.out, captured.err


# --- discover ------------------------------------------------------------------------------------


def test_discover_prints_a_config_that_works(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its output is a config: with a key beside it, it is read, and fits the GX.

    The connection is ended.
    """
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        gx.add("multi", 1, multi_tracker())
        out, err = told(capsys, "discover", "127.0.0.1", "--port", str(mosquitto.port))
    assert "broker" not in {thread.name for thread in threading.enumerate()}
    (tmp_path / "config.yaml").write_text(out, encoding="utf-8")
    (tmp_path / "api_key.txt").write_text("key\n", encoding="utf-8")
    settings = load(tmp_path / "config.yaml", {})
    assert settings.mqtt.portal_ids == (PORTAL_ID,)
    assert settings.mqtt.services == ("solarcharger", "multi")
    assert (settings.mqtt.host, settings.mqtt.port) == ("127.0.0.1", mosquitto.port)
    assert "HQ2211AAAA1 'South roof'" in err
    assert "1234567 HQ2233RS45X 'MPPT RS barn'" in err
    assert "not listened to" not in err


def test_what_a_charger_says_does_not_speak_to_the_terminal(
    mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown."""
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker(serial="HQ\033[2J"))
        _, err = told(capsys, "discover", "127.0.0.1", "--port", str(mosquitto.port))
    assert "\033" not in err
    assert r"HQ\x1b[2J" in err


def test_discover_names_chargers_without_a_serial(
    mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line to fill in is there."""
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker(serial=None))
        out, _ = told(capsys, "discover", "127.0.0.1", "--port", str(mosquitto.port))
    assert list(yaml.safe_load(out)["device"]["serials"]) == ["solarcharger/277"]


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
    (tmp_path / "api_key.txt").write_text("key\n", encoding="utf-8")
    for text, environment in ((out, {}), (again, {PASSWORD_VARIABLE: SECRET})):
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        mqtt = load(tmp_path / "config.yaml", environment).mqtt
        assert mqtt.password == Secret(SECRET)
        assert (mqtt.tls, mqtt.pinned_certificate) == (True, str(tmp_path / "gx.pem"))


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
    mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed port, and a broker that is none of a GX."""
    monkeypatch.setattr(listen, "ANSWER_S", 0.3)
    monkeypatch.setattr(prefixes, "SEARCH_S", 0.3)
    _, err = told(capsys, "discover", "127.0.0.1", "--port", str(mosquitto.port), status=FAILED)
    assert "the broker announces none" in err
    mosquitto.stop()
    _, err = told(capsys, "discover", "127.0.0.1", "--port", str(mosquitto.port), status=FAILED)
    assert "Connection refused" in err
    assert "MQTT Access" in err
