"""Tests one GX: what wakes it, when its values are trusted, and when it is measured."""

import itertools
from collections.abc import Mapping

import pytest

from mqtt_http_bridge.core.commands import Publish
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.venus.keepalive import SUPPRESSED_KEEPALIVE, full_keepalive
from tests.support.log_lines import as_logged
from tests.support.virtual import (
    CHARGER,
    OTHER_PORTAL,
    PORTAL,
    Virtual,
    connected,
    echo_of,
    is_full,
    measuring,
    settings,
)

SOMEBODY_ELSES_ECHO = "another relay 7"


def schedule(virtual: Virtual) -> list[tuple[float, str]]:
    """Returns when which keepalive was published."""
    return [
        (at_s, "full" if is_full(publish) else "suppress") for at_s, publish in virtual.keepalives()
    ]


# --- keepalives ------------------------------------------------------------------------------


def test_a_connection_begins_with_one_request_for_everything_with_an_echo() -> None:
    """At the moment of the connection everything is asked for, once, with an echo to know it by."""
    virtual = connected(settings(PORTAL))
    ((at_s, publish),) = virtual.keepalives()
    assert at_s == 0.0
    assert publish == Publish(f"R/{PORTAL}/keepalive", full_keepalive(echo_of(publish)))


def test_the_other_keepalive_is_the_one_dbus_flashmq_knows() -> None:
    """Between requests for everything the keepalive is `suppress-republish`, to the letter."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(30.0)
    assert virtual.keepalives()[1][1] == Publish(f"R/{PORTAL}/keepalive", SUPPRESSED_KEEPALIVE)


@pytest.mark.parametrize("refresh_s", [60.0, 90.0, 300.0, 86_400.0], ids="refresh {} s".format)
def test_keepalives_go_every_30_s_and_each_refresh_takes_the_place_of_one(refresh_s: float) -> None:
    """For a quarter of an hour: a keepalive every 30 s, those at a refresh ask for everything."""
    virtual = measuring(settings(PORTAL, refresh_interval_s=refresh_s))
    virtual.let_beat(900.0)
    assert schedule(virtual) == [
        (at_s, "full" if at_s % refresh_s == 0.0 else "suppress")
        for at_s in itertools.takewhile(lambda at_s: at_s <= 900.0, itertools.count(0.0, 30.0))
    ]


def test_a_refresh_between_two_keepalives_moves_those_after_it() -> None:
    """A request for everything is a keepalive: the next one is due 30 s after it."""
    virtual = measuring(settings(PORTAL, refresh_interval_s=70.0))
    virtual.let_beat(141.0)
    assert schedule(virtual) == [
        (0.0, "full"),
        (30.0, "suppress"),
        (60.0, "suppress"),
        (70.0, "full"),
        (100.0, "suppress"),
        (130.0, "suppress"),
        (140.0, "full"),
    ]


@pytest.mark.parametrize(
    ("answered_s", "expected_s"),
    [
        (2.0, [0.0, 2.0, 32.0, 62.0, 92.0]),
        (9.5, [0.0, 9.5, 39.5, 69.5, 99.5]),
    ],
)
def test_keepalives_fall_into_step_with_the_measurements(
    answered_s: float, expected_s: list[float]
) -> None:
    """One that is due shortly before each of them would wake the process once more each time."""
    virtual = connected(settings(PORTAL))
    virtual.let(answered_s)
    virtual.answer()
    virtual.let_beat(99.0 - answered_s + 1.0, every_s=0.5)
    assert [at_s for at_s, _ in virtual.keepalives()] == expected_s
    assert virtual.measured_s() == expected_s[1:]


def test_keepalives_keep_their_own_time_beside_slower_measurements() -> None:
    """One that is due long before the next measurement has a wake-up of its own."""
    virtual = connected(settings(PORTAL, interval_s=60.0))
    virtual.let(5.0)
    virtual.answer()
    virtual.let_beat(100.0)
    assert schedule(virtual) == [
        (0.0, "full"),
        (30.0, "suppress"),
        (60.0, "suppress"),
        (90.0, "suppress"),
    ]


def test_no_two_requests_have_the_same_echo() -> None:
    """An answer to an older request, or another connection's, is not taken for the awaited one."""
    virtual = measuring(settings(PORTAL, refresh_interval_s=60.0))
    virtual.let_beat(300.0)
    virtual.disconnect()
    virtual.let(1.0)
    virtual.connect()
    echoes = [echo_of(publish) for _, publish in virtual.keepalives() if is_full(publish)]
    assert len(set(echoes)) == len(echoes) == 7


