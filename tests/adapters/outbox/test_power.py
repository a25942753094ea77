"""Tests power cuts between any two system calls: what is owed is there, and nothing else."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Entry, Outbox
from mqtt_http_bridge.adapters.outbox.cleaning import Cleaning
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.outbox.log import Log
from tests.adapters.outbox.power import Call, Disk, Record, recording
from tests.adapters.outbox.support import (
    BOOT,
    FORMAT,
    NEXT_BOOT,
    PORTAL,
    body_of,
    minute_of,
    numbers,
    opened,
    settled,
    take,
)

pytestmark = pytest.mark.long

SMALL = 16 * 16 * 1024
"""Room for sixteen of the smallest segments, so that they are rolled and cleaned away."""
SERIALS = ("A", "B", "C")


@dataclass(frozen=True)
class Storing:
    """From here on this may be on the disk."""

    minute: int


@dataclass(frozen=True)
class Stored:
    """From here on this is on the disk."""

    minute: int


@dataclass(frozen=True)
class Delivered:
    """From here on the outbox owes this no more."""

    minute: int
    serial: str


def lead_a_life(directory: Path, record: Record) -> None:
    """Does everything that an outbox does to its disk, with starts in between."""
    minute = 0
    for life in range(3):
        with opened(directory, max_bytes=SMALL) as outbox:
            for _ in range(14):
                minute += 1
                put(outbox, record, minute)
                if minute % 4:
                    deliver(outbox, record, outbox.newest(PORTAL) or 0, "A", "B", "C")
                elif minute % 3:
                    deliver(outbox, record, outbox.newest(PORTAL) or 0, "A", parked="B")
            if life == 1:
                outbox.unpark(PORTAL, "B")
            deliver(outbox, record, numbers(outbox)[0], "A")


def put(outbox: Outbox, record: Record, minute: int) -> None:
    record.mark(Storing(minute))
    body = body_of(minute, *SERIALS, size=1500)
    outbox.store(body, portal_id=PORTAL, is_clock_trusted=True)
    settled(outbox)
    record.mark(Stored(minute))


def deliver(outbox: Outbox, record: Record, number: int, *stored: str, parked: str = "") -> None:
    """One POST: some devices are stored, and of the others one may be parked."""
    entry = take(outbox, number)
    minute = minute_of(entry.body)
    for serial in stored:
        record.mark(Delivered(minute, serial))
    rest = [serial for serial in FORMAT.serials(entry.body) if serial not in stored]
    owed = FORMAT.only(entry.body, rest)
    if parked:
        outbox.park(entry, owed, rest, "not found")
    else:
        outbox.settle(entry, owed if rest else None)


def after(history: Iterable[object]) -> tuple[set[tuple[int, str]], set[int]]:
    """Returns what has to be there by now, as minute and serial; and the minutes that may be."""
    owed, possible = set[tuple[int, str]](), set[int]()
    for event in history:
        match event:
            case Storing(minute):
                possible.add(minute)
            case Stored(minute):
                owed |= {(minute, serial) for serial in SERIALS}
            case Delivered(minute, serial):
                owed.discard((minute, serial))
    return owed, possible


def found_in(directory: Path) -> tuple[set[tuple[int, str]], list[int]]:
    """Returns what an outbox owes that opens the directory, and the minutes by their numbers."""
    with opened(directory, max_bytes=SMALL, boot=NEXT_BOOT) as outbox:
        for view in outbox.view().portals:
            for device in view.parked:
                outbox.unpark(view.portal_id, device.serial)
        bodies = [take(outbox, number).body for number in numbers(outbox)]
        there = {(minute_of(body), s) for body in bodies for s in FORMAT.serials(body)}
        return there, [minute_of(body) for body in bodies]


def check(history: list[object], directory: Path) -> None:
    """All that is owed is there, nothing that never was, and in order."""
    owed, possible = after(history)
    there, minutes = found_in(directory)
    assert owed <= there
    assert {minute for minute, _ in there} <= possible
    assert minutes == sorted(set(minutes))


def test_the_life_below_does_what_it_says(tmp_path: Path) -> None:
    """It rolls, cleans, parks and frees; and at its end what is owed is there, and nothing else."""
    with recording() as record:
        lead_a_life(tmp_path / "outbox", record)
    owed, _ = after(record.history)
    there, _ = found_in(tmp_path / "outbox")
    assert there == owed
    assert len(there) > 20
    calls = [event.name for event in record.history if isinstance(event, Call)]
    assert calls.count("unlink") >= 2
    assert calls.count("flush") > 40


@pytest.mark.parametrize("seed", [None, 1, 2], ids=lambda seed: f"seed {seed}")
def test_power_loss_between_any_two_calls(tmp_path: Path, seed: int | None) -> None:
    """The disk keeps what was flushed, and of the rest as little, or as odd a part, as it likes."""
    old_root, rng = tmp_path / "before", random.Random(seed) if seed is not None else None
    with recording() as record:
        lead_a_life(old_root, record)
    disk, calls = Disk(), 0
    for step, event in enumerate(record.history):
        if isinstance(event, Call) and str(old_root) in event.path:
            disk.do(event)
            calls += 1
            root = tmp_path / str(calls)
            disk.leave(old_root, root, rng)
            check(record.history[: step + 1], root)
    assert calls > 150
    assert BOOT != NEXT_BOOT


@pytest.mark.parametrize("parked", ["", "B"], ids=["owed", "parked"])
def test_the_last_entry_of_a_segment_survives_being_cut(tmp_path: Path, parked: str) -> None:
    """A device of it is stored, and with that its segment goes, before anything else is flushed."""
    old_root = tmp_path / "before"
    with recording() as record, opened(old_root, max_bytes=SMALL) as outbox:
        put(outbox, record, 1)
        for minute in range(2, 16):
            put(outbox, record, minute)
            deliver(outbox, record, outbox.newest(PORTAL) or 0, *SERIALS)
        deliver(outbox, record, numbers(outbox)[0], "A", parked=parked)
        settled(outbox)
        cut = len(record.history)
    history, disk = record.history[:cut], Disk()
    for event in history:
        if isinstance(event, Call) and str(old_root) in event.path:
            disk.do(event)
    disk.leave(old_root, tmp_path / "after", None)
    check(history, tmp_path / "after")
    assert [event.name for event in history if isinstance(event, Call)].count("unlink") > 0


def test_segments_are_surely_gone_one_after_the_other(tmp_path: Path) -> None:
    """A later one never goes before the name of the one before is off the disk.

    The `done` of an entry may lie in it: were it gone, and the other back, the entry would be owed.
    """
    with recording() as record, opened(tmp_path / "outbox", max_bytes=SMALL) as outbox:
        for minute in range(1, 61):
            put(outbox, record, minute)
        for number in numbers(outbox):
            outbox.settle(take(outbox, number), None)
        settled(outbox)
    calls = [event for event in record.history if isinstance(event, Call)]
    is_pending, removed = False, 0
    for call in calls:
        if call.name == "unlink" and call.path.endswith(".log"):
            assert not is_pending, call
            is_pending, removed = True, removed + 1
        elif call.name == "flush" and call.path.endswith("/log"):
            is_pending = False
    assert removed >= 3


def test_power_loss_after_the_flush_of_a_clean_up_was_refused(tmp_path: Path) -> None:
    """Nothing written again is on the disk: where it was before stays until it is."""
    old_root = tmp_path / "before"
    log = Log(LogFiles(old_root, SMALL), FORMAT, BOOT)
    cleaning = Cleaning(log)
    with recording() as record:
        log.reopen()
        cleaning.bring_in()
        for minute in (1, 2):
            log.put(Entry(0, PORTAL, body_of(minute, *SERIALS), is_final=True))
        for _ in range(15):  # More than there is room for, so that one has to go for the next one.
            log.segments.roll(SMALL // 16)
        log.flush()
        record.refused_flush = 1
        with pytest.raises(OSError, match="Input/output error") as refused:
            cleaning.tidy()
        log.fail(refused.value)
        log.reopen()
        cleaning.bring_in()
        cleaning.tidy()
    log.segments.close()
    disk, gone = Disk(), 0
    for step, event in enumerate(record.history):
        assert isinstance(event, Call)
        disk.do(event)
        if event.name == "unlink":
            gone += 1
            disk.leave(old_root, tmp_path / f"{step}", None)
            assert found_in(tmp_path / f"{step}")[1] == [1, 2]
    assert gone == 16
