"""Measures what a measurement costs the flash that the outbox lies on."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import files, records
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.outbox.room import SEGMENT_BYTES
from tests.adapters.outbox.support import PORTAL, body_of, numbers, opened, store, take
from tests.bench.consumers import directory
from tests.bench.outbox import EACH
from tests.bench.plan import Plan
from tests.bench.results import RELAY, Results
from tests.support.loop_device import NoLoopDevice, ext4, written_kib

EACH_LINES = EACH + 110
"""The same as lines of the log: one when it is stored, and one when it is done."""
FLASH = "flash a measurement, KiB, one each 30 s"
FLASH_DAY = "flash a day, MB"
PAGES = "pages written for a measurement, KiB, without those of the file system"
PAGE = 4096
BARE = "the same lines in a bare file"
INTERVAL_S = 30.0


def flash(plan: Plan) -> Results:
    """Measures what a measurement costs the flash, at the block layer of a loop device.

    In real time, as the file system writes back by the clock; the answer comes after a second.
    Beside it, on a device of its own, the same two lines are written into a bare file. Where this
    machine gives no loop device, it counts the pages that the outbox writes instead.
    """
    try:
        return _flash_of_a_device(plan)
    except NoLoopDevice as error:
        return _pages(plan.pick(1_000, 100), str(error))


def _flash_of_a_device(plan: Plan) -> Results:
    results = Results({"file system": "ext4, blocks of 4 KiB, on a loop device"})
    with directory() as above, ExitStack() as stack:
        places = {}
        for name in (RELAY, BARE):
            (above / name).mkdir()
            places[name] = stack.enter_context(ext4(above / name))
        with ThreadPoolExecutor() as pool:
            count = plan.pick(20, 4)
            relay = pool.submit(_flash_kib, places[RELAY], count=count)
            bare = pool.submit(_bare_flash_kib, places[BARE], count=count)
            results.add(FLASH, RELAY, relay.result())
            results.add(FLASH, BARE, bare.result())
        results.add(FLASH_DAY, RELAY, relay.result() * 2880 * 1024 / 1e6)
    return results


def _pages(count: int, why: str) -> Results:
    """Counts the pages that the writes between two flushes touch: without the file system's own."""
    results, pages, flushed = Results({"no block layer": why}), set[tuple[int, int]](), 0
    write, flush = files.write, files.flush

    def noted(descriptor: int, offset: int, data: bytes) -> None:
        pages.update(
            (descriptor, page) for page in range(offset // PAGE, (offset + len(data)) // PAGE + 1)
        )
        write(descriptor, offset, data)

    def counted(descriptor: int) -> None:
        nonlocal flushed
        flushed += len(pages)
        pages.clear()
        flush(descriptor)

    with (
        pytest.MonkeyPatch.context() as patch,
        directory() as place,
        opened(place / "outbox") as box,
    ):
        patch.setattr(files, "write", noted)
        patch.setattr(files, "flush", counted)
        for number in range(1, count + 1):
            store(box, number, size=EACH)
            for owed in numbers(box):
                box.settle(take(box, owed), None)
    results.add(PAGES, RELAY, flushed / count * PAGE / 1024 + EACH_LINES / 1024)
    return results


def _flash_kib(place: Path, *, count: int) -> float:
    with opened(place / "outbox") as box:
        store(box, 0, size=EACH)
        seen = box.wait(-1, 0.0)

        def put(number: int) -> None:
            nonlocal seen
            box.store(body_of(number, size=EACH), portal_id=PORTAL, is_clock_trusted=True)
            seen = box.wait(seen, 1.0)

        def settle() -> None:
            for number in numbers(box):
                box.settle(take(box, number), None)

        return _kib_each(place, put, settle, count)


def _bare_flash_kib(place: Path, *, count: int) -> float:
    """The floor: a file of filler into which the same lines are written, and the first flushed."""
    line = records.put(Entry(1, PORTAL, body_of(1, size=EACH), is_final=True))
    done = records.done(1, PORTAL)
    (place / "file").write_bytes(b"\n" * SEGMENT_BYTES)
    with (place / "file").open("r+b", buffering=0) as file:

        def put(_: int) -> None:
            file.write(line)
            os.fdatasync(file.fileno())

        return _kib_each(place, put, lambda: file.write(done), count)


def _kib_each(
    place: Path, put: Callable[[int], object], settle: Callable[[], object], count: int
) -> float:
    """KiB that a file system writes for a measurement each 30 s, which is settled after one."""
    os.sync()
    time.sleep(INTERVAL_S)
    before_kib, began_s = written_kib(place), time.monotonic()
    for number in range(1, count + 1):
        put(number)
        time.sleep(1.0)
        settle()
        time.sleep(max(0.0, began_s + number * INTERVAL_S - time.monotonic()))
    each_kib = (written_kib(place) - before_kib) / count
    # The next segment, and its names, for as many measurements as it holds.
    return each_kib + (SEGMENT_BYTES + 20 * PAGE) / 1024 * EACH_LINES / SEGMENT_BYTES
