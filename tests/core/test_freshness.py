"""Tests what is measured when the GX, the network or the process hangs for a while."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, cast

import pytest

from mqtt_http_bridge.adapters.recording import RecordingWriter
from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.core.commands import NoteClockStep, ReadAtOnce, Reconnect, Store
from mqtt_http_bridge.core.events import AllRead, Event, Tick
from mqtt_http_bridge.core.relay.freshness import Freshness
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.support.virtual import (
    HEARTBEAT_S,
    OTHER_PORTAL,
    PORTAL,
    Virtual,
    connected,
    measuring,
    moment,
    settings,
)

if TYPE_CHECKING:
    from mqtt_http_bridge.core.relay.connection import BrokerConnection

POWER = {"Yield/Power": 111.0}


def power_w(virtual: Virtual) -> list[float]:
    """The power in each measurement."""
    return [measurement.devices[0].yield_power_w for measurement in virtual.measurements()]


# --- a GX that falls silent ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent_s", "measured_s"),
    [(10.0, [30.0]), (10.1, [])],
    ids=["10 s ago", "a bit longer ago"],
)
def test_a_gx_is_measured_if_it_was_heard_in_the_10_s_before(
    silent_s: float, measured_s: list[float]
) -> None:
    """Its heartbeat comes every 3 s: without three of them nobody knows what is true now."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(18.0)
    virtual.at(30.0 - silent_s)
    virtual.heartbeat()
    virtual.reset()
    virtual.at(45.0)
    assert virtual.measured_s() == measured_s


@pytest.mark.parametrize("interval_s", [1.0, 5.0, 30.0], ids="every {} s".format)
def test_a_stall_makes_no_hole_longer_than_itself(interval_s: float) -> None:
    """15 s without a word on a living connection: what was due is made when they are over."""
    virtual = measuring(settings(PORTAL, interval_s=interval_s))
    virtual.let_beat(21.0)
    virtual.let(15.0)
    for tenth in range(840):
        virtual.charger({"Yield/Power": float(tenth)})
        virtual.let(0.1)
    measured_s = virtual.measured_s()
    on_the_beat = {at_s for at_s in measured_s if at_s % interval_s == 0.0}
    assert [at_s for at_s in measured_s if at_s not in on_the_beat] == [
        at_s for at_s in [37.0] if interval_s == 5.0
    ]
    missed_s = {n * interval_s for n in range(int(120 / interval_s))} - on_the_beat
    assert missed_s == {at_s for at_s in missed_s if 31.0 < at_s < 37.0}
    assert max(after - before for before, after in pairwise(measured_s)) < 15.0 + interval_s


def test_what_was_held_up_is_not_measured_as_new() -> None:
    """A network that stood still passes on what is old first, in a burst: that is waited for."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.let_beat(3.0)
    virtual.reset()
    virtual.let(14.5)
    for power_w in range(30):
        virtual.charger({"Yield/Power": float(power_w)})
        virtual.let(0.02)
    virtual.let(0.5)
    virtual.charger(POWER)
    assert virtual.measured_s() == [5.0, 10.0, 18.6]
    assert virtual.measurements()[-1].devices[0].yield_power_w == 111.0


def test_what_a_broker_that_stood_still_knew_is_not_measured_on_the_next_connection() -> None:
    """It answers at once, with what it knew when it stopped; a broker that was restarted is new."""
    for silent_s, first_s in ((35.0, 41.0), (1.0, 7.0)):
        virtual = measuring(settings(PORTAL, interval_s=5.0))
        virtual.let_beat(3.0)
        virtual.reset()
        virtual.let(silent_s)
        virtual.disconnect()
        virtual.let(2.0)
        virtual.connect()
        virtual.answer()
        virtual.charger({"Yield/Power": 1.0})
        virtual.let(1.0)
        virtual.charger(POWER)
        is_held_up = silent_s > 10.0
        assert virtual.measured_s()[-1] == (first_s if is_held_up else first_s - 1.0)
        assert power_w(virtual)[-1] == (111.0 if is_held_up else 100.0)


def test_what_is_due_is_made_once_and_with_what_is_true_then() -> None:
    """Of several moments that passed in silence one is made up for, dated to when it is made."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.let_beat(3.0)
    virtual.reset()
    virtual.let(37.5)
    virtual.charger(POWER)
    virtual.let(1.0)
    virtual.charger(POWER)
    virtual.let_beat(6.0)
    assert virtual.measured_s() == [5.0, 10.0, 41.5, 45.0]
    assert power_w(virtual) == [100.0, 100.0, 111.0, 111.0]


