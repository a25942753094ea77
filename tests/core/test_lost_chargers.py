"""Tests chargers that are lost, and what is known of a charger after a new connection."""

import pytest

from mqtt_http_bridge.core.omission import Cause
from mqtt_http_bridge.core.relay.charger_report import LEFT_OUT_S
from mqtt_http_bridge.core.relay.presence import Change
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.sayings import (
    OLD,
    SEVERAL,
    SINGLE,
    SOUTH_ROOF,
    Bus,
    Values,
    bus_with,
    left_out,
    moment,
    unix_s,
    without,
)

DAY_S = 86_400.0
OFF = SOUTH_ROOF._replace(reachable=False, producing=False, yield_power_w=0.0, trackers=())
"""SOUTH_ROOF, lost, and last heard at 0 s."""


# --- lost --------------------------------------------------------------------------------------


def test_a_charger_that_left_is_off_after_a_minute() -> None:
    """No power, no trackers, the last total, and the time it was last heard, not that it left."""
    bus = bus_with()
    bus.say({"Yield/System": 21.0}, at_s=50.0)
    bus.leave(100.0)
    assert left_out(bus, 100.0) is Cause.JUST_LOST
    assert left_out(bus, 100.0 + LEFT_OUT_S - 0.1) is Cause.JUST_LOST
    off = OFF._replace(yield_total_kwh=21.0, last_update_s=unix_s(50.0))
    assert bus.report(100.0 + LEFT_OUT_S) == off
    assert bus.report(5000.0) == off


def test_one_zero_length_payload_tells_it_all() -> None:
    """The charger is gone with the first of them, whichever path it is of."""
    bus = bus_with()
    bus.leave(100.0, paths={"Pv/V": None})
    assert bus.report(160.0).reachable is False


def test_a_charger_out_of_reach_is_lost() -> None:
    """Its driver is still there, says `/Connected` 0, and with it when the charger was heard."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    assert left_out(bus, 41.0) is Cause.JUST_LOST
    assert bus.report(100.0) == OFF._replace(last_update_s=unix_s(40.0))


def test_people_see_no_power_of_a_charger_out_of_reach() -> None:
    """Not even in the minute in which it may be back; they see its last total."""
    bus = bus_with()
    (view,) = bus.chargers.views(moment(39.0))
    assert (view.power_w, view.total_kwh) == (64.5, 20.75)
    bus.say({"Connected": 0}, at_s=40.0)
    (view,) = bus.chargers.views(moment(41.0))
    assert (view.power_w, view.total_kwh, view.is_on_bus) == (None, 20.75, True)


def test_numbers_beside_connected_0_are_nobodys() -> None:
    """However often full publishes repeat them, in whatever order, and after a gap too."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    off = OFF._replace(last_update_s=unix_s(40.0))
    frozen = {**SINGLE, "Connected": 0, "Yield/System": 99.0}
    bus.publish(frozen, at_s=300.0)
    assert bus.report(301.0) == off
    bus.chargers.unconfirm(400.0)
    bus.publish(dict(reversed(frozen.items())), at_s=400.0)
    assert bus.report(401.0) == off


def test_a_charger_that_was_never_within_reach_has_no_numbers() -> None:
    """Those of the burst in which it appeared are as frozen as those after it."""
    bus = bus_with({**without(SINGLE, "Connected"), "Connected": 0})
    assert left_out(bus, 61.0) is Cause.LOST_AND_UNKNOWN
    bus.publish({"Connected": 0, **without(SINGLE, "Connected")}, at_s=100.0)
    assert left_out(bus, 200.0) is Cause.LOST_AND_UNKNOWN


def test_a_restarted_driver_without_its_charger_brings_nothing_back() -> None:
    """Gone from the bus, there again, and still without contact: lost as before."""
    bus = bus_with()
    bus.leave(100.0)
    bus.say({**without(SINGLE, "Connected"), "Connected": 0}, at_s=130.0)
    assert bus.report(161.0) == OFF