def test_nothing_is_published_without_a_connection() -> None:
    """From the end of a connection to the next one nothing is asked of anybody."""
    virtual = measuring(settings(PORTAL))
    virtual.disconnect()
    virtual.reset()
    virtual.let(1000.0)
    assert virtual.keepalives() == []


def test_each_connection_asks_at_once_however_short_the_last_one_was() -> None:
    """The spacing of requests does not hold back a new connection, which must be asked on."""
    virtual = connected(settings(PORTAL))
    for _ in range(3):
        virtual.let(1.0)
        virtual.disconnect()
        virtual.connect()
    assert virtual.full_requests_s() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("gap_s", "asked_s"),
    [(60.0, []), (60.5, [160.5]), (100.0, [200.0])],
    ids=["60 s: it was awake", "a bit more: it fell asleep", "long asleep"],
)
def test_everything_is_asked_for_after_a_gap_of_more_than_60_s(
    gap_s: float, asked_s: list[float]
) -> None:
    """A GX that was asleep says only what changes until it is asked for everything."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(100.0)
    virtual.reset()
    virtual.let(gap_s)
    virtual.heartbeat()
    virtual.let_beat(30.0)
    assert virtual.full_requests_s() == asked_s


def test_a_swapped_charger_is_measured_once_it_has_said_everything() -> None:
    """One serial among thousands of values: the rest has to be asked for."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(5.0)
    virtual.reset()
    virtual.charger({"Serial": "HQ2211BBBB2", "Yield/Power": 81.5, "Yield/System": 30.5})
    assert virtual.full_requests_s() == [5.0]
    virtual.let_beat(8.0)
    assert virtual.measured_s() == []
    virtual.charger({**CHARGER, "Serial": "HQ2211BBBB2"})
    virtual.complete(virtual.last_echo())
    virtual.let_beat(50.0)
    assert virtual.measured_s() == [30.0, 60.0]


def test_without_an_echo_an_answer_is_taken_for_complete_in_the_end() -> None:
    """Older firmware echoes nothing: 10 s after the request what has come is all there is."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(25.0)
    virtual.reset()
    virtual.charger({**CHARGER, "Serial": "HQ2211BBBB2"})
    virtual.let_beat(1.0)
    virtual.charger({**CHARGER, "Serial": "HQ2211BBBB2"})
    virtual.let_beat(74.0)
    assert virtual.full_requests_s() == [25.0]
    assert virtual.measured_s() == [60.0, 90.0]


def test_causes_to_ask_never_bring_requests_closer_than_a_minute() -> None:
    """A cause that comes within a minute of the last request waits; a connection does not count."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(12.0)
    virtual.charger({"Serial": "HQ2211BBBB2"})
    virtual.let_beat(12.0)
    virtual.charger({"Serial": "HQ2211CCCC3"})
    virtual.let_beat(69.0)
    assert virtual.full_requests_s() == [0.0, 12.0, 72.0]


def test_a_swapped_unit_is_asked_to_say_everything() -> None:
    """A serial that changes is another unit, of which nothing is known."""
    virtual = measuring(settings(PORTAL))
    virtual.at(100.0)
    virtual.charger({"Serial": "HQ9999ZZZZZ"})
    assert virtual.full_requests_s() == [0.0, 100.0]


