"""Tests the clocks of this machine: whole microseconds, and two clocks that keep their distance."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import clock as clock_module
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HandSetClocks:
    """Stands in for the module `time`: clocks that go only when they are moved."""

    def __init__(self) -> None:
        self.monotonic = 1_000_000_000_123
        self.boot = 5_000_000_000_123
        self.wall = 1_767_268_800_000_000_456
        self.holds_up_s: list[float] = []
        """Seconds for which readers of the wall clock are held up first, each time from now on."""

    def monotonic_ns(self) -> int:
        """The monotonic clock, in nanoseconds: it stands still while the machine sleeps."""
        return self.monotonic

    def clock_gettime_ns(self, number: int) -> int:
        """The clock that runs on meanwhile."""
        assert number == time.CLOCK_BOOTTIME
        return self.boot

    def time_ns(self) -> int:
        """The wall clock, in nanoseconds."""
        self.go(self.holds_up_s.pop(0) if self.holds_up_s else 0.0)
        return self.wall

    def go(self, seconds: float, *, wall_seconds: float | None = None) -> None:
        """Moves both clocks; the wall clock by another amount where it is being set or slewed."""
        self.monotonic += round(seconds * 1e9)
        self.boot += round(seconds * 1e9)
        self.wall += round((seconds if wall_seconds is None else wall_seconds) * 1e9)

    def sleep(self, seconds: float) -> None:
        """Suspends the machine."""
        self.boot += round(seconds * 1e9)
        self.wall += round(seconds * 1e9)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> HandSetClocks:
    """The clocks that `SystemClock` reads in this test."""
    clocks = HandSetClocks()
    monkeypatch.setattr(clock_module, "time", clocks)
    return clocks


def test_a_moment_is_the_present() -> None:
    """UTC is that of the machine, to within 50 ms."""
    before = datetime.now(UTC) - timedelta(milliseconds=60)
    moment = SystemClock().now()
    assert before <= moment.utc <= datetime.now(UTC) + timedelta(milliseconds=60)
    assert moment.utc.tzinfo is UTC


def test_moments_never_go_back() -> None:
    """The monotonic clock only grows, so deadlines do not come twice."""
    clock = SystemClock()
    moments = [clock.now() for _ in range(1000)]
    assert all(a.monotonic_s <= b.monotonic_s for a, b in pairwise(moments))


def test_moments_are_on_whole_microseconds(clocks: HandSetClocks) -> None:
    """Nanoseconds are cut off: what a recording cannot hold is not there in the first place."""
    clock = SystemClock()
    for _ in range(100):
        clocks.go(0.123_456_789)
        moment = clock.now()
        assert moment.monotonic_s == round(moment.monotonic_s * 1e6) / 1e6


@pytest.mark.parametrize(
    "drift_ms", [0.0, 0.4, -0.4], ids=["steady", "wall clock fast", "wall clock slow"]
)
def test_both_clocks_go_alike_while_the_wall_clock_is_only_slewed(
    clocks: HandSetClocks, drift_ms: float
) -> None:
    """Two moments are as far apart in UTC as on the monotonic clock, to the microsecond."""
    clock = SystemClock()
    start = clock.now()
    for _ in range(100):
        clocks.go(1.0, wall_seconds=1.0 + drift_ms / 1000)
        moment = clock.now()
        assert moment.utc - start.utc == timedelta(seconds=moment.monotonic_s - start.monotonic_s)


@pytest.mark.parametrize(
    "step_s", [0.06, 3600.0, -3600.0], ids=["just enough", "an hour on", "an hour back"]
)
def test_a_wall_clock_that_is_set_is_followed_at_once(clocks: HandSetClocks, step_s: float) -> None:
    """After a step UTC is what the wall clock shows; the monotonic clock knows nothing of it."""
    clock = SystemClock()
    before = clock.now()
    clocks.go(1.0, wall_seconds=1.0 + step_s)
    after = clock.now()
    assert after.monotonic_s - before.monotonic_s == pytest.approx(1.0, abs=2e-6)
    assert after.utc - before.utc == pytest.approx(
        timedelta(seconds=1.0 + step_s), abs=timedelta(microseconds=2)
    )
    assert after.utc == pytest.approx(
        EPOCH + timedelta(microseconds=clocks.wall // 1000), abs=timedelta(microseconds=2)
    )


@pytest.mark.parametrize("holds_up_s", [[3.0], [0.0, 3.0]], ids=["first look", "none but a second"])
def test_who_is_held_up_between_the_clocks_has_not_seen_a_step(
    clocks: HandSetClocks, holds_up_s: list[float]
) -> None:
    """A thread that gets no processor for seconds does not set the wall clock by them."""
    clock = SystemClock()
    distance_s = clock.distance_s
    clocks.holds_up_s = holds_up_s
    before = clocks.boot
    moment = clock.now()
    assert clock.distance_s == distance_s
    assert moment.monotonic_s == pytest.approx(before / 1e9, abs=2e-6)


def test_a_hold_up_hides_what_slewing_does(clocks: HandSetClocks) -> None:
    """After it, the distance is the one that it was, and not a slightly other one."""
    clock = SystemClock()
    distance_s = clock.distance_s
    clocks.go(10.0, wall_seconds=10.01)
    clocks.holds_up_s = [3.0]
    clock.now()
    assert clock.distance_s == distance_s


def test_the_distance_of_the_clocks_is_in_seconds(clocks: HandSetClocks) -> None:
    """The outbox compares it with that of another start, and stores it."""
    expected_us = clocks.wall // 1000 - clocks.boot // 1000
    assert SystemClock().distance_s == expected_us / 1e6


def test_a_boot_has_an_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one that Linux gives it; without one it is empty, and like no other."""
    told = Path("/proc/sys/kernel/random/boot_id")
    assert boot_id() == (told.read_text(encoding="ascii").strip() if told.exists() else "")
    monkeypatch.setattr(clock_module, "_BOOT_ID", tmp_path / "none")
    assert boot_id() == ""


def test_a_sleep_is_time_and_sets_no_clock(clocks: HandSetClocks) -> None:
    """After a night in suspend everything is eight hours older, and UTC is as far ahead as ever."""
    clock = SystemClock()
    before, distance_s = clock.now(), clock.distance_s
    clocks.go(1.0)
    clocks.sleep(8 * 3600.0)
    after = clock.now()
    assert after.monotonic_s - before.monotonic_s == pytest.approx(1.0 + 8 * 3600.0, abs=2e-6)
    assert after.utc - before.utc == timedelta(seconds=after.monotonic_s - before.monotonic_s)
    assert clock.distance_s == distance_s


def test_where_no_clock_runs_on_in_sleep_the_other_one_has_to_do(
    clocks: HandSetClocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems have only the one that stands still."""
    monkeypatch.setattr(clock_module, "_BOOT_CLOCK", None)
    clock = SystemClock()
    before = clock.now()
    clocks.go(1.0)
    assert clock.now().monotonic_s - before.monotonic_s == pytest.approx(1.0, abs=2e-6)
    assert before.monotonic_s == clocks.monotonic // 1000 / 1e6 - 1.0