def test_within_reach_again_a_number_is_known_once_it_is_said_again() -> None:
    """Its serial and names need not be said again: the driver was there all the time."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    bus.say({"Yield/Power": 900.0, "Pv/V": 70.0}, at_s=60.0)
    assert bus.say({"Connected": 1}, at_s=200.0) == [Change.RETURNED]
    assert left_out(bus, 200.0) is Cause.SETTLING
    assert left_out(bus, 220.0) is Cause.SETTLING
    bus.say({"Yield/Power": 8.0, "Yield/System": 20.75}, at_s=225.0)
    report = bus.report(226.0)
    assert (report.serial, report.name, report.yield_power_w) == ("HQ2211AAAA1", "South roof", 8.0)
    assert report.trackers == ()


def test_a_driver_that_no_longer_says_connected_0_is_heard_again() -> None:
    """A full publish without it says that it has ended: what is said from then on counts."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    bus.publish(without(SINGLE, "Connected"), at_s=300.0)
    assert not bus.report(301.0).reachable
    assert bus.say({"Yield/Power": 3.0}, at_s=302.0) == [Change.RETURNED]


def test_another_unit_out_of_reach_is_not_reported_under_the_old_ones_serial() -> None:
    """It was swapped behind its driver's back: its serial is told beside `/Connected` 0."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    bus.say({"Serial": "HQ2211BBBB2", "Connected": 0}, at_s=50.0)
    assert left_out(bus, 200.0) is Cause.LOST_AND_UNKNOWN


def test_nor_is_one_that_was_put_there_while_nobody_listened() -> None:
    """After a new connection another serial is no swap, and the words of before are not its own."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    bus.chargers.unconfirm(50.0)
    bus.say({"Connected": 0, "Serial": "HQ2211BBBB2"}, at_s=51.0)
    assert left_out(bus, 200.0) is Cause.LOST_AND_UNKNOWN


@pytest.mark.parametrize("told", [OLD, {"Connected": 1, **without(OLD, "Connected")}])
def test_another_unit_within_reach_after_a_gap_inherits_nothing(told: Values) -> None:
    """Neither the name of the one that was out of reach before, nor its number of trackers."""
    bus = bus_with(SEVERAL)
    bus.say({"Connected": 0}, 100.0)
    bus.chargers.unconfirm(200.0)
    bus.publish(told, 250.0)
    expected = SOUTH_ROOF._replace(name=SOUTH_ROOF.product_name, last_update_s=unix_s(250.0))
    assert bus.report(260.0) == expected


def test_nor_its_serial() -> None:
    """One that tells none is not reported under that of the other."""
    bus = bus_with()
    bus.say({"Connected": 0}, 100.0)
    bus.chargers.unconfirm(200.0)
    bus.publish(without(SINGLE, "Serial"), 250.0)
    assert left_out(bus, 260.0) is Cause.SERIAL_UNKNOWN


def test_words_of_an_earlier_loss_are_over_once_it_is_back() -> None:
    """It was heard since, and what its total was then nobody knows."""
    bus = bus_with()
    bus.leave(100.0)
    bus.publish({**SINGLE, "Yield/System": None}, at_s=200.0)
    bus.leave(300.0)
    assert left_out(bus, 400.0) is Cause.LOST_AND_UNKNOWN


def test_so_are_they_once_one_of_two_units_is_left() -> None:
    """It may be another unit than the one that was lost: it has yet to say who it is."""
    bus = bus_with()
    bus.leave(100.0)
    for at_s, serial in ((110.0, "HQ2211AAAA1"), (120.0, "HQ2211BBBB2"), (130.0, "HQ2211AAAA1")):
        bus.say({"Serial": serial}, at_s=at_s)
    assert left_out(bus, 131.0) is Cause.TWO_UNITS
    bus.publish({"Serial": "HQ2211BBBB2"}, at_s=200.0)
    bus.leave(300.0)
    assert left_out(bus, 400.0) is Cause.LOST_AND_UNKNOWN


def test_lost_again_without_a_total_it_has_its_words_of_before() -> None:
    """It blinked, and said too little meanwhile: who it was and its last total still hold."""
    bus = bus_with()
    bus.leave(100.0)
    bus.say({"Yield/Power": 1.0}, at_s=110.0)
    bus.leave(111.0)
    assert bus.report(160.0) == OFF
    bus.say({"Serial": "HQ2211BBBB2"}, at_s=170.0)
    bus.leave(171.0)
    assert left_out(bus, 300.0) is Cause.LOST_AND_UNKNOWN