@pytest.mark.parametrize(
    ("says", "asked_s"),
    [
        (CHARGER, []),
        ({path: said for path, said in CHARGER.items() if path != "Serial"}, [102.0]),
        ({"Yield/Power": 12.0}, [102.0]),
        ({**CHARGER, "Serial": None}, []),
    ],
    ids=["everything", "no serial", "one change only", "that it has no serial"],
)
def test_a_charger_that_appears_is_given_2_s_to_say_everything(
    says: Mapping[str, object], asked_s: list[float]
) -> None:
    """Everything that a report needs and is not said within 2 s, if only as null, is asked for."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(100.0)
    virtual.reset()
    virtual.charger(says, instance=7)
    virtual.let_beat(30.0)
    assert virtual.full_requests_s() == asked_s


def test_a_charger_that_never_tells_its_serial_is_not_asked_for_ever() -> None:
    """One more request, 2 s after the answer; then only the refresh, for a unit that has none."""
    virtual = connected(settings(PORTAL, refresh_interval_s=86_400.0))
    without_serial = {path: said for path, said in CHARGER.items() if path != "Serial"}
    virtual.charger(without_serial)
    virtual.complete(virtual.last_echo())
    virtual.let_beat(3600.0)
    assert virtual.full_requests_s() == [0.0, 2.0]


def test_a_charger_missing_from_a_full_publish_is_asked_for_again() -> None:
    """QoS 0 may have lost it: the next request comes a minute after the last one."""
    virtual = measuring(settings(PORTAL, refresh_interval_s=300.0))
    virtual.let_beat(300.0)
    virtual.complete(virtual.last_echo())
    virtual.let_beat(60.0)
    assert virtual.full_requests_s() == [0.0, 300.0, 360.0]


# --- the warm-up -----------------------------------------------------------------------------


def test_our_echo_ends_the_warm_up_with_a_measurement() -> None:
    """The echo says that all has come: it is measured at that very moment."""
    virtual = connected(settings(PORTAL))
    virtual.at(0.25)
    virtual.answer()
    assert virtual.measured_s() == [0.25]
    (measurement,) = virtual.measurements()
    assert [device.serial for device in measurement.devices] == ["HQ2208AXN7V"]


@pytest.mark.parametrize(
    "echo", [None, SOMEBODY_ELSES_ECHO], ids=["no echo at all", "somebody else's"]
)
def test_another_completion_does_not_end_the_warm_up(echo: str | None) -> None:
    """Only our own echo proves that our request was answered; without it, 10 s have to do."""
    virtual = connected(settings(PORTAL))
    virtual.at(1.0)
    virtual.charger()
    virtual.complete(echo)
    virtual.at(9.5)
    assert virtual.measured_s() == []
    virtual.let(10.0)
    assert virtual.measured_s() == [10.0]


def test_the_echo_of_the_connection_before_does_not_end_the_warm_up() -> None:
    """An answer that was under way when the connection ended says nothing of this one."""
    virtual = connected(settings(PORTAL))
    late = virtual.last_echo()
    virtual.at(1.0)
    virtual.disconnect()
    virtual.connect()
    virtual.charger()
    virtual.complete(late)
    assert virtual.measured_s() == []
    virtual.complete(virtual.last_echo())
    assert virtual.measured_s() == [1.0]


def test_after_an_echo_too_early_the_last_missing_word_ends_the_warm_up() -> None:
    """Right after a broker start the completion comes before the values: those are waited for."""
    virtual = connected(settings(PORTAL))
    virtual.at(0.1)
    virtual.charger({"Yield/Power": 12.0})
    virtual.complete(virtual.last_echo())
    assert virtual.measured_s() == []
    virtual.at(0.9)
    virtual.charger({path: said for path, said in CHARGER.items() if path != "Yield/Power"})
    assert virtual.measured_s() == [0.9]


WITHOUT_TOTAL = {path: said for path, said in CHARGER.items() if path != "Yield/System"}


def test_a_laggard_holds_nobody_else_up() -> None:
    """The others are measured at the echo; it is asked again after 2 s, and is in the next beat."""
    virtual = connected(settings(PORTAL))
    virtual.at(0.25)
    virtual.charger({**WITHOUT_TOTAL, "Serial": "HQ2211LATE1"}, instance=7)
    virtual.answer()
    assert [[d.device_instance for d in m.devices] for m in virtual.measurements()] == [[281]]
    assert virtual.full_requests_s() == [0.0]
    virtual.at(2.5)
    assert virtual.full_requests_s() == [0.0, 2.25]
    virtual.charger({**CHARGER, "Serial": "HQ2211LATE1"}, instance=7)
    virtual.answer()
    virtual.let_beat(30.0)
    assert virtual.measured_s() == [0.25, 30.25]
    assert [d.device_instance for d in virtual.measurements()[1].devices] == [7, 281]


def test_a_laggard_alone_is_measured_when_it_has_said_all() -> None:
    """There is nobody else whom the warm-up could be over for."""
    virtual = connected(settings(PORTAL))
    virtual.charger(WITHOUT_TOTAL)
    virtual.complete(virtual.last_echo())
    virtual.at(2.25)
    assert virtual.full_requests_s() == [0.0, 2.0]
    virtual.answer()
    virtual.let_beat(30.0)
    assert virtual.measured_s() == [2.25, 32.25]


def test_a_laggard_that_is_lost_again_is_not_asked_for_a_third_time() -> None:
    """One more request a connection: then a minute, and the refresh, have to do."""
    virtual = connected(settings(PORTAL))
    virtual.charger(WITHOUT_TOTAL, instance=7)
    virtual.answer()
    virtual.let_beat(2.5)
    virtual.answer()
    virtual.let_beat(200.0)
    assert virtual.full_requests_s() == [0.0, 2.0]


def test_an_echo_without_any_charger_leaves_the_warm_up_to_its_10_s() -> None:
    """No charger at all is more likely a broker that has just started than a GX without any."""
    virtual = connected(settings(PORTAL))
    virtual.at(0.1)
    virtual.complete(virtual.last_echo())
    virtual.at(5.0)
    virtual.charger()
    assert virtual.measured_s() == [5.0]


def test_there_is_no_measurement_without_a_charger() -> None:
    """A GX without chargers is kept awake and posts nothing."""
    virtual = connected(settings(PORTAL))
    virtual.let_beat(300.0)
    assert virtual.measured_s() == []
    assert virtual.log() == ["connected to the broker", f"found the GX with portal id {PORTAL}"]


def test_what_was_said_before_a_connection_is_not_reported_after_it() -> None:
    """After a new connection a charger is in no measurement until it has been heard again."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.at(1.0)
    virtual.disconnect()
    virtual.connect()
    virtual.reset()
    virtual.let_beat(60.0)
    assert virtual.measured_s() == []
    virtual.charger()
    virtual.let(5.0)
    assert virtual.measured_s() == [65.0]


