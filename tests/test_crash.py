"""Whatever moment the process or the power dies at: nothing is missing and nothing has changed."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Boot, Outbox, inspection
from mqtt_http_bridge.app.stand_in_backend import StandInBackend
from mqtt_http_bridge.core.measurement import Measurement
from tests.crashing import API_KEY, STEP_S, UNKNOWN, Nursery, nursery, serials_of
from tests.mortal_disk import Call, Machine, PowerlessDisk, machine
from tests.outboxes import (
    BOOT,
    NEXT_BOOT,
    drain,
    measurement,
    minute_of,
    opened,
    settings,
    take,
)

KILLS = 300
LONGEST_PAUSE_S = 0.05
"""The longest that a relay lives on after what it said last: it posts meanwhile."""
SERIALS = "ABC"


# --- a real process, killed at random ----------------------------------------------------------


def test_a_relay_killed_hundreds_of_times(tmp_path: Path) -> None:
    """All it had appended arrives, and each measurement has one time and one value for ever.

    One device is unknown to the backend until the end, and the clock is set again and again.
    """
    directory = tmp_path / "outbox"
    backend = StandInBackend(known_serials={"A", "B"}, api_key=API_KEY, strict=True)
    with backend, nursery(directory, backend.url) as children:
        rng = random.Random(2026)
        for _ in range(KILLS):
            children.kill_one(rng, longest_pause_s=LONGEST_PAUSE_S)
            assert numbers_are_in_order(directory)
        assert not any(serial == UNKNOWN for _, serial in backend.stored)
        # They died while they posted, too, and not only before.
        assert len(backend.received) > KILLS / 3
        backend._known_serials = None
        children.let_one_finish()
    assert children.story.deaths == KILLS + 1
    assert children.story.rest == "0 0"
    assert children.story.steps > KILLS / 10
    assert backend.contract_violations == []
    assert_all_arrived(children, backend)
    assert inspection.status(directory, None, 30.0).damaged == 0


def numbers_are_in_order(directory: Path) -> bool:
    """Whether what waits was made in the order of the numbers."""
    if not (directory / "waiting").is_dir():
        return True
    waiting = [
        minute_of(listed.measurement)
        for listed in inspection.entries(directory)
        if listed.measurement is not None and listed.parked_serial is None
    ]
    return waiting == sorted(waiting)


def assert_all_arrived(children: Nursery, backend: StandInBackend) -> None:
    """Every device of every measurement is stored, under one timestamp."""
    stored: dict[int, set[str]] = defaultdict(set)
    timestamps: dict[int, set[str]] = defaultdict(set)
    for (timestamp, serial), device in backend.stored.items():
        minute = int(device["yield_total_kwh"])
        stored[minute].add(serial)
        timestamps[minute].add(timestamp)
    for minute in children.story.made:
        assert stored[minute] == set(serials_of(minute)), minute
    assert stored.keys() <= children.story.making
    assert all(len(found) == 1 for found in timestamps.values())
    assert len(children.story.making - children.story.made) <= KILLS


# --- every system call -------------------------------------------------------------------------


@dataclass(frozen=True)
class Appended:
    """From here on this is on the disk."""

    minute: int


@dataclass(frozen=True)
class Appending:
    """From here on this may be on the disk."""

    minute: int


@dataclass(frozen=True)
class Delivered:
    """From here on the outbox owes this no more."""

    minute: int
    serial: str


@dataclass(frozen=True)
class Sent:
    """From here on this may be stored, and may not change."""

    minute: int
    timestamp: str


def append(outbox: Outbox, now: Machine, minute: int) -> None:
    now.mark(Appending(minute))
    outbox.append(measurement(minute, *SERIALS))
    now.mark(Appended(minute))


def send(outbox: Outbox, now: Machine, number: int, stored: str, parked: str = "") -> None:
    """One POST: the backend takes some devices, refuses some, and the others are still owed."""
    entry = take(outbox, number)
    minute = minute_of(entry.measurement)
    now.mark(Sent(minute, entry.measurement.timestamp.isoformat()))
    for serial in stored:
        now.mark(Delivered(minute, serial))
    for serial in parked:
        assert outbox.park(entry, serial, "not found")
    owed = [d.serial for d in entry.measurement.devices if d.serial not in stored + parked]
    outbox.settle(entry, entry.measurement.only(owed) if owed else None)


def lead_a_life(directory: Path, now: Machine) -> None:
    """Everything an outbox does to its disk, twice, with a start in between."""
    for first, boot in ((1, BOOT), (5, Boot(BOOT.boot_id, BOOT.distance_s + 2 * STEP_S))):
        outbox = Outbox(settings(directory), boot)
        for minute in range(first, first + 3):
            append(outbox, now, minute)
        number = outbox.oldest(9)[-3]
        send(outbox, now, number, "AB", parked="C")
        outbox.note_clock_step(STEP_S)
        send(outbox, now, number + 1, "A")
        append(outbox, now, first + 3)
        send(outbox, now, number + 1, "B", parked="C")
        for serial in outbox.parked_serials():
            entry = outbox.take_parked(serial)
            assert entry is not None
            now.mark(Delivered(minute_of(entry.measurement), serial))
            outbox.unpark(entry, serial)
        outbox.close()


def owed_after(history: Iterable[object]) -> tuple[set[tuple[int, str]], set[int]]:
    """What has to be there by now, as minute and serial, and the minutes that may be."""
    owed: set[tuple[int, str]] = set()
    possible: set[int] = set()
    for event in history:
        match event:
            case Appending(minute):
                possible.add(minute)
            case Appended(minute):
                owed |= {(minute, serial) for serial in SERIALS}
            case Delivered(minute, serial):
                owed.discard((minute, serial))
    return owed, possible


def found_in(directory: Path, boot: Boot) -> list[Measurement]:
    """All that an outbox finds in the directory, waiting and parked; it opens without trouble."""
    with opened(directory, boot=boot) as outbox:
        found = []
        for serial in outbox.parked_serials():
            while (entry := outbox.take_parked(serial)) is not None:
                found.append(entry.measurement)
                outbox.unpark(entry, serial)
        waiting = drain(outbox)
        assert [minute_of(m) for m in waiting] == sorted(minute_of(m) for m in waiting)
    assert inspection.status(directory, None, 30.0).damaged == 0
    return found + waiting


def assert_nothing_lost(history: list[object], found: list[Measurement]) -> None:
    """All that is owed is there, nothing else is, and what was sent has kept its time."""
    owed, possible = owed_after(history)
    there = {(minute_of(m), device.serial) for m in found for device in m.devices}
    assert owed <= there
    assert {minute for minute, _ in there} <= possible
    sent = {event.minute: event.timestamp for event in history if isinstance(event, Sent)}
    for m in found:
        minute = minute_of(m)
        assert m.timestamp.isoformat() == sent.get(minute, m.timestamp.isoformat())


def test_a_life_without_death_owes_what_it_should(tmp_path: Path) -> None:
    """The scenario below does what it says: at its end four entries wait and two are parked."""
    with machine() as now:
        lead_a_life(tmp_path / "outbox", now)
    owed, _ = owed_after(now.history)
    waiting = {(minute, serial) for minute in (3, 4, 7, 8) for serial in SERIALS}
    assert owed == waiting | {(5, "C"), (6, "C")}
    assert_nothing_lost(now.history, found_in(tmp_path / "outbox", BOOT))


def test_death_at_every_system_call(tmp_path: Path) -> None:
    """As by kill -9: the next process of the same boot finds all that was owed."""
    calls, dies_at = 0, 0
    while dies_at <= calls:
        dies_at += 1
        directory = tmp_path / str(dies_at)
        with machine(dies_at) as now:
            lead_a_life(directory, now)
        calls = now.count
        off_s = STEP_S * 2
        assert_nothing_lost(
            now.history, found_in(directory, Boot(BOOT.boot_id, BOOT.distance_s + off_s))
        )
    assert calls > 150


@pytest.mark.parametrize("seed", [None, 1, 2, 3], ids=lambda seed: f"seed {seed}")
def test_power_loss_at_every_system_call(tmp_path: Path, seed: int | None) -> None:
    """The disk keeps what was flushed, and of the rest as little, or as odd a part, as it likes."""
    old_root, rng = tmp_path / "before", random.Random(seed) if seed is not None else None
    with machine() as now:
        lead_a_life(old_root, now)
    disk = PowerlessDisk()
    calls = 0
    for step, event in enumerate(now.history):
        if not isinstance(event, Call):
            continue
        disk.do(event)
        calls += 1
        directory = tmp_path / str(calls)
        directory.mkdir()
        disk.materialize(directory, tmp_path, rng)
        assert_nothing_lost(now.history[: step + 1], found_in(directory / "before", NEXT_BOOT))
    assert calls > 100
