"""Measures the outbox: its writer, and its start."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import files, records
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.room import SEGMENT_BYTES
from tests.adapters.outbox.support import PORTAL, body_of, opened, outbox_in
from tests.bench.consumers import directory
from tests.bench.plan import Plan
from tests.bench.results import Results

EACH = 750
"""A measurement of two chargers, in bytes."""

DURABLE = "1,000 GX devices in a second, 15 ms a flush: durable after, p99, ms"
AT_ONCE = "1,000 GX devices at once, 15 ms a flush: durable after, ms"
SLOWEST = "the slowest call to store of them, ms"
OPEN_S = "opening {:,} entries, s"
OPEN_MB = "opening {:,} entries, MB"
WEEK, WEEK_OF_60 = 20_000, 1_200_000
"""Measurements that a GX, and sixty of them, make in a week."""


def outbox(plan: Plan) -> Results:
    """Measures how long the outbox takes over what it is given, and to start, on this disk."""
    results = Results()
    counts = (WEEK,) if plan.is_quick else (WEEK, WEEK_OF_60)
    for _ in range(plan.pick(3, 1)):
        with directory() as place:
            _thousand_at_once(place, results)
        with directory() as place:
            _thousand_in_a_second(place, results)
    for count in counts:
        with directory() as place:
            _write_log(place / "outbox", count, count // WEEK)
            for _ in range(plan.pick(3, 1)):
                took_s, megabytes = _open_in_a_process(place / "outbox")
                results.add(OPEN_S.format(count), "value", took_s)
                results.add(OPEN_MB.format(count), "value", megabytes)
    return results


def _emulated_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "flush", lambda descriptor: time.sleep(0.015))


def _thousand_at_once(place: Path, results: Results) -> None:
    """Measures how long a thousand GX devices wait that measure at the same moment."""
    with pytest.MonkeyPatch.context() as patch, opened(place / "outbox") as box:
        _emulated_flush(patch)
        portals = [f"gx{n}" for n in range(1000)]
        slowest_s, began_s, seen = 0.0, time.perf_counter(), box.wait(-1, 0.0)
        for portal in portals:
            before_s = time.perf_counter()
            box.store(body_of(1, size=EACH), portal_id=portal, is_clock_trusted=True)
            slowest_s = max(slowest_s, time.perf_counter() - before_s)
        while not all(box.newest(portal) for portal in portals[-1:]):
            seen = box.wait(seen, 5.0)
        took_s = time.perf_counter() - began_s
    results.add(AT_ONCE, "value", took_s * 1000)
    results.add(SLOWEST, "value", slowest_s * 1000)


def _thousand_in_a_second(place: Path, results: Results) -> None:
    """Measures how long each of a thousand GX devices waits that measure spread over a second."""
    with pytest.MonkeyPatch.context() as patch, opened(place / "outbox") as box:
        _emulated_flush(patch)
        stored_s, durable_s = dict[int, float](), dict[int, float]()

        def watch() -> None:
            seen, last = -1, 0
            while last < 1000:
                seen = box.wait(seen, 1.0)
                newest = box.newest(PORTAL) or 0
                durable_s.update(dict.fromkeys(range(last + 1, newest + 1), time.perf_counter()))
                last = newest

        watcher = threading.Thread(target=watch)
        watcher.start()
        slowest_s, began_s = 0.0, time.perf_counter()
        for number in range(1, 1001):
            time.sleep(max(0.0, began_s + number / 1000 - time.perf_counter()))
            stored_s[number] = time.perf_counter()
            box.store(body_of(1, size=EACH), portal_id=PORTAL, is_clock_trusted=True)
            slowest_s = max(slowest_s, time.perf_counter() - stored_s[number])
        watcher.join()
    waits = sorted(durable_s[n] - stored_s[n] for n in stored_s)
    results.add(DURABLE, "value", waits[989] * 1000)
    results.add(SLOWEST, "value", slowest_s * 1000)


def _write_log(directory: Path, count: int, portals: int) -> None:
    """Writes a log of so many entries, all of them owed."""
    log_files = files.LogFiles(directory)
    log_files.take()
    segment, lines, size = 1, [records.head("0123456789abcdef", 1)], 0
    for number in range(1, count + 1):
        body = body_of(number, size=EACH)
        line = records.put(Entry(number, f"gx{number % portals}", body, is_final=True))
        if size + len(line) > SEGMENT_BYTES - 4096:
            _write_segment(directory, segment, b"".join(lines))
            segment, lines, size = segment + 1, [records.head("0123456789abcdef", number)], 0
        lines.append(line)
        size += len(line)
    _write_segment(directory, segment, b"".join(lines))
    log_files.give_up()


def _write_segment(directory: Path, segment: int, data: bytes) -> None:
    path = directory / "log" / f"{segment:016d}.log"
    path.write_bytes(data + b"\n" * (SEGMENT_BYTES - len(data)))


def _open_in_a_process(directory: Path) -> tuple[float, float]:
    """Opens an outbox in a new process; returns seconds and MB."""
    program = f"from tests.bench.outbox import _open; _open({str(directory)!r})"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    seconds, megabytes = found.stdout.split()
    return float(seconds), float(megabytes)


def _open(directory: str) -> None:
    """Prints how long opening takes, and by how much the process has grown at its largest."""
    outbox_in(Path(directory) / "none").close()
    before_kb = _most_kb()
    began_s = time.perf_counter()
    box = outbox_in(Path(directory), max_bytes=2_000_000_000)
    took_s = time.perf_counter() - began_s
    print(took_s, (_most_kb() - before_kb) / 1000)
    box.close()


def _most_kb() -> int:
    """Reads the most that this process has ever had in memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])