# --- the beat --------------------------------------------------------------------------------


@pytest.mark.parametrize("interval_s", [1.0, 1.1, 7.3, 30.0], ids="every {} s".format)
def test_10_000_measurements_are_exactly_one_interval_apart(interval_s: float) -> None:
    """The beat is set by the first measurement and does not drift, however late events come."""
    virtual = connected(settings(PORTAL, interval_s=interval_s))
    virtual.at(0.125)
    virtual.answer()
    for _ in range(int(10_000 * interval_s / 9.0) + 1):
        virtual.let(9.0)
        virtual.heartbeat()
    measured_s = virtual.measured_s()[:10_001]
    assert measured_s == [round(0.125 + interval_s * n, 6) for n in range(10_001)]


def test_a_measurement_tells_what_held_at_its_deadline_even_if_the_tick_is_late() -> None:
    """An event that comes before the tick does not get into the measurement that was due before."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.reset()
    virtual.now_s = 6.0  # No tick at 5 s: the loop was busy.
    virtual.charger({"Yield/Power": 222.0})
    virtual.at(10.0)
    powers_w = [measurement.devices[0].yield_power_w for measurement in virtual.measurements()]
    assert virtual.measured_s() == [5.0, 10.0]
    assert powers_w == [100.0, 222.0]


def test_a_deadline_within_a_later_warm_up_is_measured_at_its_end() -> None:
    """The measurement due while nothing is trusted waits for the echo; the beat stays as it was."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(28.0)
    virtual.at(29.0)
    virtual.disconnect()
    virtual.connect()
    virtual.at(33.0)
    virtual.answer()
    virtual.let_beat(57.0)
    assert virtual.measured_s() == [0.0, 33.0, 60.0, 90.0]


