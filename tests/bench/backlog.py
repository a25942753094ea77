"""Measures an outage of the backend: what waiting costs, and how fast the backlog is sent."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from time import monotonic

import requests

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Secret
from tests.bench.consumers import AUTO, directory, relay
from tests.bench.devices import daylight
from tests.bench.gx import BenchGx
from tests.bench.inside import a_measurement, fill_spool
from tests.bench.plan import Plan
from tests.bench.player import playing
from tests.bench.processes import in_child
from tests.bench.results import RELAY, Results
from tests.bench.taker import Taker, backend
from tests.bench.traffic import Wire, portal_ids
from tests.bench.virtual_gx import VirtualGx
from tests.bench.waiting import Failed, wait_for
from tests.support.mosquitto import Mosquitto

INTERVAL_S = 30.0
DAY = 2880
"""Measurements of a day."""
WARM = 100
"""After so many everything has been used once."""
GROWTH = "RSS added by a day without the backend, MiB"
RATE = "entries drained a second"
BUSY_RATE = "the same while 4,000 messages a second come in"
BARE = "a bare Session.post loop"
MANY = 1_000
BUSY_ENTRIES = 90_000
"""So many that some are left when a thousand GX devices have been found."""
BUSY_COUNTED = 10_000
ROOM_BYTES = 500_000_000
"""Holds all of them, and what is written again."""
DRAINED_WITHIN_S = 300.0


# --- a day without the backend -----------------------------------------------------------------


def outage(plan: Plan) -> Results:
    """Measures what a day of measurements adds to the memory of who keeps them and tries on."""
    results = Results()
    for _ in range(plan.pick(3, 1)):
        with directory() as place:
            call = f"print(json.dumps(day_without_backend({str(place)!r})))"
            found = in_child(
                f"import json; from tests.bench.backlog import day_without_backend; {call}"
            )
        results.add(GROWTH, "value", found["growth_mib"])
        results.add("POSTs that were tried", "value", found["tries"])
    return results


def day_without_backend(place: str) -> dict[str, float]:
    """The core, the outbox and a sender in virtual time, and a port where nobody listens."""
    skipped_s = 0.0
    outbox = Outbox(OutboxSettings(place), DIALECT, Boot("bench", 0.0))
    settings = BackendSettings(f"http://127.0.0.1:{_closed_port()}", Secret("key"))
    away = _Away(settings, DIALECT)
    # On top of real time: what the sender waits for in earnest has to come.
    senders = Senders(
        outbox,
        lambda: away,
        DIALECT,
        ApiKeys(settings),
        max_rate_per_s=10.0,
        now_s=lambda: skipped_s + monotonic(),
    )
    storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=True)
    senders.start()
    gx = VirtualGx(portal_ids(1), 2)
    gx.start()
    before_mib = 0.0
    for number in range(WARM + DAY):
        if number == WARM:
            before_mib = _rss_mib()
        gx.let(INTERVAL_S)
        if gx.latest is None:
            raise Failed(f"expected a measurement each {INTERVAL_S:g} s, found none")
        storing.store(Store(gx.latest, portal_ids(1)[0]))
        skipped_s += INTERVAL_S
        senders.finish()
    growth_mib = _rss_mib() - before_mib
    waiting = sum(portal.owed for portal in outbox.view().portals)
    if waiting != WARM + DAY:
        raise Failed(f"expected {WARM + DAY} measurements to wait, found {waiting}")
    senders.stop(5.0)
    outbox.close()
    return {"growth_mib": growth_mib, "tries": away.tries}


class _Away(Backend):
    """A backend that is away, and how often it was tried."""

    tries = 0

    def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
        self.tries += 1
        return super().post(body, api_key)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _rss_mib() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096 / 2**20


# --- the day after -----------------------------------------------------------------------------


def drain(plan: Plan) -> Results:
    """Entries a second from a full spool to a backend, with the pace taken off.

    Beside it a loop that does nothing but post, and the same drain while many GX devices speak.
    """
    entries = plan.pick(20_000, 2_000)
    results = Results({"entries": f"{entries:,}", "max_rate": "10000 a second, the most there is"})
    for _ in range(plan.pick(3, 1)):
        with backend() as taker:
            results.add(RATE, BARE, _bare_rate(taker, plan.pick(5_000, 1_000)))
        _drain(entries + WARM, entries, RATE, _to_one_gx, results)
        if not plan.is_quick:
            _drain(BUSY_ENTRIES, BUSY_COUNTED, BUSY_RATE, _to_many_gxs, results)
    return results


def _bare_rate(taker: Taker, count: int) -> float:
    call = f"print(json.dumps(post_again_and_again({taker.url!r}, {count})))"
    return float(
        in_child(f"import json; from tests.bench.backlog import post_again_and_again; {call}")
    )


def post_again_and_again(url: str, count: int) -> float:
    """Posts the same measurement `count` times over one connection; returns how many a second."""
    address, body = f"{url}/api/victron/measurements", DIALECT.body(a_measurement())
    with requests.Session() as session:
        session.post(address, data=body, timeout=10.0).raise_for_status()
        began_s = monotonic()
        for _ in range(count):
            session.post(address, data=body, timeout=10.0).raise_for_status()
        return count / (monotonic() - began_s)


@contextmanager
def _to_one_gx(broker: Mosquitto) -> Iterator[list[str]]:
    """One that says nothing."""
    yield portal_ids(1)


@contextmanager
def _to_many_gxs(broker: Mosquitto) -> Iterator[str]:
    """A thousand, whose chargers say four values a second each."""
    ids = portal_ids(MANY)
    with (
        BenchGx(broker.inside_port, ids, 1) as gx,
        closing(Wire(broker.inside_port, "bench-load")) as wire,
        playing(wire, daylight(ids)),
    ):
        yield AUTO
        gx.check()


def _drain(
    entries: int,
    counted: int,
    case: str,
    listens: Callable[[Mosquitto], AbstractContextManager[list[str] | str]],
    results: Results,
) -> None:
    """Counts so many POSTs, from the moment on at which each GX that speaks is measured."""
    with directory() as place, backend() as taker, Mosquitto() as broker:
        fill_spool(str(place / "outbox"), entries)
        with listens(broker) as portals:
            speaking = MANY if portals == AUTO else 1
            consumer = relay(
                taker.url, portals, outbox={"max_rate": 10000, "max_bytes": ROOM_BYTES}
            )
            with consumer.start(broker.port, place) as process:
                wait_for(
                    f"{speaking} GX devices to be measured",
                    lambda: taker.serials >= speaking,
                    within_s=120.0,
                    every_s=0.005,
                )
                began_s, cpu_s, first = monotonic(), process.cpu_s, taker.taken
                if first + counted > entries + speaking:
                    raise Failed(f"expected {counted} entries to be left, found {first} sent")
                wait_for(
                    f"{counted} measurements to be taken",
                    lambda: taker.taken >= first + counted,
                    within_s=DRAINED_WITHIN_S,
                    every_s=0.05,
                )
                took_s, used_s = monotonic() - began_s, process.cpu_s - cpu_s
                sent = taker.taken - first
                process.check()
    results.add(case, RELAY, sent / took_s)
    results.add(f"{case}: CPU ms of one", RELAY, used_s / sent * 1000)
