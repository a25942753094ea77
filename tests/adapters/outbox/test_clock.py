"""Tests a clock that is set before it is trusted: earlier times are corrected, once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox import Boot, clock
from mqtt_http_bridge.adapters.outbox.clock import MOST_STEPS, STEP_S, ClockNotes, clock_notes
from tests.adapters.outbox.support import (
    BOOT,
    NEXT_BOOT,
    PORTAL,
    bodies,
    body_of,
    crash,
    minutes,
    numbers,
    opened,
    settled,
    store,
    take,
)

pytestmark = pytest.mark.usefixtures("quick_disk")
HOUR_S = 3600.0


def set_by(boot: Boot, step_s: float) -> Boot:
    """The same boot, as a process finds it that starts after the clock was set."""
    return Boot(boot.boot_id, boot.distance_s + step_s)


@pytest.mark.parametrize("step_s", [86_400.0, -86_400.0, 30.0, 2.25])
def test_what_was_not_trusted_is_put_right(directory: Path, step_s: float) -> None:
    """By each step that came after it; what comes later is right already."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(step_s)
        store(outbox, 2, is_trusted=False)
        outbox.note_clock_step(60.0)
        store(outbox, 3, is_trusted=False)
        assert bodies(outbox) == [
            body_of(1, off_s=step_s + 60),
            body_of(2, off_s=60.0),
            body_of(3),
        ]