def test_several_deadlines_within_one_warm_up_are_one_measurement() -> None:
    """There is only one present to be told of, however many beats went by."""
    virtual = measuring(settings(PORTAL, interval_s=2.0))
    virtual.at(1.0)
    virtual.disconnect()
    virtual.connect()
    virtual.charger()
    virtual.let_beat(11.0)
    assert virtual.measured_s() == [0.0, 11.0, 12.0]


def test_a_warm_up_between_two_deadlines_adds_no_measurement() -> None:
    """A new connection is no reason to measure: only an interval that has gone by is."""
    virtual = measuring(settings(PORTAL))
    virtual.at(3.0)
    virtual.disconnect()
    virtual.connect()
    virtual.answer()
    virtual.let_beat(27.0)
    assert virtual.measured_s() == [0.0, 30.0]


def test_nothing_is_measured_without_a_connection() -> None:
    """From the end of a connection on nobody knows what is true: fresh or nothing."""
    virtual = measuring(settings(PORTAL, interval_s=2.0))
    virtual.at(3.9)
    virtual.disconnect()
    virtual.at(200.0)
    assert virtual.measured_s() == [0.0, 2.0]


# --- silence ---------------------------------------------------------------------------------

SILENCE = f"{PORTAL}: the GX is not heard: not measuring. Is it on, and is {PORTAL} its portal id?"


def test_a_long_silence_is_told_once() -> None:
    """Not measured from 10 s of silence on; told when it has lasted a minute, at a keepalive."""
    virtual = measuring(settings(PORTAL, interval_s=5.0))
    virtual.let_beat(3.0)
    virtual.reset()
    virtual.at(300.0)
    assert virtual.measured_s() == [5.0, 10.0]
    assert [
        done.at_s for done in virtual.done if as_logged([done.command]) == [Log.warning(SILENCE)]
    ] == [90.0]


def test_a_gx_heard_again_is_measured_again_and_told_of_once() -> None:
    """The measurement that was owed is made as soon as the GX has said everything again."""
    virtual = measuring(settings(PORTAL))
    virtual.at(250.0)
    virtual.reset()
    virtual.heartbeat()
    virtual.answer()
    virtual.let_beat(60.0)
    assert virtual.measured_s() == [250.0, 270.0, 300.0]
    assert virtual.log() == [f"{PORTAL}: the GX is heard again: measuring"]


def test_values_from_before_a_gap_are_not_reported_after_it() -> None:
    """A GX that was asleep may have changed unheard: it has to say everything again."""
    virtual = measuring(settings(PORTAL))
    virtual.at(95.0)
    virtual.reset()
    virtual.let_beat(60.0)
    assert virtual.measured_s() == []


def test_retained_messages_are_no_sign_of_life() -> None:
    """Everything that the broker has kept says nothing of the GX: it does not break a silence."""
    virtual = measuring(settings(PORTAL, interval_s=10.0))
    virtual.reset()
    for _ in range(30):
        virtual.let(10.0)
        virtual.tell_portal(retain=True)
    assert virtual.measured_s() == [10.0]
    assert SILENCE in virtual.log()


