"""What is measured inside a process: the core and the spool, without a broker."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.core.delivery import Answer, NoReply
from mqtt_http_bridge.core.measurement import Measurement, to_json
from mqtt_http_bridge.core.settings import OutboxSettings
from tests.bench.traffic import portal_ids
from tests.bench.virtual_gx import VirtualGx

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def build_times(repetitions: int) -> dict[str, float]:
    """CPU milliseconds to build a measurement and its bytes, by chargers."""
    return {
        f"{chargers} chargers": median(_build_ms(chargers) for _ in range(repetitions))
        for chargers in (1, 20, 1000)
    }


def _build_ms(chargers: int) -> float:
    gx = VirtualGx(portal_ids(1), chargers)
    gx.start()
    due_s = gx.until_next_measurement()
    began_s = time.process_time()
    for measurement in gx.act_at(due_s):
        to_json(measurement)
    return (time.process_time() - began_s) * 1000


def portal_curve(minutes: float) -> dict[str, float]:
    """CPU microseconds of the core for a minute of one portal with one charger, by portals."""
    found = {}
    for portals in (1, 10, 100, 1000):
        gx = VirtualGx(portal_ids(portals), 1)
        gx.start()
        began_s = time.process_time()
        gx.let(minutes * 60)
        found[f"{portals} portals"] = (time.process_time() - began_s) / portals / minutes * 1e6
    return found


def spool(count: int, directory: Path) -> dict[str, float]:
    """CPU milliseconds of one append and of its settling, and of all the time it takes."""
    outbox = Outbox(OutboxSettings(str(directory)), Boot("bench", 0.0))
    measurement = _measurement()
    began_s, cpu_s = time.monotonic(), time.process_time()
    for _ in range(count):
        outbox.append(measurement)
        (number,) = outbox.wait(1.0)
        entry = outbox.take(number)
        assert entry is not None
        outbox.settle(entry, None)
    found = {
        "CPU ms": (time.process_time() - cpu_s) / count * 1000,
        "ms": (time.monotonic() - began_s) / count * 1000,
    }
    outbox.close()
    return found


def outage(directory: str) -> dict[str, float]:
    """MiB that a day without the backend adds: 2,880 measurements, each of which is tried."""
    outbox = Outbox(OutboxSettings(directory), Boot("bench", 0.0))
    sender = Sender(outbox, _Nobody(), max_rate_per_s=1000.0)
    sender.start()
    measurement = _measurement()
    for number in range(100):
        outbox.append(measurement.shifted(timedelta(seconds=30 * number)))
    before = _rss_mib()
    for number in range(100, 2980):
        outbox.append(measurement.shifted(timedelta(seconds=30 * number)))
    after = _rss_mib()
    sender.stop(5.0)
    outbox.close()
    return {"growth": after - before}


class _Nobody:
    """A backend that is away."""

    def post(self, body: bytes) -> Answer:
        return NoReply("away", is_sent=False)

    def close(self) -> None:
        """Has nothing to close."""


def _rss_mib() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096 / 2**20


def fill_spool(directory: str, count: int) -> None:
    """Appends `count` measurements to a new spool."""
    outbox = Outbox(OutboxSettings(directory, max_bytes=1_000_000_000), Boot("bench", 0.0))
    measurement = _measurement()
    for number in range(count):
        outbox.append(measurement.shifted(timedelta(seconds=30 * number)))
    outbox.close()


def _measurement() -> Measurement:
    gx = VirtualGx(portal_ids(1), 2)
    gx.start()
    return gx.act_at(gx.until_next_measurement())[0]
