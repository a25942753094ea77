"""A thousand GX devices in one process, against a backend that takes 100 ms for each POST.

From the measurement on: stored, sent and settled. What the broker's part costs the sections of
portals tell.
"""

import time
from datetime import timedelta
from pathlib import Path

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Secret
from tests.bench.consumers import directory
from tests.bench.inside import a_measurement, fill_spool
from tests.bench.plan import Plan
from tests.bench.processes import in_child
from tests.bench.results import Results
from tests.bench.taker import backend
from tests.support.measuring import only, shifted

GX_DEVICES = 1000
INTERVAL_S = 30.0
POST_S = 0.1
BACKLOG = 120_000
P99 = "a live value of 1,000 GX devices is stored after s, p99"
GROWTH = "live values that wait at the end and did not a minute before, of 1,000 GX devices"


def fleet(plan: Plan) -> Results:
    """Measures how soon live values are stored beside a backlog, and what that costs."""
    span_s, entries = plan.pick((600.0, BACKLOG), (90.0, 10_000))
    results = Results({"backlog": f"{entries:,}", "span": f"{span_s:g} s", "POST": "100 ms"})
    with directory() as place, backend(POST_S) as taker:
        fill_spool(str(place), entries, PORTALS)
        call = f"deliver({str(place)!r}, {taker.url!r}, {span_s!r})"
        found = in_child(
            f"import json; from tests.bench.fleet import deliver; print(json.dumps({call}))",
            timeout_s=span_s + 300.0,
        )
    for case, value in found.items():
        results.add(case, "value", value)
    return results


PORTALS = tuple(f"gx{n}" for n in range(GX_DEVICES))


def deliver(place: str, url: str, span_s: float) -> dict[str, float]:
    """Measures for so long, in this process."""
    settings = BackendSettings(url, Secret("key"))
    watch = _Watch()
    outbox = Outbox(OutboxSettings(place, max_bytes=1_000_000_000), DIALECT, Boot("bench", 0.0))
    senders = Senders(
        outbox,
        lambda: _Noting(settings, watch),
        DIALECT,
        ApiKeys(settings),
        max_rate_per_s=1000.0,
    )
    storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=True)
    outbox.flush(60.0)
    waited = sum(portal.owed for portal in outbox.view().portals)
    senders.start()
    began_s, cpu_s = time.monotonic(), time.process_time()
    count = int(GX_DEVICES * span_s / INTERVAL_S)
    late_before = 0
    for number in range(count):
        due_s = began_s + number * INTERVAL_S / GX_DEVICES
        time.sleep(max(0.0, due_s - time.monotonic()))
        watch.measure(storing, number)
        if number == count - int(60.0 * GX_DEVICES / INTERVAL_S):
            late_before = watch.late
    late = watch.late
    took_s, used_s = time.monotonic() - began_s, time.process_time() - cpu_s
    waits = sorted(watch.waits_s)
    left = sum(portal.owed for portal in outbox.view().portals)
    senders.stop(5.0)
    outbox.close()
    return {
        P99: waits[len(waits) * 99 // 100],
        "the same, median": waits[len(waits) // 2],
        "the same, at worst": waits[-1],
        GROWTH: max(0, late - late_before),
        "backlog drained a second": (waited - left) / took_s,
        "CPU percent of a core": used_s / took_s * 100,
        "RSS, MiB": _rss_mib(),
    }


class _Watch:
    """Notes when each live value was measured, and how long it took until it was stored."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self._measurement = only(a_measurement(), [a_measurement().devices[0].serial])
        self._made_s: dict[str, float] = {}

    @property
    def late(self) -> int:
        """Counts how many are not stored after 5 s."""
        now_s = time.monotonic()
        return sum(now_s - made_s > 5.0 for made_s in list(self._made_s.values()))

    def measure(self, storing: Storing, number: int) -> None:
        """Has one GX measured."""
        portal_id = PORTALS[number % GX_DEVICES]
        later = timedelta(days=3650, milliseconds=number)
        measurement = shifted(self._measurement, later)
        self._made_s[DIALECT.timestamp(DIALECT.body(measurement))] = time.monotonic()
        storing.store(Store(measurement, portal_id))

    def stored(self, body: bytes) -> None:
        """Takes in that an entry was stored."""
        made_s = self._made_s.pop(DIALECT.timestamp(body), None)
        if made_s is not None:
            self.waits_s.append(time.monotonic() - made_s)


class _Noting(Backend):
    """A backend that notes what was stored."""

    def __init__(self, settings: BackendSettings, watch: _Watch) -> None:
        super().__init__(settings, DIALECT)
        self._watch = watch

    def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
        answer = super().post(body, api_key)
        if isinstance(answer, Reply) and answer.status == 201:
            self._watch.stored(body)
        return answer


def _rss_mib() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096 / 2**20