def test_after_a_minute_of_silence_the_gx_has_to_say_everything_first() -> None:
    """It may have slept: a charger that has changed its state meanwhile would not say so again."""
    virtual = measuring(settings(PORTAL, interval_s=20.0))
    virtual.let_beat(3.0)
    virtual.let(70.0)
    virtual.charger(POWER)
    virtual.let(1.0)
    assert virtual.measured_s() == [0.0]
    assert virtual.full_requests_s() == [0.0, 73.0]
    virtual.answer()
    assert virtual.measured_s() == [0.0, 74.0]


def test_a_silence_that_was_told_is_one_that_the_gx_has_to_end_by_saying_everything() -> None:
    """Also if its first word may have waited in the socket since just before that."""
    virtual = Virtual(settings(PORTAL, interval_s=30.0))
    virtual.tells_reads = True
    virtual.connect()
    virtual.answer()
    virtual.read_all()
    virtual.at(29.5)
    virtual.read_all()
    virtual.heartbeat()
    virtual.at(89.9)
    virtual.read_all(89.2)
    virtual.at(90.3)
    assert "is not heard" in virtual.log()[-1]
    virtual.heartbeat()
    assert virtual.full_requests_s() == [0.0, 90.3]


def test_a_stall_is_read_at_once_when_it_ends() -> None:
    """Nothing is gathered while a measurement is due, for as long as a silence may pass."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.let_beat(3.0)
    virtual.reset()
    virtual.at(150.0)
    asked_s = [done.at_s for done in virtual.done if done.command == ReadAtOnce()]
    assert asked_s == list(range(15, 63, 5))


def test_a_gx_without_a_heartbeat_may_be_silent_for_a_minute() -> None:
    """It is known by speaking for 10 s without one; a keepalive lasts for a minute."""
    virtual = measuring(settings(PORTAL, interval_s=20.0))
    for _ in range(3):
        virtual.let(4.0)
        virtual.charger(POWER)
    assert not virtual.relay.view(moment(virtual.now_s)).sites[0].has_heartbeat
    virtual.at(100.0)
    assert virtual.measured_s() == [0.0, 20.0, 40.0, 60.0]


def test_who_has_not_spoken_for_10_s_is_not_known_to_have_no_heartbeat() -> None:
    """A GX that falls silent right after its first words is not waited for longer than others."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.let(9.0)
    virtual.charger(POWER)
    virtual.at(60.0)
    assert virtual.measured_s() == [0.0, 5.0, 10.0, 15.0]


def test_a_heartbeat_that_comes_makes_the_gx_one_that_has_it() -> None:
    """After an update of its firmware, say: from then on 10 s have to do."""
    virtual = measuring(settings(PORTAL, interval_s=20.0))
    for _ in range(3):
        virtual.let(4.0)
        virtual.charger(POWER)
    virtual.heartbeat()
    virtual.at(60.0)
    assert virtual.measured_s() == [0.0, 20.0]


# --- a process that stood still --------------------------------------------------------------


def reading(relay_settings: Settings) -> Virtual:
    """A relay that is told how far all has been read, warmed up at second 0."""
    virtual = Virtual(relay_settings)
    virtual.tells_reads = True
    virtual.connect()
    virtual.answer()
    virtual.read_all()
    return virtual


