"""Measures a relay with many GX devices on a broker, each with a charger in daylight."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

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
from tests.support.mosquitto import Mosquitto

COUNTS = (1, 10, 100, 1000, 5000)
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
WRITTEN = "KiB written for a measurement"
BY_GX = "CPU percent of a core for each GX"
MEASURED = "measurements for each GX and interval"


def devices(plan: Plan) -> Results:
    """All of a relay's work, from the broker to a backend that takes 100 or 200 ms for a POST."""
    results = Results({"load": "4 messages a second for each charger, heartbeats, full publishes"})
    for count in plan.pick(COUNTS, (10, 100)):
        _measure(plan, count, 0.1, results)
    if not plan.is_quick:
        _measure(plan, 1000, 0.2, results)
    return results


def name(count: int, post_s: float = 0.1) -> str:
    """Names a case."""
    return f"{count} GX device{'s' if count > 1 else ''}, {post_s * 1000:g} ms"


def _measure(plan: Plan, count: int, post_s: float, results: Results) -> None:
    case = name(count, post_s)
    window_s = plan.pick(2, 1) * INTERVAL_S
    with backend(post_s) as taker, _at_work(count, taker, case, results) as process:
        taker.take_delays_s()
        cpu_s, written, began_s = process.cpu_s, process.written_bytes, time.monotonic()
        time.sleep(window_s)
        took_s = time.monotonic() - began_s
        percent = (process.cpu_s - cpu_s) / took_s * 100
        delays_s = sorted(taker.take_delays_s())
        found = {
            CPU: percent,
            BY_GX: percent / count,
            RSS: process.memory_mib["RSS"],
            P50: delays_s[len(delays_s) // 2],
            P99: delays_s[len(delays_s) * 99 // 100],
            WORST: delays_s[-1],
            WRITTEN: (process.written_bytes - written) / 1024 / len(delays_s),
            MEASURED: len(delays_s) / count / (took_s / INTERVAL_S),
        }
        for what, value in found.items():
            results.add(f"{case}: {what}", "relay", value)


@contextmanager
def _at_work(count: int, taker: Taker, case: str, results: Results) -> Iterator[Measured]:
    """A relay that has found so many GX devices by itself, and measures each of them."""
    ids = portal_ids(count)
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        gx = stack.enter_context(BenchGx(broker.inside_port, ids, 1))
        wire = stack.enter_context(closing(Wire(broker.inside_port, "bench-load")))
        stack.enter_context(playing(wire, _daylight(ids)))
        place = stack.enter_context(directory())
        began_s = time.monotonic()
        consumer = relay(taker.url, AUTO, outbox={"max_rate": 1000})
        process = stack.enter_context(consumer.start(broker.port, place))
        wait_for(
            f"{count} GX devices to be measured",
            lambda: taker.serials >= count,
            within_s=FOUND_WITHIN_S,
            every_s=0.5,
        )
        results.add(f"{case}: {FOUND}", "relay", time.monotonic() - began_s)
        time.sleep(INTERVAL_S)
        yield process
        gx.check()


def _daylight(ids: list[str]) -> Load:
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
