"""A wall clock that was set: what was stamped before is put right once, until it has been tried."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.adapters.outbox.clock_steps import ClockSteps
from mqtt_http_bridge.core.measurement import to_json
from tests.outboxes import (
    BOOT,
    NEXT_BOOT,
    drain,
    fill,
    measurement,
    opened,
    settings,
    take,
)

DAY_S = 86_400.0
DAY = timedelta(days=1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an outbox is going to be."""
    return tmp_path / "outbox"


def set_by(boot: Boot, step_s: float) -> Boot:
    """The same boot, as a process finds it that starts after the clock was set."""
    return Boot(boot.boot_id, boot.distance_s + step_s)


def crash(outbox: Outbox) -> None:
    """The process is gone, and has had no time to write anything down."""
    outbox._disk.close()


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S, 61.0, 0.25])
def test_what_was_never_tried_is_put_right(directory: Path, step_s: float) -> None:
    """The timestamp and the times of the devices move by the step, and nothing else does."""
    with opened(directory) as outbox:
        outbox.append(measurement(1, "A", "B"))
        outbox.note_clock_step(step_s)
        entry = take(outbox, 1)
        assert entry.measurement == measurement(1, "A", "B").shifted(timedelta(seconds=step_s))
        assert entry.body == to_json(entry.measurement)


def test_what_comes_after_the_step_is_right_already(directory: Path) -> None:
    """Each entry moves by the steps that came after it."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.note_clock_step(DAY_S)
        fill(outbox, 2)
        outbox.note_clock_step(3600.0)
        fill(outbox, 3)
        assert drain(outbox) == [
            measurement(1).shifted(timedelta(days=1, hours=1)),
            measurement(2).shifted(timedelta(hours=1)),
            measurement(3),
        ]


def test_what_was_tried_never_changes(directory: Path) -> None:
    """The backend may have stored it under its timestamp, whatever became of the answer."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        first = take(outbox, 1)
        outbox.settle(first, first.measurement)
        outbox.note_clock_step(DAY_S)
        assert take(outbox, 1).body == first.body == to_json(measurement(1))


def test_it_is_put_right_once(directory: Path) -> None:
    """A step after the first try changes nothing, nor does a restart."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.note_clock_step(DAY_S)
        first = take(outbox, 1)
        outbox.settle(first, first.measurement)
        outbox.note_clock_step(DAY_S)
        assert take(outbox, 1).body == first.body
        crash(outbox)
    with opened(directory, boot=set_by(BOOT, 2 * DAY_S)) as outbox:
        assert take(outbox, 1).body == first.body


def test_a_try_that_never_left_does_not_count(directory: Path) -> None:
    """Without network there is no time either: what could not even connect is still open."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.give_back(take(outbox, 1))
        outbox.note_clock_step(DAY_S)
        assert take(outbox, 1).measurement == measurement(1).shifted(DAY)


def test_a_crash_during_the_first_try_counts(directory: Path) -> None:
    """It may have been stored before the process died."""
    outbox = Outbox(settings(directory), BOOT)
    fill(outbox, 1)
    take(outbox, 1)
    crash(outbox)
    with opened(directory, boot=set_by(BOOT, DAY_S)) as outbox:
        assert take(outbox, 1).measurement == measurement(1)


def test_a_step_outlives_a_crash(directory: Path) -> None:
    """It is written down when it is noticed, and not taken for a second one afterwards."""
    outbox = Outbox(settings(directory), BOOT)
    fill(outbox, 1)
    outbox.note_clock_step(DAY_S)
    outbox.append(measurement(2).shifted(DAY))
    crash(outbox)
    with opened(directory, boot=set_by(BOOT, DAY_S)) as outbox:
        assert drain(outbox) == [measurement(1).shifted(DAY), measurement(2).shifted(DAY)]


def test_a_step_between_two_processes_is_noticed(directory: Path) -> None:
    """The first did not live to see it: the distance of the two clocks tells."""
    with opened(directory) as outbox:
        fill(outbox, 1)
    with opened(directory, boot=set_by(BOOT, DAY_S)) as outbox:
        assert drain(outbox) == [measurement(1).shifted(DAY)]


def test_a_clock_that_was_kept_is_no_step(directory: Path) -> None:
    """NTP slews, and two processes do not read the clocks at one moment: a minute is nothing."""
    with opened(directory) as outbox:
        fill(outbox, 1)
    with opened(directory, boot=set_by(BOOT, 60.0)) as outbox:
        assert drain(outbox) == [measurement(1)]