def read_on(virtual: Virtual, seconds: float) -> None:
    """Lets time pass in which the GX beats, and all is read each second."""
    for second in range(1, int(seconds) + 1):
        virtual.let(1.0)
        if second % HEARTBEAT_S == 0.0:
            virtual.heartbeat()
        virtual.read_all()


def stand_still(virtual: Virtual, seconds: float) -> None:
    """Stops the process for so long: then the clock is looked at, before the socket is."""
    virtual.now_s += seconds
    virtual.happen(Tick(moment(virtual.now_s)), virtual.now_s)


@pytest.mark.parametrize(
    ("unread_s", "measured_s"),
    [(1.0, [29.0]), (1.1, [])],
    ids=["read a second before", "not quite"],
)
def test_a_measurement_holds_all_that_was_said_a_second_before(
    unread_s: float, measured_s: list[float]
) -> None:
    """Otherwise it is not dated to that moment, for what was said before it may be unread."""
    virtual = reading(settings(PORTAL, interval_s=29.0))
    read_on(virtual, 27.0)
    virtual.at(28.9)
    virtual.read_all(29.0 - unread_s)
    virtual.reset()
    virtual.at(30.0)
    assert virtual.measured_s() == measured_s


def test_a_process_that_stood_still_measures_nothing_for_that_time() -> None:
    """40 s at an interval of 5 s: eight moments are missed, one is made up for once it is fresh."""
    virtual = reading(settings(PORTAL, interval_s=5.0))
    read_on(virtual, 72.0)
    virtual.reset()
    stand_still(virtual, 40.0)
    assert virtual.measured_s() == []
    virtual.charger(POWER)  # It may have been in the socket for 40 s.
    virtual.read_all()
    assert virtual.measured_s() == []
    virtual.let(1.0)
    virtual.read_all()
    virtual.let(0.5)
    virtual.heartbeat()  # This has not: it was not there when all had been read.
    assert virtual.measured_s() == []
    virtual.read_all()
    read_on(virtual, 6.5)
    assert virtual.measured_s() == [113.5, 115.0]
    assert power_w(virtual) == [111.0, 111.0]


def test_what_was_gathered_counts_from_the_beginning_of_the_batch() -> None:
    """Read together after 8 s, it may be 8 s old: three seconds later that is too old."""
    virtual = reading(settings(PORTAL, interval_s=32.0))
    read_on(virtual, 21.0)
    virtual.at(29.0)
    virtual.heartbeat()
    virtual.read_all()
    virtual.at(31.5)
    virtual.read_all()
    virtual.reset()
    virtual.at(32.5)
    assert virtual.measured_s() == []
    virtual.heartbeat()
    virtual.read_all()
    assert virtual.measured_s() == [32.5]


def test_nothing_is_judged_by_what_was_not_read() -> None:
    """No connection is dropped and nobody asked again before the socket has been looked into."""
    virtual = reading(settings(PORTAL))
    read_on(virtual, 3.0)
    virtual.charger({"Yield/Power": 1.0}, instance=7)
    virtual.read_all()
    virtual.reset()
    stand_still(virtual, 44.0)
    assert [d for d in virtual.done if isinstance(d.command, Reconnect)] == []
    assert virtual.full_requests_s() == []
    virtual.charger(instance=7)
    virtual.heartbeat()
    virtual.read_all()
    read_on(virtual, 5.0)
    assert [d for d in virtual.done if isinstance(d.command, Reconnect)] == []
    assert virtual.full_requests_s() == []


def test_a_gx_that_slept_as_nobody_kept_it_awake_says_everything_again() -> None:
    """The keepalives of a process that stood still come late: by then the GX may have slept."""
    virtual = reading(settings(PORTAL, interval_s=5.0))
    read_on(virtual, 80.0)
    virtual.reset()
    stand_still(
        virtual, 45.0
    )  # The last keepalive went at 60, the next two were due at 90 and 120.
    assert virtual.keepalives() == []  # Nothing is sent before the socket is looked into.
    virtual.heartbeat()
    virtual.read_all()
    assert virtual.full_requests_s() == [125.0]
    virtual.let(0.1)
    virtual.answer()
    virtual.read_all()
    assert virtual.measured_s() == [125.1]
    read_on(virtual, 10.0)
    assert virtual.full_requests_s() == [125.0]


