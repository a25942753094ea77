"""At the pace of a GX: all consumers at the same time, on one broker, with the same messages."""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.consumers import Scene, compared, scene
from tests.bench.loads import Load, bursts, even, recording
from tests.bench.plan import Plan
from tests.bench.player import playing
from tests.bench.results import Results
from tests.bench.taker import backend
from tests.bench.traffic import portal_ids
from tests.support.places import RECORDINGS

LEAD_S = 8.0
"""So long a load is played before the first reading: up to 5 s of it wait in the kernel then, as at
the second reading."""
PERCENT = "percent of a core"
WAKE_UPS = "wake-ups a second"


def two_chargers(plan: Plan) -> Results:
    """Two chargers of ten messages a second, and two recorded ones."""
    portal_id = portal_ids(1)[0]
    loads = [bursts(portal_id, 2), even(portal_id, 2)]
    if not plan.is_quick:
        loads.append(recording(RECORDINGS / "two.jsonl.gz", portal_id))
    return share_of(loads, 2, plan.pick(2, 1), plan.pick(60.0, 30.0), plan.against)


def twenty_chargers(plan: Plan) -> Results:
    """Twenty chargers of ten messages a second."""
    portal_id = portal_ids(1)[0]
    return share_of(
        [bursts(portal_id, 20), even(portal_id, 20)], 20, 1, plan.pick(60.0, 30.0), plan.against
    )


def share_of(
    loads: Sequence[Load],
    chargers: int,
    repetitions: int,
    window_s: float,
    against: Path | None = None,
) -> Results:
    """Percent of a core and wake-ups a second, by load and consumer.

    The window is a multiple of 30 s, so that it holds whole measurements.
    """
    ids = portal_ids(1)
    results = Results({load.name: load.about() for load in loads})
    results.note("wake-ups", "without those of a timer thread for each POST, up to 0.1 a second")
    with backend() as taker:
        for _ in range(repetitions):
            with scene(compared(taker.url, ids, against), ids, chargers) as found:
                for load in loads:
                    found.wire.send(load.opening)
                    with playing(found.wire, load):
                        time.sleep(LEAD_S)
                        watch(found, window_s, load.name, results)
    return results


def watch(found: Scene, window_s: float, case: str, results: Results) -> None:
    """Adds what the consumers do in a window of time."""
    before = _readings(found)
    time.sleep(window_s)
    for name, (at_s, cpu_s, wake_ups) in _readings(found).items():
        began_s, cpu_before_s, wake_ups_before = before[name]
        took_s = at_s - began_s
        results.add(f"{case}, {PERCENT}", name, (cpu_s - cpu_before_s) / took_s * 100)
        results.add(f"{case}, {WAKE_UPS}", name, (wake_ups - wake_ups_before) / took_s)


def _readings(found: Scene) -> dict[str, tuple[float, float, int]]:
    """Returns the time, CPU seconds and wake-ups, by consumer."""
    return {
        name: (time.monotonic(), process.cpu_s, process.wake_ups)
        for name, process in found.processes.items()
    }
