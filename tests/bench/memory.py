"""Weighs the consumers, side by side: after the start, and after an hour's worth of a GX."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.consumers import compared, directory, scene
from tests.bench.loads import bursts
from tests.bench.plan import Plan
from tests.bench.player import playing
from tests.bench.processes import Measured
from tests.bench.results import Results
from tests.bench.taker import Taker, backend
from tests.bench.traffic import HEARTBEAT_S, Wire, portal_ids
from tests.bench.waiting import Failed, wait_for

SPEED = 60.0
"""An hour takes a minute."""
BARE = "bare imports"
"""A process that imports the three packages, and does nothing else."""
START = "after the start, MiB"
HOUR = "after an hour's worth, MiB"
GROWTH = "RSS added by it, MiB"
_BARE_CODE = (
    "import time, paho.mqtt.client, requests, yaml; print('ready', flush=True); time.sleep(3600)"
)


def memory(plan: Plan) -> Results:
    """RSS and PSS. The hour has its messages and heartbeats, and half its measurements."""
    ids, seconds = portal_ids(1), plan.pick(60.0, 20.0)
    results = Results({"hour": f"{seconds:g} s at {SPEED:g} times the pace, a POST each second"})
    with backend() as taker:
        consumers = compared(taker.url, ids, plan.against, device={"update_interval": 1})
        for _ in range(plan.pick(2, 1)):
            with (
                _bare() as bare,
                scene(consumers, ids, 2, heartbeat_s=HEARTBEAT_S / SPEED) as found,
            ):
                processes = [*found.processes.values(), bare]
                before = _add_weights(processes, START, results)
                _play_hour(found.wire, taker, seconds)
                for name, rss_mib in _add_weights(processes, HOUR, results).items():
                    results.add(GROWTH, name, rss_mib - before[name])
    return results


@contextmanager
def _bare() -> Iterator[Measured]:
    with (
        directory() as place,
        Measured(BARE, [sys.executable, "-c", _BARE_CODE], place) as process,
    ):
        wait_for("the bare imports", lambda: "ready" in process.output, within_s=30.0)
        yield process


def _play_hour(wire: Wire, taker: Taker, seconds: float) -> None:
    taken = taker.taken
    with playing(wire, bursts(portal_ids(1)[0], 2).faster(SPEED)):
        time.sleep(seconds)
    if (delivered := taker.taken - taken) <= seconds * 5 / 6:
        raise Failed(f"expected a POST each second for {seconds:g} s, found {delivered}")


def _add_weights(processes: list[Measured], when: str, results: Results) -> dict[str, float]:
    """Adds RSS and PSS; the RSS by process."""
    weights = {process.name: process.memory_mib for process in processes}
    for name, weight in weights.items():
        for kind, mib in weight.items():
            results.add(f"{kind} {when}", name, mib)
    return {name: weight["RSS"] for name, weight in weights.items()}
