"""Tests the log of a service as its supervisor reads it."""

from pathlib import Path

from tests.support.charger_values import single_tracker
from tests.support.gx import PORTAL_ID
from tests.support.mosquitto import Login
from tests.support.running import World

SERIAL = "HQ2211AAAA1"


def test_the_start_is_told(tmp_path: Path) -> None:
    """Version, config, portal and chargers, in as many lines as there is something to say."""
    with World(tmp_path) as world:
        world.add_gx().add("solarcharger", 277, single_tracker())
        process = world.run()
        world.backend.wait_for(2, 60.0)
        process.stop()
        lines = process.lines
    assert str(tmp_path / "config.yaml") in lines[0]
    assert "portal id auto" in lines[0]
    assert any(PORTAL_ID in line for line in lines)
    assert any(SERIAL in line for line in lines)
    assert len(lines) <= 6


def test_debug_tells_each_post_and_keepalive_and_no_secret(tmp_path: Path) -> None:
    """DEBUG adds what is sent; passwords and keys are not in it."""
    secret = "pass-SECRET-word"
    with World(tmp_path) as world:
        world.backend.api_key = "key-SECRET-key"
        world.broker.stop()
        world.broker.login = Login(user="mqtt-http-bridge", password=secret)
        world.broker.start()
        gx = world.add_gx()
        gx.add("solarcharger", 277, single_tracker())
        settings = {"logging.level": "DEBUG", "mqtt.password": secret}
        process = world.run(settings)
        world.backend.wait_for(2, 60.0)
        process.wait_for("POST of")
        process.wait_for(f"keepalive to R/{PORTAL_ID}/keepalive")
        process.stop()
        assert process.said("SECRET") == []
        assert all(line.startswith("DEBUG") for line in process.said("POST of"))
