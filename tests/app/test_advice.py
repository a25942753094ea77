"""Tests the advice of `check`, `discover`, `pin` and `pair` for each access profile of a GX.

It is a command that helps; only `check` speaks of config keys, as only it has a config.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app import check
from mqtt_http_bridge.cli import DONE, FAILED, main
from mqtt_http_bridge.core.status.findings import Finding, Mark
from tests.support.charger_values import single_tracker
from tests.support.gx import StandInGx
from tests.support.profiles import PASSWORD, TOKEN, GxBroker, Profile, gx_broker

SETUP = "run: mqtt-http-bridge setup"


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GxBroker]:
    """The broker of a GX with the profile of the test, and a charger behind it."""
    with (
        gx_broker(request.param, tmp_path) as broker,
        StandInGx(broker, heartbeat_s=0.2) as gx,
    ):
        gx.add("solarcharger", 277, single_tracker())
        yield broker


def on(profile: Profile) -> pytest.MarkDecorator:
    """Runs a test on a GX with this profile."""
    return pytest.mark.parametrize("broker", [profile], indirect=True, ids=[profile.name])


def first_wrong(tmp_path: Path, broker: GxBroker, **mqtt: object) -> Finding | None:
    """The first thing about the GX that `check` finds wrong, with these settings."""
    document = {
        "backend": {"url": "http://127.0.0.1:1", "api_key": "key"},
        "mqtt": {"host": broker.address, **mqtt},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    for finding in check.walk(path, {}):
        assert PASSWORD not in finding.text + finding.fix
        assert TOKEN.password not in finding.text + finding.fix
        if finding.step.startswith("backend"):
            return None
        if finding.mark is Mark.WRONG:
            return finding
    return None


def advised(tmp_path: Path, broker: GxBroker, step: str, **mqtt: object) -> str:
    """Returns the advice of `check` at this step, which has to be the first that is wrong."""
    finding = first_wrong(tmp_path, broker, **mqtt)
    assert finding is not None
    assert finding.step == step, finding
    return finding.fix


def discovered(
    capsys: pytest.CaptureFixture[str], broker: GxBroker, *options: str, status: int = FAILED
) -> str:
    """Returns the last words of `discover`."""
    assert main(["discover", broker.address, *options]) == status
    captured = capsys.readouterr()
    assert PASSWORD not in captured.out + captured.err
    if status == DONE:
        return captured.out
    assert "mqtt." not in captured.err
    return captured.err


def paired(capsys: pytest.CaptureFixture[str], broker: GxBroker, *options: str) -> str:
    """Returns the last words of `pair`, which gets nowhere."""
    file = str(broker.certificate_file)
    certificates = ["--certificate", file, "--web-certificate", file]
    assert main(["pair", broker.address, *certificates, *options]) == FAILED
    said = capsys.readouterr().err
    assert "mqtt." not in said
    return said


# --- off -----------------------------------------------------------------------------------------


@on(Profile.OFF)
def test_access_is_off(
    tmp_path: Path,
    broker: GxBroker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The menu, and then `setup`; with TLS as well, of which nothing is known there."""
    monkeypatch.setattr(machine, "is_no_gx", lambda _: False)
    menu = "switch on MQTT access, on the GX: Settings -> Integrations -> MQTT Access"
    for mqtt in ({}, {"tls": True}):
        fix = advised(tmp_path, broker, "GX port", **mqtt)
        assert fix.startswith(menu)
        assert SETUP in fix
    certificate = str(broker.certificate_file)
    for options in ((), ("--certificate", certificate)):
        said = discovered(capsys, broker, *options)
        assert "Connection refused" in said
        assert menu in said
        assert SETUP in said
        assert "no TLS" not in said


