"""Measures inside a process: building a measurement, and the core with many portals."""

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import Boot, Outbox, records
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.bench.consumers import directory
from tests.bench.machine import file_system
from tests.bench.plan import Plan
from tests.bench.results import RELAY, Results, rounds
from tests.bench.traffic import portal_ids
from tests.bench.virtual_gx import VirtualGx
from tests.bench.waiting import Failed
from tests.support.measuring import shifted

CHARGERS = (1, 20, 64)
BUILD = "CPU ms to build a measurement of {:,}"
SPOOL_CPU = "append and settle, CPU ms"
SPOOL_WALL = "append and settle, ms"
BARE = "bare write and fdatasync"
HANDED = "the same by a second thread, asked and awaited, and a line written after it"


def build(plan: Plan) -> Results:
    """CPU milliseconds to build a measurement and its bytes, by chargers."""
    results = Results()
    for each_round in rounds(CHARGERS, plan.pick(9, 3)):
        for chargers in each_round:
            results.add(BUILD.format(chargers), "value", _build_ms(chargers))
    return results


def _build_ms(chargers: int) -> float:
    gx = VirtualGx(portal_ids(1), chargers)
    gx.start()
    due_s = gx.until_next_measurement()
    began_s = time.process_time()
    measured = gx.act_at(due_s)
    for each in measured:
        to_body(each)
    took_ms = (time.process_time() - began_s) * 1000
    if [len(each.devices) for each in measured] != [chargers]:
        raise Failed(f"expected one measurement of {chargers} chargers, found {len(measured)}")
    return took_ms


def spool(plan: Plan) -> Results:
    """Milliseconds of CPU and of the clock that an entry takes, from storing to settling it."""
    results = Results()
    for _ in range(plan.pick(5, 1)):
        with directory() as place:
            results.note("file system", file_system(place))
            _time_spool(place, plan.pick(1000, 200), results)
    return results


def _time_spool(place: Path, count: int, results: Results) -> None:
    outbox = Outbox(OutboxSettings(str(place)), DIALECT, Boot("bench", 0.0))
    body, portal_id = to_body(a_measurement()), portal_ids(1)[0]
    began_s, cpu_s, seen, number = time.monotonic(), time.process_time(), -1, 0
    for _ in range(count):
        outbox.store(body, portal_id=portal_id, is_clock_trusted=True)
        while (found := outbox.oldest_after(portal_id, number)) is None:
            seen = outbox.wait(seen, 5.0)
        entry = outbox.take(portal_id, number := found)
        if entry is None:
            raise Failed(f"expected entry {number} in the outbox")
        outbox.settle(entry, None)
    results.add(SPOOL_CPU, RELAY, (time.process_time() - cpu_s) / count * 1000)
    results.add(SPOOL_WALL, RELAY, (time.monotonic() - began_s) / count * 1000)
    outbox.close()
    lines = (
        records.put(Entry(1, portal_id, body, is_final=True)),
        records.done(1, portal_id),
    )
    for name, write in ((BARE, _write_bare), (HANDED, _write_handed)):
        with _filled(place / name, sum(map(len, lines)) * count) as descriptor:
            began_s, cpu_s = time.monotonic(), time.process_time()
            write(descriptor, lines, count)
            results.add(SPOOL_CPU, name, (time.process_time() - cpu_s) / count * 1000)
            results.add(SPOOL_WALL, name, (time.monotonic() - began_s) / count * 1000)


@contextmanager
def _filled(path: Path, size: int) -> Iterator[int]:
    """A file of filler, which is on the disk: what is written into it changes no metadata."""
    path.write_bytes(b"\n" * size)
    descriptor = os.open(path, os.O_WRONLY)
    os.fsync(descriptor)
    yield descriptor
    os.close(descriptor)


def _write_bare(descriptor: int, lines: Sequence[bytes], count: int) -> None:
    """The floor: lines that are written into a file of filler, and flushed one by one."""
    for number in range(count):
        os.pwrite(descriptor, lines[0], number * len(lines[0]))
        os.fdatasync(descriptor)


def _write_handed(descriptor: int, lines: Sequence[bytes], count: int) -> None:
    """Does what two threads need at least: one waits for the other, which writes and flushes."""
    asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    flushed: queue.SimpleQueue[int] = queue.SimpleQueue()

    def write() -> None:
        while (at := asked.get()) is not None:
            os.pwrite(descriptor, lines[0], at)
            os.fdatasync(descriptor)
            flushed.put(at + len(lines[0]))

    writer = threading.Thread(target=write)
    writer.start()
    at = 0
    for _ in range(count):
        asked.put(at)
        at = flushed.get()
        os.pwrite(descriptor, lines[1], at)
        at += len(lines[1])
    asked.put(None)
    writer.join()


def fill_spool(place: str, count: int, portals: Sequence[str] = ()) -> None:
    """Stores `count` measurements in a new outbox, of one GX or of each in turn."""
    outbox = Outbox(OutboxSettings(place, max_bytes=1_000_000_000), DIALECT, Boot("bench", 0.0))
    measurement, portals = a_measurement(), portals or portal_ids(1)
    for number in range(count):
        later = shifted(measurement, timedelta(seconds=30 * (number // len(portals))))
        portal_id = portals[number % len(portals)]
        outbox.store(to_body(later), portal_id=portal_id, is_clock_trusted=True)
        if number % 1000 == 999:  # The queue to the writer has a bound.
            outbox.flush(60.0)
    outbox.flush(60.0)
    outbox.close()


def a_measurement() -> Measurement:
    """Of two chargers."""
    gx = VirtualGx(portal_ids(1), 2)
    gx.start()
    return gx.act_at(gx.until_next_measurement())[0]