def test_a_short_stop_asks_for_nothing() -> None:
    """The GX was kept awake all the time."""
    virtual = reading(settings(PORTAL))
    read_on(virtual, 80.0)
    virtual.reset()
    stand_still(virtual, 20.0)
    virtual.heartbeat()
    virtual.read_all()
    read_on(virtual, 40.0)
    assert virtual.keepalives()[-2][0] == 100.0
    assert virtual.full_requests_s() == []
    assert virtual.measured_s() == [103.0, 120.0]


def test_a_sleep_is_no_clock_that_was_set() -> None:
    """Eight hours pass on both clocks: nothing that was stored before is moved by them."""
    virtual = reading(settings(PORTAL))
    read_on(virtual, 5.0)
    virtual.reset()
    stand_still(virtual, 8 * 3600.0)
    virtual.heartbeat()
    virtual.read_all()
    assert [d for d in virtual.done if isinstance(d.command, NoteClockStep | Store)] == []


def test_a_measurement_that_is_due_waits_for_all_of_what_came() -> None:
    """Of a burst that is read in pieces no measurement holds a half."""
    virtual = reading(settings(PORTAL, interval_s=5.0))
    read_on(virtual, 3.0)
    virtual.reset()
    virtual.at(11.0)
    virtual.charger({"Yield/Power": 7.0})
    virtual.charger({"Yield/Power": 8.0})
    assert virtual.measured_s() == []
    virtual.read_all(10.5)
    assert virtual.measured_s() == [11.0]
    assert power_w(virtual) == [8.0]


def test_another_gx_makes_nobody_fresh() -> None:
    """Each is measured by what is heard of itself."""
    virtual = measuring(settings(PORTAL, OTHER_PORTAL, interval_s=4.0), PORTAL, OTHER_PORTAL)
    virtual.reset()
    virtual.let_beat(30.0, PORTAL)
    assert virtual.measured_s(OTHER_PORTAL) == [6.0, 10.0]
    assert virtual.measured_s(PORTAL) == [4.0 * n for n in range(1, 9)]


# --- the same in a replay --------------------------------------------------------------------


def still_for_a_while(virtual: Virtual) -> None:
    """The process stands still twice, once across a keepalive."""
    read_on(virtual, 50.0)
    stand_still(virtual, 17.0)
    virtual.charger(POWER)
    virtual.read_all()
    read_on(virtual, 20.0)
    stand_still(virtual, 75.0)
    virtual.heartbeat()
    virtual.read_all()
    read_on(virtual, 10.0)


def silent_for_a_while(virtual: Virtual) -> None:
    """The GX is silent, and read all the time; then the connection is made anew."""
    read_on(virtual, 10.0)
    for _ in range(25):
        virtual.let(1.0)
        virtual.read_all()
    virtual.charger(POWER)
    virtual.read_all(virtual.now_s - 0.4)
    read_on(virtual, 10.0)
    virtual.disconnect()
    virtual.let(7.0)
    virtual.connect()
    virtual.answer()
    virtual.read_all()
    read_on(virtual, 10.0)


@pytest.mark.parametrize("scene", [still_for_a_while, silent_for_a_while])
@pytest.mark.parametrize("interval_s", [1.0, 7.0, 30.0], ids="every {} s".format)
def test_a_replay_of_a_stall_gives_the_same_bytes(
    tmp_path: Path, scene: Callable[[Virtual], None], interval_s: float
) -> None:
    """The read marks are recorded with the rest: live and replayed, the same is missing."""
    path, events, relay_settings = (
        tmp_path / "stall.jsonl",
        list[Event](),
        settings(PORTAL, interval_s=interval_s),
    )
    virtual = Virtual(relay_settings)
    virtual.tells_reads = True
    virtual.tap = events.append
    virtual.connect()
    virtual.answer()
    virtual.read_all()
    scene(virtual)
    writer = RecordingWriter(path, moment(0.0))
    for event in events:
        writer.write(event)
    writer.close()
    replayed = [to_body(m) for m in measurements(relay_settings, path, Part(), Flag())]
    assert replayed == [to_body(measurement) for measurement in virtual.measurements()]
    assert len(replayed) > 2
    assert sum(isinstance(event, AllRead) for event in events) > 30
    assert b'"event":"read"' in path.read_bytes()
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[1])["tells_reads"] is True


