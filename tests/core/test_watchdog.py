"""Tests that the watchdog finds threads that hang, and no others."""

import pytest

from mqtt_http_bridge.core.watchdog import LOOK_EVERY_S, Progress, Watchdog


class Virtual:
    """Looks at one thread, on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.disk_until_s = 0.0
        self.thread = Progress("sender", lambda: self.now_s, lambda: self.disk_until_s)
        self.other = Progress("main", lambda: self.now_s)
        self.watchdog = Watchdog()

    def look(self, *, is_turning: bool, after_s: float = LOOK_EVERY_S) -> list[str]:
        """Looks after a while in which the other thread has gone on."""
        self.now_s += after_s
        self.other.turn()
        if is_turning:
            self.thread.turn()
        return self.watchdog.look(self.now_s, [self.thread, self.other])


@pytest.fixture
def virtual() -> Virtual:
    """A thread that has been looked at once."""
    made = Virtual()
    assert made.look(is_turning=True) == []
    return made


def test_three_looks_without_a_turn_are_a_standstill(virtual: Virtual) -> None:
    """It is named, and alone; within 90 s of its last turn, wherever between two looks that was."""
    found = [virtual.look(is_turning=False) for _ in range(4)]
    assert found == [[], [], ["sender"], ["sender"]]
    assert 4 * LOOK_EVERY_S < 90.0


def test_a_turn_between_two_looks_is_enough(virtual: Virtual) -> None:
    """However few there are, and however long ago others were missing."""
    for is_turning in [False, False, True] * 20:
        assert virtual.look(is_turning=is_turning) == []


@pytest.mark.parametrize(("late_s", "found"), [(4.9, ["sender"]), (5.1, [])])
def test_a_late_look_starts_the_count_anew(
    virtual: Virtual, late_s: float, found: list[str]
) -> None:
    """The process was stopped, or the machine slept: the threads had no time either."""
    virtual.look(is_turning=False)
    virtual.look(is_turning=False)
    assert virtual.look(is_turning=False, after_s=LOOK_EVERY_S + late_s) == found
    if not found:
        again = [virtual.look(is_turning=False) for _ in range(3)]
        assert again == [[], [], ["sender"]]


def test_what_may_take_long_is_no_standstill_for_so_long(virtual: Virtual) -> None:
    """A flush of three minutes: the count begins when it should have been over."""
    virtual.thread.busy(180.0)
    found = [virtual.look(is_turning=False) for _ in range(12)]
    assert found == [[]] * 10 + [["sender"]] * 2


def test_a_disk_that_takes_long_is_no_standstill_for_so_long(virtual: Virtual) -> None:
    """Nor if the thread had no time to say that it waits for it."""
    virtual.disk_until_s = virtual.now_s + 180.0
    found = [virtual.look(is_turning=False) for _ in range(12)]
    assert found == [[]] * 10 + [["sender"]] * 2


def test_a_turn_ends_what_takes_long(virtual: Virtual) -> None:
    """The next turn has no such time."""
    virtual.thread.busy(1000.0)
    virtual.look(is_turning=True)
    assert [virtual.look(is_turning=False) for _ in range(3)] == [[], [], ["sender"]]


def test_a_thread_that_has_ended_is_not_missed(virtual: Virtual) -> None:
    """As at the end of the process."""
    virtual.thread.end()
    assert [virtual.look(is_turning=False) for _ in range(10)] == [[]] * 10


def test_a_thread_that_never_turns_is_found() -> None:
    """The first look knows nothing, the third after it knows enough."""
    virtual = Virtual()
    found = [virtual.look(is_turning=False) for _ in range(4)]
    assert found == [[], [], [], ["sender"]]
