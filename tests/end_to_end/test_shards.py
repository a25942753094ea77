"""Tests several relays behind one broker, each with a shard: one relay measures each GX."""

import json

import pytest

from mqtt_http_bridge.core.shard import owner
from tests.support.charger_values import single_tracker
from tests.support.gx import StandInGx
from tests.support.running import World

PORTALS = [f"c0619ab{number:05x}" for number in range(6)]
RELAYS = 2


@pytest.fixture
def fleet(world: World) -> dict[str, StandInGx]:
    """Six GX devices with a charger each."""
    gxs = {}
    for number, portal_id in enumerate(PORTALS):
        gx = gxs[portal_id] = world.add_gx(portal_id=portal_id, heartbeat_s=0.5)
        gx.add("solarcharger", 277, single_tracker(serial=f"HQ{number}"))
    return gxs


def test_each_gx_is_measured_by_one_relay(
    world: World, fleet: dict[str, StandInGx], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment sets the shard, as in a fleet; the backend gets every GX."""
    assert {owner(portal_id, RELAYS) for portal_id in PORTALS} == {0, 1}
    relays = []
    for ordinal in range(RELAYS):
        monkeypatch.setenv("MQTT_HTTP_BRIDGE_SHARD", f"{ordinal}/{RELAYS}")
        relays.append(world.run({"outbox.directory": f"outbox-{ordinal}"}))
        relays[-1].wait_for(f"shard {ordinal}/{RELAYS})")

    def measured() -> set[str]:
        return {json.loads(body)["cerbo_serial"] for body in world.bodies}

    world.wait_until(lambda: measured() == set(PORTALS))
    for relay in relays:
        assert relay.stop() == 0
    times = [(m["cerbo_serial"], m["timestamp"]) for m in map(json.loads, world.bodies)]
    assert len(set(times)) == len(times)
    for ordinal, relay in enumerate(relays):
        found = {line.split()[-1] for line in relay.said("found the GX")}
        assert found == {portal_id for portal_id in PORTALS if owner(portal_id, RELAYS) == ordinal}
    # Each was woken by one, and by nobody else.
    for portal_id, gx in fleet.items():
        echoes = [keepalive for keepalive in gx.keepalives if b"completed-echo" in keepalive]
        assert len(echoes) == 1, portal_id