def test_without_marks_everything_counts_as_read_when_it_came() -> None:
    """As in a recording that others made: what is due is made up for with the next message."""
    virtual = connected(settings(PORTAL, interval_s=5.0))
    virtual.answer()
    virtual.at(18.0)
    virtual.heartbeat()
    virtual.at(19.0)
    virtual.heartbeat()
    virtual.at(21.0)
    assert virtual.measured_s() == [0.0, 5.0, 10.0, 19.0, 20.0]


# --- one GX alone ------------------------------------------------------------------------------


@dataclass
class Line:
    """Stands in for the connection: each word is read when it comes."""

    is_connected: bool = True
    read_until_s: float = 0.0

    def is_read_up_to(self, at_s: float) -> bool:
        """Holds as long as nothing is said after it."""
        return at_s <= self.read_until_s

    def is_fresh_after(self, freshness: Freshness, at_s: float, *, beats: bool = True) -> bool:
        """Tells whether the GX may be measured right after it has spoken."""
        self.read_until_s = at_s
        freshness.hear(at_s, is_heartbeat=beats)
        return freshness.allows(at_s)


def on_a_line() -> tuple[Line, Freshness]:
    """Begins a first connection."""
    line = Line()
    freshness = Freshness(cast("BrokerConnection", line))
    freshness.begin()
    return line, freshness


def test_an_end_that_is_told_again_is_no_silence() -> None:
    """Looks at the silence before the end, and not at the time without a connection."""
    line, freshness = on_a_line()
    assert line.is_fresh_after(freshness, 100.0)
    freshness.end(101.0)
    line.is_connected = False
    freshness.end(200.0)
    line.is_connected = True
    freshness.begin()
    assert line.is_fresh_after(freshness, 300.0)


def test_a_silence_is_remembered_until_the_gx_speaks_again() -> None:
    """Is not forgotten for a connection on which nothing was said."""
    line, freshness = on_a_line()
    assert line.is_fresh_after(freshness, 100.0)
    freshness.end(120.0)
    freshness.begin()
    freshness.end(125.0)
    freshness.begin()
    assert not line.is_fresh_after(freshness, 130.0)
    assert line.is_fresh_after(freshness, 131.0)


def test_half_a_minute_is_no_silence_of_a_gx_without_heartbeat() -> None:
    """Measures it at once when it speaks again; after more than a minute a second later."""
    line, freshness = on_a_line()
    for at_s in (0.0, 5.0, 10.5, 41.0):
        assert line.is_fresh_after(freshness, at_s, beats=False)
    assert not line.is_fresh_after(freshness, 102.0, beats=False)
    assert line.is_fresh_after(freshness, 103.0, beats=False)


def test_nor_is_it_if_the_connection_ends_in_it() -> None:
    """Measures it at once on the next one; after more than a minute a second later."""
    line, freshness = on_a_line()
    for at_s in (0.0, 5.0, 11.0):
        assert line.is_fresh_after(freshness, at_s, beats=False)
    freshness.end(41.0)
    freshness.begin()
    for at_s in (42.0, 47.0, 53.0):
        assert line.is_fresh_after(freshness, at_s, beats=False)
    freshness.end(114.0)
    freshness.begin()
    assert not line.is_fresh_after(freshness, 115.0, beats=False)
    assert line.is_fresh_after(freshness, 116.0, beats=False)
