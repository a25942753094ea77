"""Relays that share a fleet behind a clustered broker, while relays and nodes die and join."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.waiting import wait_for
from tests.fleet.fleet import INTERVAL_S, FleetBackend, Relay, Rows, relays
from tests.fleet.nats_cluster import HOSTS, NatsCluster
from tests.fleet.synthetic_gxs import SyntheticGxs, serial
from tests.support.extent import IS_LONG

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it"),
]

GXS = 200
RELAYS = 4
CONNECTIONS = 6
SERIALS = [serial(number) for number in range(GXS)]
FOUND_WITHIN_S = 240.0
SPAN_S = 40.0
"""Seconds for which each situation is looked at."""
OLDEST_S = 11.0
"""A GX whose node died counts as heard for 10 s; its chargers say their power each second."""
WARM_UP_S = 10.0
"""Seconds until a relay measures a GX that did not hear its request, as it was between nodes."""
LATE_S = 1.0
FAIL_OVER_S = 5.0
"""Seconds until a GX is heard again when the node dies that its relay listens to."""


def span(backend: FleetBackend, seconds: float = SPAN_S) -> Rows:
    """Lets so much time pass, and gives what was measured in it, and in the interval before."""
    began_s = time.time() - INTERVAL_S
    time.sleep(seconds)
    until_s = time.time()
    time.sleep(INTERVAL_S)  # The last ones are still under way.
    return Rows.of(backend).between(began_s, until_s)


def tell(what: str, rows: Rows, serials: list[str]) -> None:
    """Prints a figure; pytest shows it at the end of a long run."""
    holes_s = sorted(rows.holes_s(serials))
    print(
        f"{what}: {len(serials)} GX devices, longest time between two measurements"
        f" {holes_s[len(holes_s) // 2]:.2f} s in the median, {holes_s[-1]:.2f} s at most"
    )


def test_relays_and_nodes_die_and_join(tmp_path: Path) -> None:
    """Each measurement made arrives, once; who has nothing to do with it is not disturbed."""
    with (
        NatsCluster() as cluster,
        FleetBackend() as backend,
        SyntheticGxs(range(GXS), HOSTS, cluster.port, CONNECTIONS) as gxs,
        relays(RELAYS + 1, tmp_path, settings(cluster, backend)) as all_relays,
    ):
        for number, relay in enumerate(all_relays[:RELAYS]):
            relay.start(f"{number}/{RELAYS}")
        wait_until_all_are_measured(backend)
        owners = in_peace(backend)
        a_relay_dies(backend, all_relays, owners)
        a_node_dies(cluster, backend, gxs, all_relays)
        a_shard_joins(backend, all_relays, owners)
        for relay in all_relays:
            assert relay.stop() == 0
        made = sum(relay.measured for relay in all_relays)
        rows = Rows.of(backend)
        print(f"{made} measurements made, {rows.count} arrived, {len(backend.received)} POSTs")
        assert rows.count == made
        assert rows.oldest_s < OLDEST_S
        assert backend.contract_violations == []


def settings(cluster: NatsCluster, backend: FleetBackend) -> dict[str, dict[str, object]]:
    """Gives what all relays have in common."""
    return {
        "backend": {"url": backend.url},
        "mqtt": {"host": list(HOSTS), "port": cluster.port},
        "device": {"update_interval": INTERVAL_S},
    }


def wait_until_all_are_measured(backend: FleetBackend) -> None:
    """Returns when something of each GX has arrived."""
    began_s = time.monotonic()
    wait_for(
        f"all {GXS} GX devices to be measured",
        lambda: len({serial for _, serial in list(backend.stored)}) == GXS,
        within_s=FOUND_WITHIN_S,
        every_s=0.5,
    )
    print(f"all {GXS} found within {time.monotonic() - began_s:.0f} s")


def in_peace(backend: FleetBackend) -> dict[str, str]:
    """Each GX is measured on its beat, by one relay; which, by serial."""
    rows = span(backend)
    assert rows.disturbed(SERIALS) == []
    by_relay = {s: {relay for _, relay in rows.by_serial[s]} for s in SERIALS}
    assert {len(names) for names in by_relay.values()} == {1}
    tell("in peace", rows, SERIALS)
    return {s: names.pop() for s, names in by_relay.items()}


def a_relay_dies(backend: FleetBackend, all_relays: list[Relay], owners: dict[str, str]) -> None:
    """The GX devices of the others do not notice; its own have a hole of its absence."""
    all_relays[0].kill()
    all_relays[0].start(f"0/{RELAYS}")
    rows = span(backend)
    its_own = [s for s in SERIALS if owners[s] == all_relays[0].name]
    others = [s for s in SERIALS if owners[s] != all_relays[0].name]
    assert rows.disturbed(others) == []
    assert {s: rows.relay_of(s) for s in SERIALS} == owners
    tell("a relay killed and started again, its own", rows, its_own)


def a_node_dies(
    cluster: NatsCluster, backend: FleetBackend, gxs: SyntheticGxs, all_relays: list[Relay]
) -> None:
    """Relays and GX devices that were connected to it go on with another one."""
    on_it = {serial(number) for number in gxs.on(HOSTS[0])}
    connected = {relay.name: len(relay.lines) for relay in all_relays[:RELAYS]}
    cluster.kill(0)
    rows = span(backend)
    cluster.start(0)
    lost = {r.name for r in all_relays[:RELAYS] if len(r.lines) > connected[r.name]}
    elsewhere = [s for s in SERIALS if s not in on_it and rows.relay_of(s) not in lost]
    assert rows.disturbed(elsewhere) == []
    tell("a node killed, connected to others", rows, elsewhere)
    affected = [s for s in SERIALS if s not in elsewhere]
    tell("a node killed, connected to it", rows, affected)
    assert max(rows.holes_s(affected)) < FAIL_OVER_S + WARM_UP_S + INTERVAL_S + LATE_S


def a_shard_joins(backend: FleetBackend, all_relays: list[Relay], owners: dict[str, str]) -> None:
    """Each relay is started again with its new share; a fifth of the GX devices moves at most."""
    count = RELAYS + 1
    for number, relay in enumerate(all_relays):
        if number < RELAYS:
            assert relay.stop() == 0
        relay.start(f"{number}/{count}")
    rows = span(backend, 2 * SPAN_S)
    tell("a shard added", rows, SERIALS)
    moved = [s for s in SERIALS if rows.relay_of(s) != owners[s]]
    print(f"{len(moved)} of {GXS} GX devices moved")
    assert {rows.relay_of(s) for s in moved} == {all_relays[-1].name}
    assert len(moved) <= GXS / count * 1.4
    early = sum(
        b[0] - a[0] < INTERVAL_S - 0.001 for s in SERIALS for a, b in pairwise(rows.by_serial[s])
    )
    print(f"{early} of {rows.count} measurements came less than an interval after another one")
    calm = span(backend, 2 * INTERVAL_S)
    assert calm.disturbed(SERIALS) == []