def test_a_small_step_is_none(directory: Path) -> None:
    """NTP slews, and two clocks are not read at one moment."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(STEP_S)
        assert minutes(outbox) == [1]


def test_a_trusted_entry_never_changes(directory: Path) -> None:
    """Whatever the clock does afterwards, and through restarts."""
    with opened(directory) as outbox:
        store(outbox, 1)
        outbox.note_clock_step(HOUR_S)
        settled(outbox)
    with opened(directory, boot=set_by(BOOT, 3 * HOUR_S)) as outbox:
        assert minutes(outbox) == [1]


def test_nothing_changes_once_the_clock_is_trusted(directory: Path) -> None:
    """It may have been sent since; a later process, which trusts nobody yet, changes nothing."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        outbox.trust_clock()
        outbox.note_clock_step(HOUR_S)
        settled(outbox)
        assert minutes(outbox) == [61]
        crash(outbox)
    with opened(directory, boot=set_by(BOOT, 9 * HOUR_S)) as outbox:
        store(outbox, 2, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        settled(outbox)
        assert minutes(outbox) == [61, 62]


def test_a_step_outlives_a_crash(directory: Path) -> None:
    """It is written down when it is noticed, and not taken for a second one afterwards."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        store(outbox, 62, is_trusted=False)
        crash(outbox)
    with opened(directory, boot=set_by(BOOT, HOUR_S)) as outbox:
        assert minutes(outbox) == [61, 62]


def test_a_step_between_two_processes_is_noticed(directory: Path) -> None:
    """The first did not live to see it: the distance of the two clocks tells."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        crash(outbox)
    with opened(directory, boot=set_by(BOOT, HOUR_S)) as outbox:
        assert minutes(outbox) == [61]


def test_small_differences_do_not_add_up(directory: Path) -> None:
    """A clock that is slewed for weeks was never set."""
    for restart in range(5):
        with opened(directory, boot=set_by(BOOT, 1.5 * restart)) as outbox:
            store(outbox, restart, is_trusted=False)
            assert minutes(outbox) == list(range(restart + 1))


def test_another_boot_moves_nothing_of_this_one(directory: Path) -> None:
    """Nobody can tell how far its clock was off; what was known of it by then stays."""
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        store(outbox, 62, is_trusted=False)
    with opened(directory, boot=NEXT_BOOT) as outbox:
        store(outbox, 63, is_trusted=False)
        outbox.note_clock_step(60.0)
        settled(outbox)
        assert minutes(outbox) == [61, 62, 64]


def test_a_boot_that_cannot_be_told_is_another_each_time(directory: Path) -> None:
    """Without an id, two processes may be of two boots: better no shift than a wrong one."""
    with opened(directory, boot=Boot("", 5.0)) as outbox:
        store(outbox, 1, is_trusted=False)
    with opened(directory, boot=Boot("", 5.0 + HOUR_S)) as outbox:
        assert minutes(outbox) == [1]


def test_a_step_is_known_after_its_segment_is_gone(directory: Path) -> None:
    """The head of each segment tells it; what is written again keeps its state."""
    with opened(directory, max_bytes=16 * 16_384) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        for minute in range(2, 100):
            store(outbox, minute, size=1000)
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
        settled(outbox)
        assert len(list((directory / "log").iterdir())) <= 3
        assert not (directory / "log" / "0000000000000001.log").exists()
        crash(outbox)
    with opened(directory, max_bytes=16 * 16_384, boot=set_by(BOOT, HOUR_S)) as outbox:
        assert minutes(outbox) == [61]


def test_a_part_that_is_left_keeps_the_time_that_was_sent(directory: Path) -> None:
    """Narrowed or parked, it bears the time under which the backend knows the rest."""
    with opened(directory) as outbox:
        store(outbox, 1, 2, serials=["A", "B"], is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        settled(outbox)
        outbox.settle(take(outbox, 1), body_of(61, "B"))
        outbox.park(take(outbox, 2), body_of(62, "B"), ["B"], "not found")
        outbox.unpark(PORTAL, "B")
        outbox.note_clock_step(HOUR_S)
        settled(outbox)
        assert bodies(outbox) == [body_of(61, "B"), body_of(62, "B")]


def test_what_waits_for_months_keeps_the_step_that_was_its_own(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgets the steps of what was sent long ago, and not the oldest ones first.

    A machine without a clock of its own steps at each start; what it could not send meanwhile may
    be half stored at the backend. A few steps take the part of the many that are kept: each start
    reads and writes the outbox.
    """
    few = 6
    monkeypatch.setattr(clock, "MOST_STEPS", few)
    off_s = HOUR_S
    with opened(directory) as outbox:
        store(outbox, 1, is_trusted=False)
        outbox.note_clock_step(HOUR_S)
        outbox.trust_clock()
        settled(outbox)
    for start in range(few + 1):
        with opened(directory, boot=set_by(BOOT, off_s)) as outbox:
            store(outbox, 1000 + start, is_trusted=False)
            outbox.note_clock_step(HOUR_S)
            outbox.trust_clock()
            settled(outbox)
            assert minutes(outbox)[0] == 61
            outbox.settle(take(outbox, numbers(outbox)[-1]), None)
            off_s += HOUR_S
    with opened(directory, boot=set_by(BOOT, off_s)) as outbox:
        assert minutes(outbox) == [61]


def test_as_many_starts_as_steps_are_kept_push_none_out() -> None:
    """Of all the steps there may be, that of what is owed stays, and those of the rest go."""
    notes = ClockNotes(BOOT).set_by(HOUR_S, 2).trusted(2)
    for start in range(2, MOST_STEPS + 3):
        notes = notes.started(notes.boot, start, lambda first, before: first == 1 < before)
        notes = notes.set_by(HOUR_S, start + 1).trusted(start + 1)
    assert notes.shift_of(1) == HOUR_S
    assert len(notes.steps) == 2


def test_only_what_is_owed_keeps_a_step() -> None:
    """Asks for the entries that it moves, the first one included and the last one not."""
    asked = list[tuple[int, int]]()

    def is_owed(first: int, before: int) -> bool:
        asked.append((first, before))
        return before == 7

    notes = ClockNotes(BOOT).set_by(HOUR_S, 4).trusted(4).set_by(60.0, 7)
    again = notes.started(set_by(BOOT, HOUR_S + 60.0), 9, is_owed)
    assert asked == [(1, 4), (4, 7)]
    assert [again.shift_of(number) for number in (3, 4, 6, 7)] == [0.0, 60.0, 60.0, 0.0]


events = st.lists(
    st.sampled_from(["entry", "restart", "trust"])
    | st.floats(-1e6, 1e6).filter(lambda s: abs(s) > STEP_S),
    max_size=12,
)


@given(events)
def test_any_history_of_one_boot_ends_in_right_times(history: list[str | float]) -> None:
    """An entry bears the time by the clock as it is at the end, or was when it was trusted."""
    notes, off_s = ClockNotes(BOOT), 0.0
    stamped, wanted, first = list[float](), list[float | None](), 0
    for event in history:
        number = len(stamped) + 1
        match event:
            case float():
                off_s += event
                notes = notes.set_by(event, number)
            case "entry":
                stamped.append(off_s)
                wanted.append(None)
            case "trust":
                notes = notes.trusted(number)
                wanted[first:] = [off_s] * (len(wanted) - first)
                first = len(wanted)
            case "restart":
                again = clock_notes(notes.to_text().encode())
                assert again == notes
                notes = again.started(set_by(BOOT, off_s), number, lambda *_: True)
    found = [off + notes.shift_of(i + 1) for i, off in enumerate(stamped)]
    assert found == pytest.approx([off_s if w is None else w for w in wanted], abs=1e-3)