@on(Profile.OFF)
def test_pin_where_nothing_listens(broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed port is told as that: nobody knows whether it would speak TLS."""
    assert main(["pin", broker.address]) == FAILED
    said = capsys.readouterr().err
    assert f"{broker.address}:8883: Connection refused: switch on MQTT access" in said
    assert SETUP in said
    assert "TLS" not in said


@on(Profile.OFF)
def test_pair_where_nothing_listens(broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """The menu, before any password is asked for."""
    said = paired(capsys, broker)
    assert f"{broker.address}:8883: Connection refused: switch on MQTT access, on the GX" in said
    assert SETUP in said


@on(Profile.SECURED)
def test_the_wrong_port(broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """The right one is open: it is the option that is wrong, by its own name."""
    said = paired(capsys, broker, "--mqtt-port", "8884")
    assert said.endswith("port 8883 is open: leave --mqtt-port out\n")
    assert main(["pin", broker.address, "--port", "8884"]) == FAILED
    assert capsys.readouterr().err.endswith("port 8883 is open: leave --port out\n")
    said = discovered(capsys, broker, "--port", "8883")
    assert "port 8883 speaks TLS" in said
    assert f"mqtt-http-bridge pin {broker.address}, then" in said


@on(Profile.UNSECURED)
def test_pin_on_the_port_without_tls(broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """And an open one that does not is told as that."""
    assert main(["pin", broker.address, "--port", "1883"]) == FAILED
    assert f"{broker.address}:1883: no TLS there" in capsys.readouterr().err


# --- secured -------------------------------------------------------------------------------------


@on(Profile.SECURED)
def test_secured_with_only_a_host(
    tmp_path: Path, broker: GxBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Access is on, as the other port shows: nobody is sent to the menu."""
    for said in (advised(tmp_path, broker, "GX port"), discovered(capsys, broker)):
        assert "port 8883 is open, so this GX is secured" in said
        assert SETUP in said
        assert f"mqtt-http-bridge pin {broker.address}" in said
        assert "MQTT Access" not in said
    assert "--certificate gx.pem --password-file FILE" in discovered(capsys, broker)


@on(Profile.SECURED)
def test_secured_and_asked_without_tls(tmp_path: Path, broker: GxBroker) -> None:
    """The right port, and no `mqtt.tls`: that is what is said."""
    fix = advised(tmp_path, broker, "GX login", port=8883)
    assert fix.startswith("port 8883 speaks TLS: ")
    assert SETUP in fix
    assert "mqtt.tls: true" in fix


@on(Profile.SECURED)
def test_secured_and_not_pinned(tmp_path: Path, broker: GxBroker) -> None:
    """`pin`, which makes it trusted."""
    fix = advised(tmp_path, broker, "GX TLS", tls=True)
    assert f"run: mqtt-http-bridge pin {broker.address}" in fix


@on(Profile.SECURED)
def test_secured_and_pinned(tmp_path: Path, broker: GxBroker) -> None:
    """Without a password `setup`; with a wrong one the menu; with the right one all is well."""
    pinned = {"tls": True, "pinned_certificate": str(broker.certificate_file)}
    fix = advised(tmp_path, broker, "GX login", **pinned)
    assert SETUP in fix
    assert "Access & Security" in fix
    fix = advised(tmp_path, broker, "GX login", **pinned, password="wrong")
    assert fix.startswith("compare mqtt.password")
    assert f"mqtt-http-bridge pair {broker.address}" in fix
    assert first_wrong(tmp_path, broker, **pinned, password=PASSWORD) is None


@on(Profile.SECURED)
def test_discover_prints_a_config_that_works_as_printed(
    tmp_path: Path, broker: GxBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it is saved: the files that were given are named in it."""
    password_file = tmp_path / "my password.txt"
    password_file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    options = ["--certificate", str(broker.certificate_file), "--password-file", str(password_file)]
    printed = discovered(capsys, broker, *options, status=DONE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "api_key.txt").write_text("key\n", encoding="utf-8")
    (elsewhere / "config.yaml").write_text(printed, encoding="utf-8")
    load(elsewhere / "config.yaml", {})
    found = {f.step: f.mark for f in check.walk(elsewhere / "config.yaml", {})}
    assert (found["GX login"], found["charger"]) == (Mark.OK, Mark.OK)


# --- weak, and unsecured -------------------------------------------------------------------------


@on(Profile.WEAK)
def test_weak(tmp_path: Path, broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """A password, and no word of paired devices: they would not be asked for one here."""
    said = advised(tmp_path, broker, "GX login")
    assert SETUP in said
    assert "set mqtt.password" in said
    said = discovered(capsys, broker)
    assert SETUP in said
    assert "give the GX's network password" in said
    password = tmp_path / "wrong"
    password.write_text("wrong\n", encoding="utf-8")
    said = discovered(capsys, broker, "--password-file", str(password))
    assert "compare the password with the network password" in said
    fix = advised(tmp_path, broker, "GX login", password="wrong")
    assert fix.startswith("compare mqtt.password")
    assert "pair" not in fix
    assert first_wrong(tmp_path, broker, password=PASSWORD) is None


@on(Profile.UNSECURED)
def test_unsecured(tmp_path: Path, broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """A host is all it takes. A port that is not the GX's leads to the one that is."""
    assert first_wrong(tmp_path, broker) is None
    assert broker.address in discovered(capsys, broker, status=DONE)
    assert advised(tmp_path, broker, "GX port", port=1884) == (
        "port 1883 is open: set mqtt.port: 1883"
    )
    fix = advised(tmp_path, broker, "GX port", tls=True, port=8884)
    assert fix == "port 8883 is open: set mqtt.port: 8883"


# --- paired devices only -------------------------------------------------------------------------


@on(Profile.PAIRED_ONLY)
def test_paired_only(tmp_path: Path, broker: GxBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """`setup`, which pairs; a password is told of `pair`; a token that it knows is let in."""
    for said in (advised(tmp_path, broker, "GX port"), discovered(capsys, broker)):
        assert SETUP in said
        assert "MQTT Access" not in said
    pinned = {"tls": True, "pinned_certificate": str(broker.certificate_file)}
    fix = advised(tmp_path, broker, "GX login", **pinned, password=PASSWORD)
    assert f"mqtt-http-bridge pair {broker.address}" in fix
    token = {**pinned, "username": TOKEN.user, "password": TOKEN.password}
    assert first_wrong(tmp_path, broker, **token) is None


@on(Profile.PAIRED_ONLY)
def test_a_token_that_is_refused(tmp_path: Path, broker: GxBroker) -> None:
    """It is paired again: there is no network password to compare it with."""
    fix = advised(
        tmp_path,
        broker,
        "GX login",
        tls=True,
        pinned_certificate=str(broker.certificate_file),
        username=TOKEN.user,
        password="of another token",
    )
    assert f"mqtt-http-bridge pair {broker.address}" in fix
    assert "password" not in fix


# --- names ---------------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told as that, and not as a port."""
    assert main(["discover", "gx.invalid"]) == FAILED
    said = capsys.readouterr().err
    assert "GX name: gx.invalid:1883: this name does not resolve" in said
    assert (
        "give the GX's address (on the GX: Settings -> Connectivity -> Ethernet or Wi-Fi; older:"
        in said
    )