def test_the_portal_id_said_live_is_a_sign_of_life() -> None:
    """Early in boot the GX says its portal id itself, not retained: then it is there."""
    virtual = measuring(settings(PORTAL))
    for _ in range(30):
        virtual.let(10.0)
        virtual.tell_portal(retain=False)
    assert virtual.measured_s() == [30.0 * n for n in range(11)]


# --- the name, and the neighbours ------------------------------------------------------------


@pytest.mark.parametrize(
    ("cerbo_serial", "name"),
    [(None, PORTAL), ("Workshop", "Workshop")],
    ids=["auto", "set"],
)
def test_measurements_call_the_gx_by_its_set_name_or_its_portal_id(
    cerbo_serial: str | None, name: str
) -> None:
    """`device.cerbo_serial` is what the backend knows the GX by."""
    virtual = measuring(settings(PORTAL, device={"cerbo_serial": cerbo_serial}))
    assert [measurement.cerbo_serial for measurement in virtual.measurements()] == [name]


def test_two_sites_have_each_their_own_schedule() -> None:
    """Warm-up, beat and requests of one GX follow from what that GX says alone."""
    virtual = connected(settings(PORTAL, OTHER_PORTAL))
    virtual.at(1.0)
    virtual.answer(PORTAL)
    virtual.let_beat(18.0, PORTAL)
    virtual.answer(OTHER_PORTAL)
    virtual.let_beat(60.0, PORTAL, OTHER_PORTAL)
    assert virtual.measured_s(PORTAL) == [1.0, 31.0, 61.0]
    assert virtual.measured_s(OTHER_PORTAL) == [19.0, 49.0, 79.0]


def test_a_silent_site_leaves_the_other_one_alone() -> None:
    """One GX that is switched off is not measured and asked; the other one goes on as it was."""
    virtual = measuring(settings(PORTAL, OTHER_PORTAL), PORTAL, OTHER_PORTAL)
    virtual.let_beat(150.0, PORTAL)
    assert virtual.measured_s(PORTAL) == [30.0 * n for n in range(6)]
    assert virtual.measured_s(OTHER_PORTAL) == [15.0]
    assert virtual.full_requests_s(PORTAL) == [0.0]
    virtual.heartbeat(OTHER_PORTAL)
    assert virtual.full_requests_s(PORTAL) == [0.0]
    assert virtual.full_requests_s(OTHER_PORTAL) == [15.0, 165.0]


def test_chargers_of_the_same_instance_on_two_sites_are_two_chargers() -> None:
    """An instance number means something within one GX only."""
    virtual = connected(settings(PORTAL, OTHER_PORTAL))
    virtual.charger({**CHARGER, "Yield/Power": 1.0}, portal_id=PORTAL)
    virtual.let_beat(20.0, PORTAL, OTHER_PORTAL)
    virtual.charger({**CHARGER, "Yield/Power": 2.0, "Serial": "B"}, portal_id=OTHER_PORTAL)
    virtual.let_beat(10.0, PORTAL, OTHER_PORTAL)
    powers_w = {m.cerbo_serial: m.devices[0].yield_power_w for m in virtual.measurements()}
    assert powers_w == {PORTAL: 1.0, OTHER_PORTAL: 2.0}


def test_a_broker_that_restarts_gets_everything_anew() -> None:
    """After a restart a new request is made, and measuring goes on."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(40.0)
    virtual.disconnect()
    virtual.let(5.0)
    virtual.reset()
    virtual.connect()
    virtual.let(1.0)
    virtual.answer()
    virtual.let_beat(74.0)
    assert virtual.full_requests_s() == [45.0]
    assert virtual.measured_s() == [60.0, 90.0, 120.0]
