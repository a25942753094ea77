"""Tests `pin`: it saves both certificates of a GX, each by its own fingerprint, and no other."""

import subprocess
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from tests.support.mosquitto import Mosquitto, make_certificate
from tests.support.paired_gx import PairedGx

pytestmark = pytest.mark.usefixtures("own_directory")


def pin(gx: PairedGx, *more: str) -> list[str]:
    ports = ["--port", str(gx.broker.port), "--web-port", str(gx.web.server_port)]
    return ["pin", "127.0.0.1", *ports, *more]


def fingerprint_of(certificate: Path) -> str:
    """Returns what openssl calls the fingerprint."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-sha256", "-fingerprint"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return said.partition("=")[2].strip()


def test_both_certificates(paired_gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in its own file, each with its fingerprint; only the broker's goes into the config."""
    assert main(pin(paired_gx, "-o", "cerbo.pem", "--web-output", "web.pem")) == DONE
    captured = capsys.readouterr()
    for name, certificate in (
        ("cerbo.pem", paired_gx.certificate),
        ("web.pem", paired_gx.web_certificate),
    ):
        assert Path(name).read_text() == certificate.certificate_file.read_text()
        assert fingerprint_of(certificate.certificate_file) in captured.err
    assert Path("cerbo.pem").read_text() != Path("web.pem").read_text()
    assert captured.err.count("CN=venus.local") == 2
    assert "trust on first use" in captured.err.replace("\n", " ")
    assert yaml.safe_load(captured.out)["mqtt"] == {
        "host": "127.0.0.1",
        "port": paired_gx.broker.port,
        "tls": True,
        "pinned_certificate": "cerbo.pem",
    }


@pytest.mark.parametrize("which", ["broker", "web"])
def test_a_change_is_refused(
    paired_gx: PairedGx, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same certificate again is fine; another key does not silently take its place."""
    assert main(pin(paired_gx)) == DONE
    assert main(pin(paired_gx)) == DONE
    name = {"broker": "gx.pem", "web": "gx_web.pem"}[which]
    other = paired_gx.renew(which).certificate_file.read_text()
    Path(name).write_text(other)
    capsys.readouterr()
    assert main(pin(paired_gx)) == FAILED
    assert f"{name}: expected no file, or this certificate" in capsys.readouterr().err
    assert Path(name).read_text() == other


def test_fingerprints_for_scripts(paired_gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """However they are typed; that of the one certificate is not that of the other."""
    broker = fingerprint_of(paired_gx.certificate.certificate_file)
    web = fingerprint_of(paired_gx.web_certificate.certificate_file).replace(":", "").lower()
    assert main(pin(paired_gx, "--fingerprint", web)) == FAILED
    assert main(pin(paired_gx, "--fingerprint", broker, "--web-fingerprint", broker)) == FAILED
    assert capsys.readouterr().err.count("one for MQTT and another one for the web") == 2
    assert not Path("gx_web.pem").exists()
    assert main(pin(paired_gx, "--fingerprint", broker, "--web-fingerprint", web)) == DONE
    assert "trust on first use" not in capsys.readouterr().err
    assert main(pin(paired_gx, "--fingerprint", broker)) == DONE
    assert "trust on first use" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(pin(paired_gx, "--fingerprint", "AA:BB"))
    assert caught.value.code == WRONG_USAGE
    assert "expected a SHA-256 fingerprint of 64 hex digits" in capsys.readouterr().err


def test_without_a_web_server(paired_gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """A broker without one is pinned all the same, but where its fingerprint was asked for."""
    gone = ["--web-port", str(paired_gx.broker.inside_port)]
    assert main([*pin(paired_gx), *gone]) == DONE
    assert "no web server that speaks TLS, which pair would need" in capsys.readouterr().err
    assert not Path("gx_web.pem").exists()
    web = fingerprint_of(paired_gx.web_certificate.certificate_file)
    assert main([*pin(paired_gx, "--web-fingerprint", web), *gone]) == FAILED


def test_a_subject_does_not_speak_to_the_terminal(
    paired_gx: PairedGx, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown as escapes: anybody may have made the certificate."""
    paired_gx.broker.stop()
    paired_gx.broker.certificate = make_certificate(
        paired_gx.directory / "web", "venus\x1b[2J.local"
    )
    paired_gx.broker.start()
    assert main(pin(paired_gx)) == DONE
    said = capsys.readouterr().err
    assert "CN=venus\\x1b[2J.local" in said
    assert "\x1b" not in said


def test_without_tls(mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that speaks no TLS."""
    assert main(["pin", "127.0.0.1", "--port", str(mosquitto.port)]) == FAILED
    assert "no TLS there" in capsys.readouterr().err


def test_port_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends before anything is done."""
    with pytest.raises(SystemExit) as caught:
        main(["pin", "127.0.0.1", "--port", "99999"])
    assert caught.value.code == WRONG_USAGE
    assert "expected a number from 1 to 65535" in capsys.readouterr().err