def test_the_last_total_outlives_a_null() -> None:
    """A charger at dusk says null before it leaves: the last total that was known is reported."""
    bus = bus_with()
    bus.say({"Yield/Power": None, "Yield/System": None, "Connected": 0}, at_s=40.0)
    bus.leave(75.0)
    assert bus.report(100.0) == OFF._replace(last_update_s=unix_s(40.0))


@pytest.mark.parametrize("missing", ["Serial", "Yield/System"])
def test_a_charger_that_left_before_it_was_known_is_left_out(missing: str) -> None:
    """Without a serial or a total there is nothing that could truthfully be said."""
    bus = bus_with(without(SINGLE, missing))
    bus.leave(5.0)
    assert left_out(bus, 65.0) is Cause.LOST_AND_UNKNOWN
    assert left_out(bus, 5000.0) is Cause.LOST_AND_UNKNOWN


def test_a_configured_serial_outlives_the_charger() -> None:
    """It is known by it as much as by its own."""
    bus = bus_with(without(SINGLE, "Serial"), serials={"277": "SET"})
    bus.leave(50.0)
    assert bus.report(110.0).serial == "SET"


def test_nobody_leaves_who_was_never_there() -> None:
    """A zero-length payload does not make a charger."""
    bus = Bus()
    bus.leave(5.0)
    assert bus.found(5.0) is None


def test_a_charger_that_returns_is_reported_as_new() -> None:
    """It has to say everything again, and does, in one burst."""
    bus = bus_with()
    bus.leave(100.0)
    assert bus.say({"Yield/Power": 5.0}, at_s=200.0) == [Change.RETURNED]
    assert left_out(bus, 200.0) is Cause.SETTLING
    bus.say(SINGLE, at_s=200.0)
    assert bus.report(200.0) == SOUTH_ROOF._replace(last_update_s=unix_s(200.0))


def test_a_charger_that_left_is_forgotten_after_a_day() -> None:
    """To the second, and counted from when it left."""
    bus = bus_with()
    bus.leave(100.0)
    assert bus.report(100.0 + DAY_S - 1.0).reachable is False
    assert bus.found(100.0 + DAY_S) is None


def test_a_charger_that_left_twice_is_forgotten_by_the_first_time() -> None:
    """More zero-length payloads do not prolong its memory."""
    bus = bus_with(forget_after_s=60.0)
    bus.leave(100.0)
    bus.leave(150.0)
    assert bus.found(160.0) is None


def test_a_charger_that_returned_is_not_forgotten() -> None:
    """The day is over for the one that left, not for the one that is there."""
    bus = bus_with()
    bus.leave(100.0)
    bus.say(SINGLE, at_s=200.0)
    assert bus.report(100.0 + DAY_S).reachable is True


def test_forgetting_at_once_leaves_it_out_at_once() -> None:
    """With `forget_after` 0 there is not a single report of a charger that is off."""
    bus = bus_with(forget_after_s=0.0)
    bus.leave(100.0)
    assert bus.found(100.0) is None


# --- a connection made anew ----------------------------------------------------------------------


def test_after_a_new_connection_nothing_old_is_reported() -> None:
    """It may have left, or been swapped, while nobody listened."""
    bus = bus_with()
    bus.chargers.unconfirm(0.0)
    assert left_out(bus, 10.0) is Cause.UNCONFIRMED
    assert not bus.chargers.has_said_all


def test_a_charger_heard_again_is_confirmed_by_all_it_says() -> None:
    """One value is not enough, not even for what is silent for hours."""
    bus = bus_with()
    bus.chargers.unconfirm(0.0)
    assert bus.say({"Yield/Power": 5.0}, at_s=20.0) == [Change.APPEARED]
    assert left_out(bus, 20.0) is Cause.SETTLING
    bus.say(SINGLE, at_s=20.0)
    assert bus.report(20.0) == SOUTH_ROOF._replace(last_update_s=unix_s(20.0))


def test_another_unit_after_a_gap_inherits_nothing() -> None:
    """Its serial may come last in the full publish; until then it is not taken for the old one."""
    bus = bus_with()
    bus.chargers.unconfirm(0.0)
    new = {**without(SINGLE, "CustomName", "Serial"), "Yield/System": 0.25}
    bus.say(new, at_s=20.0)
    assert left_out(bus, 20.0) is Cause.SETTLING
    assert bus.say({"Serial": "HQ2211BBBB2"}, at_s=20.1) == [None]
    assert (bus.report(20.1).serial, bus.report(20.1).yield_total_kwh) == ("HQ2211BBBB2", 0.25)


