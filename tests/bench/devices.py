"""Measures a relay with many GX devices on a broker, each with a charger in daylight."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.consumers import AUTO, directory, relay
from tests.bench.gx import BenchGx
from tests.bench.loads import Load
from tests.bench.plan import Plan
from tests.bench.player import playing
from tests.bench.processes import Measured
from tests.bench.results import Results
from tests.bench.taker import Taker, backend
from tests.bench.traffic import Wire, portal_ids, publish_frame, said_by
from tests.bench.waiting import wait_for
from tests.support.loop_device import ext4, written_kib
from tests.support.mosquitto import Mosquitto

INTERVAL_S = 30.0
CHANGING = ("Yield/Power", "Pv/V", "Dc/0/Voltage", "Dc/0/Current")
"""Paths that a charger says each second."""
TURNS = 10
"""So many seconds are prepared; then they come again."""
PIECES = 20
"""The GX devices of a fleet speak one after another: so many groups of them in a second."""
FOUND_WITHIN_S = 900.0
FOUND = "until each was measured, s"
CPU = "CPU percent of a core"
RSS = "RSS, MiB"
P50, P99, WORST = (f"from the moment to the backend, {which}, s" for which in ("p50", "p99", "max"))
WRITTEN = "KiB written to the disk for a measurement"
BY_GX = "CPU percent of a core for each GX"
MEASURED = "measurements for each GX and interval"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A number of GX devices, and a backend that takes so long for a POST."""

    count: int
    post_s: float = 0.1
    connections: int | None = None
    """Those to the backend; None: as many as the relay chooses."""

    @property
    def name(self) -> str:
        """Names it in the report."""
        plural = "s" if self.count > 1 else ""
        name = f"{self.count} GX device{plural}, {self.post_s * 1000:g} ms"
        return name if self.connections is None else f"{name}, {self.connections} connections"


def devices(plan: Plan) -> Results:
    """All of a relay's work, from the broker to a backend that takes 100 or 200 ms for a POST."""
    results = Results({"load": "4 messages a second for each charger, heartbeats, full publishes"})
    for case in plan.pick(CASES, QUICK_CASES):
        _measure(plan, case, results)
    return results


ONE_OF_5000 = Case(count=5000, connections=32)
"""With 0.1 s for a POST they need 17 connections, and there are some to spare."""
ONE_OF_1000 = Case(count=1000)
ONE_OF_100 = Case(count=100)
QUICK_CASES = (Case(count=10), ONE_OF_100)
CASES = (
    *(Case(count=1), *QUICK_CASES, ONE_OF_1000, Case(count=1000, post_s=0.2)),
    *(Case(count=5000), ONE_OF_5000),
)


def _measure(plan: Plan, case: Case, results: Results) -> None:
    window_s = plan.pick(2, 1) * INTERVAL_S
    with (
        backend(case.post_s) as taker,
        directory() as above,
        ext4(above) as place,
        _at_work(case, taker, place, results) as process,
    ):
        taker.take_delays_s()
        cpu_s, kib, began_s = process.cpu_s, written_kib(place), time.monotonic()
        time.sleep(window_s)
        took_s = time.monotonic() - began_s
        percent = (process.cpu_s - cpu_s) / took_s * 100
        delays_s = sorted(taker.take_delays_s())
        found = {
            CPU: percent,
            BY_GX: percent / case.count,
            RSS: process.memory_mib["RSS"],
            P50: delays_s[len(delays_s) // 2],
            P99: delays_s[len(delays_s) * 99 // 100],
            WORST: delays_s[-1],
            WRITTEN: (written_kib(place) - kib) / len(delays_s),
            MEASURED: len(delays_s) / case.count / (took_s / INTERVAL_S),
        }
        for what, value in found.items():
            results.add(f"{case.name}: {what}", "relay", value)


@contextmanager
def _at_work(case: Case, taker: Taker, place: Path, results: Results) -> Iterator[Measured]:
    """A relay that has found so many GX devices by itself, and measures each of them."""
    ids = portal_ids(case.count)
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        gx = stack.enter_context(BenchGx(broker.inside_port, ids, 1))
        wire = stack.enter_context(closing(Wire(broker.inside_port, "bench-load")))
        stack.enter_context(playing(wire, daylight(ids)))
        began_s = time.monotonic()
        connections = case.connections or "auto"
        consumer = relay(
            taker.url, AUTO, backend={"connections": connections}, outbox={"max_rate": 1000}
        )
        process = stack.enter_context(consumer.start(broker.port, place))
        wait_for(
            f"{case.count} GX devices to be measured",
            lambda: taker.serials >= case.count,
            within_s=FOUND_WITHIN_S,
            every_s=0.5,
        )
        results.add(f"{case.name}: {FOUND}", "relay", time.monotonic() - began_s)
        time.sleep(INTERVAL_S)
        yield process
        gx.check()


def daylight(ids: list[str]) -> Load:
    """The changes of ten seconds."""
    pieces = tuple(
        (
            turn + number / PIECES,
            tuple(
                publish_frame(said.topic, said.payload)
                for portal_id in ids[number::PIECES]
                for said in said_by(portal_id, 1, turn, CHANGING)
            ),
        )
        for turn in range(TURNS)
        for number in range(min(PIECES, len(ids)))
    )
    return Load(
        name=f"daylight of {len(ids)} chargers",
        opening=b"",
        pieces=pieces,
        period_s=float(TURNS),
        interesting=1.0,
        changed=1.0,
    )
