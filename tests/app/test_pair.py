"""Tests `pair`: the token works, and no secret is shown."""

import os
import stat
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app import try_login
from mqtt_http_bridge.app.listen import listen
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from tests.support.gx import PORTAL_ID
from tests.support.paired_gx import PASSWORD, PairedGx

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_directory")]

PASSWORD_VARIABLE = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"
TOKEN = Path("gx_token.txt")


@pytest.fixture
def gx(paired_gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> PairedGx:
    """A GX whose certificates are pinned."""
    ports = ["--port", str(paired_gx.broker.port), "--web-port", str(paired_gx.web.server_port)]
    assert main(["pin", "127.0.0.1", *ports]) == DONE
    capsys.readouterr()
    return paired_gx


def pair(gx: PairedGx, *more: str) -> list[str]:
    ports = ["--mqtt-port", str(gx.broker.port), "--web-port", str(gx.web.server_port)]
    return ["pair", "127.0.0.1", *ports, *more]


def told(
    gx: PairedGx, capsys: pytest.CaptureFixture[str], *more: str, status: int = DONE
) -> tuple[str, str]:
    """Returns what `pair` prints on stdout and stderr; no secret may be in either."""
    assert main(pair(gx, *more)) == status
    captured = capsys.readouterr()
    for secret in (PASSWORD, *gx.web.tokens.values()):
        assert secret not in captured.out + captured.err
    return captured.out, captured.err


def test_with_the_password(
    gx: PairedGx, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is in a file for its owner alone, whatever the umask; its lines log in."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    before = os.umask(0)
    try:
        out, _ = told(gx, capsys)
    finally:
        os.umask(before)
    assert stat.S_IMODE(TOKEN.stat().st_mode) == 0o600
    mqtt = yaml.safe_load(out)["mqtt"]
    ((name, password),) = gx.web.tokens.items()
    assert (mqtt["username"], mqtt["password_file"]) == (name, str(TOKEN))
    assert TOKEN.read_text(encoding="utf-8").splitlines() == [password, name]
    assert mqtt["pinned_certificate"] == "gx.pem"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    Path("config.yaml").write_text(out, encoding="utf-8")
    settings = load(Path("config.yaml"), {}, needs_backend=False)
    heard = listen(settings.mqtt, settings.device)
    assert [charger.serial for charger in heard.gxs[PORTAL_ID].chargers] == ["HQ2211AAAA1"]


def test_in_pairing_mode(gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """No password is needed, and the token works only a moment later: that is waited for."""
    gx.web.is_pairing, gx.web.delay_s = True, 0.7
    _, err = told(gx, capsys)
    assert "paired: the broker takes the token" in err


def test_again(gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """The token in the file is replaced by one of the same name: none is left over on the GX."""
    gx.web.is_pairing = True
    told(gx, capsys)
    (before,) = gx.web.tokens.values()
    told(gx, capsys)
    (after,) = gx.web.tokens.values()
    assert before != after
    assert TOKEN.read_text(encoding="utf-8").splitlines()[0] == after
    told(gx, capsys, "-o", "second.txt")
    assert len(gx.web.tokens) == 2


def test_a_broker_that_does_not_learn(
    gx: PairedGx, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not called paired; the token is kept, to be replaced by the next."""
    monkeypatch.setattr(try_login, "LEARNS_S", 0.5)
    monkeypatch.setattr(gx.web, "_broker", None)
    gx.web.is_pairing = True
    out, err = told(gx, capsys, status=FAILED)
    assert out == ""
    assert "its broker does not let it in" in err
    assert "paired:" not in err
    assert TOKEN.exists()


@pytest.mark.parametrize("status", [401, 403])
def test_refused(
    gx: PairedGx,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A closed window is told apart from a password that is refused; no file is left behind."""
    gx.web.refusal_status = status
    for password, todo in ((None, "not in pairing mode"), ("wrong", "compare the password")):
        if password:
            monkeypatch.setenv(PASSWORD_VARIABLE, password)
        _, err = told(gx, capsys, status=FAILED)
        assert f"found {status} (Forbidden)" in err
        assert todo in err
    assert not TOKEN.exists()


def test_older_firmware(gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not know the address."""
    gx.web.has_pairing = False
    _, err = told(gx, capsys, status=FAILED)
    assert "found 404: pairing needs Venus OS v3.80 or later" in err


def test_a_stranger_gets_nothing(
    gx: PairedGx, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with another certificate gets no password: the broker's own is another one, too."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    _, err = told(gx, capsys, "--web-certificate", "gx.pem", status=FAILED)
    assert "found another" in err
    assert gx.web.requests == []


@pytest.mark.parametrize("name", ["gx.pem", "gx_web.pem"])
def test_without_a_pin(gx: PairedGx, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent to anybody before both certificates are pinned."""
    Path(name).unlink()
    _, err = told(gx, capsys, status=WRONG_USAGE)
    assert f"{name}: expected the certificate" in err
    assert "run: mqtt-http-bridge pin 127.0.0.1" in err
    assert gx.web.requests == []


def test_a_closed_broker(gx: PairedGx, capsys: pytest.CaptureFixture[str]) -> None:
    """No token is made that nobody could try."""
    gx.broker.stop()
    gx.web.is_pairing = True
    _, err = told(gx, capsys, status=FAILED)
    assert "MQTT Access" in err
    assert gx.web.requests == []
