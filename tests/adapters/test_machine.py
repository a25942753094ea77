"""Tests whether this machine is a GX, and which: then only that one is relayed."""

from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.core.settings import Settings
from tests.support.virtual import PORTAL, settings


@pytest.fixture
def unique_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns where this machine has its portal id."""
    path = tmp_path / "unique-id"
    path.write_text(f"{PORTAL}\n", encoding="ascii")
    monkeypatch.setattr(machine, "UNIQUE_ID", path)
    return path


def asking(host: str, *portal_ids: str) -> Settings:
    """Settings that ask the broker at `host`."""
    return settings(*portal_ids, hosts=(host,))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_a_gx_that_asks_its_own_broker_is_relayed_alone(unique_id: Path, host: str) -> None:
    """Whoever else tells the broker of a GX is not even subscribed to."""
    found = machine.on_its_own_gx(asking(host))
    assert found == asking(host)._replace(mqtt=asking(host).mqtt._replace(portal_ids=(PORTAL,)))


@pytest.mark.parametrize("host", ["192.168.1.7", "venus.local", "::2"])
def test_a_gx_that_asks_another_broker_is_as_any_host(unique_id: Path, host: str) -> None:
    """Everything that is on that broker has nothing to do with this machine."""
    assert machine.on_its_own_gx(asking(host)).mqtt.portal_ids == ()


def test_a_list_in_the_config_is_kept(unique_id: Path) -> None:
    """Whoever writes down what to relay knows better."""
    assert machine.on_its_own_gx(asking("127.0.0.1", "a", "b")).mqtt.portal_ids == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"a b\n", b"\xff\n", None])
def test_what_is_no_portal_id_does_not_count(unique_id: Path, content: bytes | None) -> None:
    """No GX, or a damaged file: the broker tells who is there."""
    unique_id.unlink()
    if content is not None:
        unique_id.write_bytes(content)
    assert machine.on_its_own_gx(asking("127.0.0.1")).mqtt.portal_ids == ()
