"""What is measured inside a process: building a measurement, and the spool."""

import os
import time
from datetime import timedelta
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.core.measurement import Measurement, to_json
from mqtt_http_bridge.core.settings import OutboxSettings
from tests.bench.consumers import directory
from tests.bench.machine import file_system
from tests.bench.plan import Plan
from tests.bench.results import RELAY, Results, rounds
from tests.bench.traffic import portal_ids
from tests.bench.virtual_gx import VirtualGx
from tests.bench.waiting import Failed

CHARGERS = (1, 20, 1000)
BUILD = "CPU ms to build a measurement of {:,}"
SPOOL_CPU = "append and settle, CPU ms"
BARE = "bare system calls"
BARE_APPEND = "of these the append"


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
        to_json(each)
    took_ms = (time.process_time() - began_s) * 1000
    if [len(each.devices) for each in measured] != [chargers]:
        raise Failed(f"expected one measurement of {chargers} chargers, found {len(measured)}")
    return took_ms


def spool(plan: Plan) -> Results:
    """CPU milliseconds of one append and of its settling, and all the time it takes."""
    results = Results()
    for _ in range(plan.pick(5, 1)):
        with directory() as place:
            results.note("file system", file_system(place))
            _time_spool(place, plan.pick(1000, 200), results)
    return results


def _time_spool(place: Path, count: int, results: Results) -> None:
    outbox = Outbox(OutboxSettings(str(place)), Boot("bench", 0.0))
    measurement = a_measurement()
    began_s, cpu_s = time.monotonic(), time.process_time()
    for _ in range(count):
        outbox.append(measurement)
        (number,) = outbox.wait(1.0)
        entry = outbox.take(number)
        if entry is None:
            raise Failed(f"expected entry {number} in the outbox")
        outbox.settle(entry, None)
    results.add(SPOOL_CPU, RELAY, (time.process_time() - cpu_s) / count * 1000)
    results.add("append and settle, ms", RELAY, (time.monotonic() - began_s) / count * 1000)
    outbox.close()
    began_s, cpu_s, append_s = time.monotonic(), time.process_time(), 0.0
    for _ in range(count):
        append_began_s = time.process_time()
        _write(place, to_json(measurement))
        append_s += time.process_time() - append_began_s
        os.unlink(f"{place}/floor")  # noqa: PTH108
    results.add(SPOOL_CPU, BARE, (time.process_time() - cpu_s) / count * 1000)
    results.add(SPOOL_CPU, BARE_APPEND, append_s / count * 1000)
    results.add("append and settle, ms", BARE, (time.monotonic() - began_s) / count * 1000)


def _write(place: Path, body: bytes) -> None:
    """The floor: what it takes to have a file on the disk under its name.

    Without a Path, which would cost as much again.
    """
    part, whole = f"{place}/floor.part", f"{place}/floor"
    for path, flags in ((part, os.O_WRONLY | os.O_CREAT), (str(place), os.O_RDONLY)):
        descriptor = os.open(path, flags, 0o600)
        if path == part:
            os.write(descriptor, body)
        else:
            os.rename(part, whole)  # noqa: PTH104
        os.fsync(descriptor)
        os.close(descriptor)


def fill_spool(place: str, count: int) -> None:
    """Appends `count` measurements to a new spool."""
    outbox = Outbox(OutboxSettings(place, max_bytes=1_000_000_000), Boot("bench", 0.0))
    measurement = a_measurement()
    for number in range(count):
        outbox.append(measurement.shifted(timedelta(seconds=30 * number)))
    outbox.close()


def a_measurement() -> Measurement:
    """Of two chargers."""
    gx = VirtualGx(portal_ids(1), 2)
    gx.start()
    return gx.act_at(gx.until_next_measurement())[0]
