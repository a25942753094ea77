"""Tests a GX behind a bridge with a topic prefix: it is woken, measured and posted."""

from tests.support.gx import StandInGx
from tests.support.mirror import mirror_of
from tests.support.running import World


def test_a_gx_behind_a_bridge(world: World, lively_gx: StandInGx) -> None:
    """All through the mirror: the service knows no other broker, and the GX no other client."""
    with mirror_of(world.broker, "home/venus") as mirror:
        settings = {"mqtt.port": mirror.port, "mqtt.topic_prefix": "home/venus"}
        process = world.run(settings)
        world.wait_for_measurement()
        assert lively_gx.keepalives
        assert process.stop() == 0