def test_small_differences_do_not_add_up(directory: Path) -> None:
    """A clock that is slewed for weeks was never set."""
    with opened(directory) as outbox:
        fill(outbox, 1)
    for restart in range(1, 10):
        with opened(directory, boot=set_by(BOOT, 30.0 * restart)) as outbox:
            assert len(outbox) == 1
    with opened(directory, boot=set_by(BOOT, 300.0)) as outbox:
        assert drain(outbox) == [measurement(1)]


def test_another_boot_s_entries_stay_as_they_are(directory: Path) -> None:
    """Nobody can tell how far its clock was off: not a step of its own, nor one of this boot."""
    with opened(directory) as outbox:
        fill(outbox, 1)
        outbox.note_clock_step(DAY_S)
    with opened(directory, boot=NEXT_BOOT) as outbox:
        fill(outbox, 2)
        outbox.note_clock_step(3600.0)
        assert drain(outbox) == [measurement(1), measurement(2).shifted(timedelta(hours=1))]


def test_a_boot_that_cannot_be_told_is_another_each_time(directory: Path) -> None:
    """Without an id, two processes may be of two boots: better no shift than a wrong one."""
    nameless = Boot("", BOOT.distance_s)
    with opened(directory, boot=nameless) as outbox:
        fill(outbox, 1)
    with opened(directory, boot=set_by(nameless, DAY_S)) as outbox:
        assert drain(outbox) == [measurement(1)]


def test_an_outbox_that_was_empty_does_not_mix_up_its_entries(directory: Path) -> None:
    """Steps are known by the numbers of entries, and those are not given again in one boot."""
    with opened(directory) as outbox:
        fill(outbox, *range(1, 51))
        outbox.note_clock_step(DAY_S)
        drain(outbox)
    with opened(directory, boot=set_by(BOOT, DAY_S)) as outbox:
        fill(outbox, *range(51, 111))
        assert drain(outbox) == [measurement(minute) for minute in range(51, 111)]


def test_a_boot_that_began_with_a_backlog_knows_its_own(directory: Path) -> None:
    """The backlog is sent, the process starts anew, and then the clock is set."""
    with opened(directory, boot=NEXT_BOOT) as outbox:
        fill(outbox, *range(1, 51))
    with opened(directory) as outbox:
        drain(outbox)
    with opened(directory) as outbox:
        fill(outbox, 51)
        outbox.note_clock_step(DAY_S)
        assert drain(outbox) == [measurement(51).shifted(DAY)]


def test_a_whole_number_of_seconds_is_a_number_of_seconds(directory: Path) -> None:
    """Whatever the type, what was noted is believed after a restart."""
    with opened(directory, boot=Boot("boot-1", 1000)) as outbox:
        fill(outbox, 1)
        outbox.note_clock_step(3600)
    with opened(directory, boot=Boot("boot-1", 4600)) as outbox:
        assert drain(outbox) == [measurement(1).shifted(timedelta(hours=1))]


steps_or_entries = st.lists(
    st.sampled_from(["entry", "restart", "crash"])
    | st.floats(-1e6, 1e6).filter(lambda s: abs(s) > 60),
    max_size=12,
)


@given(steps_or_entries)
def test_any_history_of_one_boot_ends_in_right_times(
    tmp_path_factory: pytest.TempPathFactory, history: list[str | float]
) -> None:
    """Entries bear the time they would by the clock as it is in the end, to within rounding."""
    path = tmp_path_factory.mktemp("outbox") / "clock.json"
    steps, off_s, stamped = ClockSteps(BOOT), 0.0, list[float]()
    for event in history:
        number = len(stamped) + 1
        match event:
            case float():
                off_s += event
                steps.note(event, number)
                steps.save(path)
            case "entry":
                stamped.append(off_s)
            case "restart" | "crash":
                if event == "restart":
                    steps.save(path)
                steps = ClockSteps(set_by(BOOT, off_s)).resumed(
                    path, number if path.exists() else 1
                )
                steps.save(path)
    found = [off + steps.shift_of(i + 1).total_seconds() for i, off in enumerate(stamped)]
    assert found == pytest.approx([off_s] * len(stamped), abs=1e-3)
