"""Tests finding a GX without an address: by a search, by its name, or not at all."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import machine, network, ssdp
from mqtt_http_bridge.app.find_gx import find_gx
from mqtt_http_bridge.cli import DONE, FAILED, main
from tests.support.charger_values import single_tracker
from tests.support.gx import StandInGx
from tests.support.mosquitto import Mosquitto
from tests.support.ssdp import LOOPBACK, Device, Network, description

ROOF, BARN = "c0619ab2f7e1", "c0619ab35133"
real_search = ssdp.search


@pytest.fixture(autouse=True)
def _no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a GX stands for nothing, and this machine is none."""

    def addresses(host: str) -> list[str]:
        if host == machine.GX_NAME:
            raise OSError(f"{host} is not known")
        return [host]

    monkeypatch.setattr(network, "addresses", addresses)
    monkeypatch.setattr(machine, "UNIQUE_ID", Path("/nowhere/unique-id"))


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Device]]:
    """The devices that answer a search, to be filled by a test."""
    devices: list[Device] = []
    with Network(devices) as found:
        search = functools.partial(
            real_search, port=found.port, interfaces=[LOOPBACK], search_s=0.3
        )
        monkeypatch.setattr(ssdp, "search", search)
        yield devices


def test_by_its_name(devices: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing answers, the name is told; if something does, it does not count."""
    monkeypatch.setattr(
        network, "addresses", lambda host: ["192.168.1.20"][host != "venus.local" :]
    )
    assert find_gx().by_name == "192.168.1.20"
    devices.append(Device(description(ROOF)))
    found = find_gx()
    assert [each.portal_id for each in found.announcements] == [ROOF]
    assert found.by_name == ""


def test_not_at_all(devices: list[Device]) -> None:
    """A name that stands for nothing is no error."""
    found = find_gx()
    assert (found.announcements, found.by_name) == ((), "")


def test_discover_searches(
    devices: list[Device], mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """The GX that answers is the one that the config is for."""
    devices.append(Device(description(ROOF)))
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        assert main(["discover", "--port", str(mosquitto.port)]) == DONE
    captured = capsys.readouterr()
    assert "Workshop, Cerbo GX, 127.0.0.1" in captured.err
    assert 'host: "127.0.0.1"' in captured.out


def test_discover_finds_two(devices: list[Device], capsys: pytest.CaptureFixture[str]) -> None:
    """Both are shown, and one is to be named."""
    devices += [Device(description(ROOF)), Device(description(BARN), address="127.0.0.2")]
    assert main(["discover"]) == FAILED
    said = capsys.readouterr().err
    assert ROOF in said
    assert BARN in said
    assert "expected one GX, found 2: name one: discover 127.0.0.1" in said


def test_discover_finds_none(devices: list[Device], capsys: pytest.CaptureFixture[str]) -> None:
    """The address is asked for, with where the GX shows it."""
    assert main(["discover"]) == FAILED
    assert "name its address: discover ADDRESS" in capsys.readouterr().err


def test_discover_on_a_gx(
    devices: list[Device],
    mosquitto: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is itself the GX: nobody is searched for."""
    (tmp_path / "unique-id").write_text(ROOF, encoding="ascii")
    monkeypatch.setattr(machine, "UNIQUE_ID", tmp_path / "unique-id")
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        assert main(["discover", "--port", str(mosquitto.port)]) == DONE
    assert "searching" not in capsys.readouterr().err
