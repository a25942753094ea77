"""Tests a cluster of which one node dies: the service hears the GX through the next one."""

import time
from contextlib import ExitStack

from tests.support.gx import StandInGx
from tests.support.mirror import mirror_of
from tests.support.running import World

HEARD_AGAIN_S = 5.0


def test_a_node_is_killed(world: World, lively_gx: StandInGx) -> None:
    """Within 5 s the GX is heard again, and measured; the log names both nodes, in two lines."""
    with ExitStack() as stack:
        # What the GX says is on both, as in a cluster.
        nodes = [stack.enter_context(mirror_of(world.broker, "")) for _ in range(2)]
        first, second = (f"127.0.0.1:{node.port}" for node in nodes)
        process = world.run({"mqtt.host": [first, second]})
        process.wait_for(f"connected to the broker at {first}")
        world.wait_for_measurement()
        killed_s = time.monotonic()
        nodes[0].kill()
        process.wait_for(f"the broker at {second} and the GX are heard again")
        assert time.monotonic() - killed_s < HEARD_AGAIN_S
        count = len(world.backend.received)
        world.wait_until(lambda: len(world.backend.received) > count)
        assert process.stop() == 0
        (line,) = process.said("no connection to the broker")
        assert f"{first}: the connection was lost" in line