def test_a_charger_that_leaves_while_unconfirmed_is_off() -> None:
    """With what was known of it before, heard when it was."""
    bus = bus_with()
    bus.chargers.unconfirm(0.0)
    bus.leave(20.0)
    assert bus.report(80.0) == OFF._replace(last_update_s=unix_s(0.0))


def test_a_charger_that_was_off_is_off_after_a_new_connection() -> None:
    """There was nothing to confirm; it is still forgotten in time."""
    bus = bus_with()
    bus.leave(5.0)
    bus.chargers.unconfirm(0.0)
    assert bus.report(65.0).reachable is False
    assert bus.found(5.0 + DAY_S) is None


def test_two_full_publishes_without_it_mean_that_it_left() -> None:
    """The first proves nothing, and asks for another; the second does."""
    bus = bus_with()
    bus.chargers.unconfirm(0.0)
    assert bus.chargers.confirm(requested_s=20.0, now_s=21.0)
    assert left_out(bus, 21.0) is Cause.UNCONFIRMED
    assert not bus.chargers.confirm(requested_s=80.0, now_s=81.0)
    assert bus.report(141.0) == OFF._replace(last_update_s=unix_s(0.0))
    assert bus.found(81.0 + DAY_S) is None


def test_full_publishes_are_missed_in_a_row_or_not_at_all() -> None:
    """Being heard between two of them starts the count afresh."""
    bus = bus_with()
    assert bus.chargers.confirm(requested_s=20.0, now_s=21.0)
    bus.say(SINGLE, at_s=50.0)
    assert bus.chargers.confirm(requested_s=80.0, now_s=81.0)
    assert bus.report(81.0).reachable is True


def test_a_charger_that_stays_silent_on_a_living_connection_leaves_too() -> None:
    """Also without a goodbye: two full publishes in a row that lack it."""
    bus = bus_with()
    bus.chargers.confirm(requested_s=300.0, now_s=301.0)
    assert bus.report(301.0).last_update_s == unix_s(0.0)
    bus.chargers.confirm(requested_s=360.0, now_s=361.0)
    assert bus.report(421.0) == OFF._replace(last_update_s=unix_s(0.0))


def test_who_spoke_in_a_full_publish_is_not_harmed_by_who_did_not() -> None:
    """Each charger has its own count."""
    bus, other = bus_with(), ChargerKey("solarcharger", 278)
    for at_s in (300.0, 360.0):
        bus.say({**SINGLE, "Serial": "OTHER"}, at_s=at_s + 0.5, key=other)
        bus.chargers.confirm(requested_s=at_s, now_s=at_s + 1.0)
    assert bus.report(421.0).reachable is False
    assert bus.report(421.0, other) == SOUTH_ROOF._replace(
        serial="OTHER", device_instance=278, last_update_s=unix_s(361.0)
    )


def test_a_charger_that_goes_null_before_it_leaves_keeps_its_names() -> None:
    """The GX may lose contact first and the device later: who it was is known all the same."""
    bus = bus_with()
    bus.say({"CustomName": None, "ProductName": None, "Yield/System": None}, at_s=5.0)
    bus.leave(6.0)
    report = bus.report(66.0)
    assert (report.name, report.product_name) == (SOUTH_ROOF.name, SOUTH_ROOF.product_name)
    assert report.yield_total_kwh == SOUTH_ROOF.yield_total_kwh


def test_a_multi_with_pv_stays_a_charger_when_its_trackers_turn_null() -> None:
    """Not known is not none: it is not dropped without a word."""
    multi = ChargerKey("multi", 2)
    bus = Bus()
    bus.say({**SEVERAL, "NrOfTrackers": 2}, key=multi)
    bus.say({"NrOfTrackers": None}, at_s=1.0, key=multi)
    assert len(bus.report(2.0, multi).trackers) > 1


def test_who_left_is_not_waited_for() -> None:
    """A charger known to be gone keeps no full publish from being complete."""
    bus = bus_with()
    bus.leave(5.0)
    assert not bus.chargers.confirm(requested_s=20.0, now_s=21.0)
    assert not bus.chargers.is_somebody_unheard
