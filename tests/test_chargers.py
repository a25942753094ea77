"""Who is on the bus: what is reported of chargers as they appear, speak, fall silent and leave."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mqtt_http_bridge.core import venus
from mqtt_http_bridge.core.chargers import SETTLING_S, Charger, Omission
from mqtt_http_bridge.core.fleet import Change
from mqtt_http_bridge.core.measurement import DeviceReport, TrackerReport
from mqtt_http_bridge.core.venus import ChargerKey
from tests.sayings import KEY, OLD, SEVERAL, SINGLE, Bus, Values, moment, said, unix_s, without

NEEDED = ("Serial", "ProductName", "Yield/Power", "Yield/System")
DAY_S = 86_400.0
SOUTH_ROOF = DeviceReport(
    device_instance=277,
    serial="HQ2211AAAA1",
    name="South roof",
    product_name="BlueSolar Charger MPPT 150/45 rev3",
    reachable=True,
    producing=True,
    last_update_s=unix_s(0.0),
    yield_power_w=64.5,
    yield_total_kwh=20.75,
    trackers=(TrackerReport(index=0, name="PV", voltage_v=62.5, power_w=64.5),),
)
"""What is reported of SINGLE, said at 0 s."""


def left_out(bus: Bus, at_s: float) -> Omission:
    """Why the charger is not reported, which there must be a reason for."""
    found = bus.found(at_s)
    assert isinstance(found, Omission), found
    return found


def bus_with(values: Values = SINGLE, **settings: object) -> Bus:
    """A bus with one charger, which said `values` at 0 s."""
    bus = Bus(**settings)
    bus.say(values)
    return bus


# --- the table ---------------------------------------------------------------------------------


def test_a_charger_is_reported_as_it_speaks() -> None:
    """Every row of the table, for a charger with one tracker."""
    assert bus_with().report(1.0) == SOUTH_ROOF


def test_old_firmware_is_reported_without_its_own_name() -> None:
    """It has neither `/CustomName` nor `/NrOfTrackers`."""
    expected = replace(SOUTH_ROOF, name="BlueSolar Charger MPPT 150/45 rev3")
    assert bus_with(OLD).report(1.0) == expected


def test_several_trackers_are_reported_with_the_power_of_the_whole() -> None:
    """The charger's power is what it says, not what its trackers add up to; instance 0 is valid."""
    bus, key = Bus(), ChargerKey("solarcharger", 0)
    bus.say({**SEVERAL, "Yield/Power": 3400.0}, key=key)
    report = bus.report(1.0, key)
    assert (report.device_instance, report.serial) == (0, "1234567 HQ2233RS45X")
    assert (report.yield_power_w, len(report.trackers)) == (3400.0, 3)


def test_whole_numbers_are_reported_as_floats() -> None:
    """So that the wire has 12.0 whichever way the GX wrote it; counts stay whole."""
    report = bus_with({**SINGLE, "Yield/Power": 12, "Yield/System": 7, "Pv/V": 60}).report(1.0)
    (tracker,) = report.trackers
    measured = (report.yield_power_w, report.yield_total_kwh, tracker.voltage_v, tracker.power_w)
    assert [type(number) for number in measured] == [float] * 4
    assert [type(count) for count in (report.device_instance, report.last_update_s)] == [int] * 2


def test_a_later_saying_replaces_an_earlier_one() -> None:
    """Path by path: what was not said again still holds."""
    bus = bus_with()
    bus.say({"Yield/Power": 0.0, "State": 0}, at_s=5.0)
    report = bus.report(6.0)
    assert (report.yield_power_w, report.producing, report.yield_total_kwh) == (0.0, False, 20.75)


def test_a_charger_out_of_reach_is_reported_as_such() -> None:
    """`/Connected` 0 with numbers still known."""
    report = bus_with({**SINGLE, "Connected": 0, "State": 3}).report(1.0)
    assert (report.reachable, report.producing) == (False, False)


@pytest.mark.parametrize("path", ["Yield/Power", "Yield/System"])
@pytest.mark.parametrize("value", [None, [], float("nan"), 1e12, "64.5", True], ids=repr)
def test_an_unknown_number_leaves_the_charger_out(path: str, value: object) -> None:
    """From that moment on, and until the number is known again; nothing old is reported."""
    bus = bus_with()
    bus.say({path: value}, at_s=20.0)
    assert left_out(bus, 20.0) is Omission.NUMBERS_UNKNOWN
    bus.say({path: 7.5}, at_s=40.0)
    assert isinstance(bus.found(40.0), DeviceReport)


def test_an_unreadable_number_leaves_the_charger_out() -> None:
    """Something new was said, so that the old number is in doubt."""
    bus = bus_with()
    bus.fleet.hear(KEY, "Yield/Power", venus.parse_payload(b"64,5"), 20.0)
    assert left_out(bus, 20.0) is Omission.NUMBERS_UNKNOWN


def test_one_charger_left_out_keeps_no_other_back() -> None:
    """The others are reported, in order."""
    bus = bus_with({**SINGLE, "Yield/Power": None})
    other = ChargerKey("solarcharger", 278)
    bus.say({**SINGLE, "Serial": "HQ2211BBBB2"}, key=other)
    assert left_out(bus, 20.0) is Omission.NUMBERS_UNKNOWN
    assert bus.report(20.0, other).serial == "HQ2211BBBB2"


def test_chargers_are_ordered_by_service_and_instance() -> None:
    """Instances as numbers, whatever order they spoke in."""
    bus = Bus()
    keys = [
        ChargerKey("inverter", 300),
        ChargerKey("multi", 1),
        ChargerKey("solarcharger", 0),
        ChargerKey("solarcharger", 9),
        ChargerKey("solarcharger", 277),
    ]
    for key in reversed(keys):
        bus.say(SINGLE, key=key)
    assert list(bus.fleet.roll(moment(1.0))) == keys
    assert [charger.key for charger in bus.fleet] == keys


# --- when it was heard -------------------------------------------------------------------------


def test_last_update_is_when_it_was_last_heard() -> None:
    """In whole Unix seconds, rounded down; reporting is not hearing."""
    bus = bus_with()
    bus.say({"Pv/V": 61.0}, at_s=12.999)
    assert bus.report(50.0).last_update_s == unix_s(12.0)
    assert bus.report(5000.0).last_update_s == unix_s(12.0)


def test_a_completed_full_publish_confirms_what_it_said() -> None:
    """Nothing has changed since, so what was said then holds now."""
    bus = bus_with()
    bus.say(SINGLE, at_s=300.5)
    assert not bus.fleet.confirm(requested_s=300.0, now_s=301.0)
    assert bus.report(310.0).last_update_s == unix_s(301.0)


def test_last_update_follows_a_wall_clock_that_steps() -> None:
    """Heard 10 s ago stays so, when a GX without a clock learns the time of day."""
    bus = bus_with()
    now = moment(10.0)
    stepped = replace(now, utc=now.utc + timedelta(days=400))
    found = bus.fleet.roll(stepped)[KEY]
    assert isinstance(found, DeviceReport)
    assert found.last_update_s == int(stepped.utc.timestamp()) - 10


# --- the serial --------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", [None, "", "  ", 5, "HQ\0"], ids=repr)
def test_a_charger_without_a_serial_is_left_out(serial: object) -> None:
    """The backend could not tell whose numbers they are."""
    bus = bus_with({**SINGLE, "Serial": serial})
    assert left_out(bus, SETTLING_S) is Omission.SERIAL_UNKNOWN


@pytest.mark.parametrize("values", [without(SINGLE, "Serial"), {**SINGLE, "Serial": None}])
def test_a_configured_serial_stands_in(values: Values) -> None:
    """For a charger that tells none, by its instance."""
    bus = bus_with(values, serials={277: "SET", 278: "OTHER"})
    assert bus.report(SETTLING_S).serial == "SET"


def test_what_the_charger_tells_comes_before_what_is_configured() -> None:
    """A setting left over from an older unit does no harm."""
    assert bus_with(serials={277: "SET"}).report(1.0).serial == "HQ2211AAAA1"


def test_a_serial_once_told_is_not_taken_back() -> None:
    """A null afterwards comes from the same unit: it still has the serial."""
    bus = bus_with()
    assert bus.say({"Serial": None}, at_s=5.0) == [None]
    assert bus.report(6.0).serial == "HQ2211AAAA1"


def test_a_serial_told_late_is_no_swap() -> None:
    """Null came first, in the order of a full publish or of a slow driver."""
    bus = bus_with({**SINGLE, "Serial": None})
    assert bus.say({"Serial": "HQ2211AAAA1"}, at_s=5.0) == [None]
    assert bus.report(5.0) == replace(SOUTH_ROOF, last_update_s=unix_s(5.0))


# --- appearing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", NEEDED)
def test_a_new_charger_is_not_reported_by_halves(missing: str) -> None:
    """Within its first 10 s, one thing that a report needs and that was not said is waited for."""
    bus = bus_with(without(SINGLE, missing))
    assert left_out(bus, SETTLING_S - 0.1) is Omission.SETTLING
    assert not bus.fleet.has_said_all
    bus.say({missing: SINGLE[missing]}, at_s=SETTLING_S - 0.1)
    assert bus.fleet.has_said_all
    assert isinstance(bus.found(SETTLING_S - 0.1), DeviceReport)


def test_a_new_charger_that_says_all_is_reported_at_once() -> None:
    """There is nothing to wait for."""
    assert bus_with().report(0.0) == SOUTH_ROOF


def test_a_product_name_is_waited_for_no_longer_than_10_s() -> None:
    """Then the charger is reported without; numbers and serial cannot be done without."""
    report = bus_with(without(SINGLE, "ProductName", "CustomName")).report(SETTLING_S)
    assert (report.product_name, report.name) == ("Unknown", "Solar charger 277")


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("Serial", Omission.SERIAL_UNKNOWN),
        ("Yield/Power", Omission.NUMBERS_UNKNOWN),
        ("Yield/System", Omission.NUMBERS_UNKNOWN),
    ],
)
def test_numbers_and_serial_are_waited_for_without_end(missing: str, reason: Omission) -> None:
    """Once everything has been published, the reason is told instead of an excuse."""
    bus = bus_with(without(SINGLE, missing))
    bus.fleet.establish()
    assert left_out(bus, SETTLING_S) is reason
    assert left_out(bus, DAY_S) is reason


def test_an_empty_bus_has_not_said_all() -> None:
    """Nobody there is not the same as all of them heard."""
    assert not Bus().fleet.has_said_all
    assert not Bus().fleet.is_somebody_unheard


# --- swapped -----------------------------------------------------------------------------------


def test_another_serial_is_another_charger() -> None:
    """Nothing of the old one is reported under the new serial, not even its total."""
    bus = bus_with()
    assert bus.say({"Serial": "HQ2211BBBB2"}, at_s=100.0) == [Change.SWAPPED]
    assert left_out(bus, 100.0) is Omission.SETTLING
    bus.say({"Yield/Power": 5.0}, at_s=101.0)
    bus.fleet.establish()
    assert left_out(bus, 100.0 + SETTLING_S) is Omission.NUMBERS_UNKNOWN
    bus.say({"Yield/System": 1.0}, at_s=120.0)
    report = bus.report(120.0)
    assert (report.serial, report.product_name, report.trackers) == ("HQ2211BBBB2", "Unknown", ())


def test_a_swapped_charger_waits_until_everything_was_published() -> None:
    """What it said before its serial was lost with the other unit: state, trackers, names."""
    bus = bus_with()
    bus.say({**SINGLE, "Serial": "HQ2211BBBB2"}, at_s=100.0)
    assert left_out(bus, 100.0 + 10 * SETTLING_S) is Omission.SETTLING
    bus.say({**SINGLE, "Serial": "HQ2211BBBB2"}, at_s=160.0)
    bus.fleet.confirm(requested_s=160.0, now_s=160.1)
    assert bus.report(161.0).serial == "HQ2211BBBB2"


# --- one serial, two instances -----------------------------------------------------------------

MOVED = ChargerKey("solarcharger", 279)


def test_a_charger_that_moved_to_another_instance_is_reported_once() -> None:
    """Its old place is not reported as off: one serial has one row at the backend."""
    bus = bus_with()
    bus.leave(100.0)
    bus.say(SINGLE, at_s=101.0, key=MOVED)
    roll = bus.fleet.roll(moment(102.0))
    assert list(roll) == [MOVED]
    bus.leave(103.0, MOVED)
    assert list(bus.fleet.roll(moment(104.0))) == [MOVED]


def test_of_two_chargers_with_one_serial_the_last_to_appear_counts() -> None:
    """Plugged in elsewhere before the old place is gone: the other one is left out, and why."""
    bus = bus_with()
    bus.say(SINGLE, at_s=100.0, key=MOVED)
    assert left_out(bus, 101.0) is Omission.SERIAL_TWICE
    assert bus.report(101.0, MOVED).device_instance == 279


def test_the_same_serial_again_is_the_same_charger() -> None:
    """Every full publish says it again."""
    bus = bus_with()
    assert bus.say(SINGLE, at_s=100.0) == [None] * len(SINGLE)


def test_a_swap_at_the_plug_starts_afresh() -> None:
    """Zero-length payloads, then the new unit's values a tenth of a second later."""
    bus = bus_with()
    bus.leave(100.0)
    new = {**without(SINGLE, "CustomName"), "Serial": "HQ2211BBBB2", "Yield/System": 0.25}
    assert bus.say(new, at_s=100.1) == [Change.APPEARED] + [None] * (len(new) - 1)
    report = bus.report(100.2)
    assert (report.serial, report.yield_total_kwh) == ("HQ2211BBBB2", 0.25)
    assert report.name == "BlueSolar Charger MPPT 150/45 rev3"


# --- gone --------------------------------------------------------------------------------------

OFF = replace(
    SOUTH_ROOF, reachable=False, producing=False, yield_power_w=0.0, trackers=(), last_update_s=0
)


def test_a_charger_that_left_is_off() -> None:
    """No power, no trackers, the last total, and the time it was last heard, not that it left."""
    bus = bus_with()
    bus.say({"Yield/System": 21.0}, at_s=50.0)
    bus.leave(100.0)
    off = replace(OFF, yield_total_kwh=21.0, last_update_s=unix_s(50.0))
    assert bus.report(100.0) == off
    assert bus.report(5000.0) == off


def test_one_zero_length_payload_tells_it_all() -> None:
    """The charger is gone with the first of them, whichever path it is of."""
    bus = bus_with()
    bus.leave(100.0, paths={"Pv/V": None})
    assert bus.report(100.0).reachable is False


def test_the_last_total_outlives_a_null() -> None:
    """A charger at dusk says null before it leaves: the last total that was known is reported."""
    bus = bus_with()
    bus.say({"Yield/Power": None, "Yield/System": None, "Connected": 0}, at_s=40.0)
    bus.leave(75.0)
    assert bus.report(75.0) == replace(OFF, last_update_s=unix_s(40.0))


@pytest.mark.parametrize("missing", ["Serial", "Yield/System"])
def test_a_charger_that_left_before_it_was_known_is_left_out(missing: str) -> None:
    """Without a serial or a total there is nothing that could truthfully be said."""
    bus = bus_with(without(SINGLE, missing))
    bus.leave(5.0)
    assert left_out(bus, 5.0) is Omission.GONE_AND_UNKNOWN
    assert left_out(bus, 5000.0) is Omission.GONE_AND_UNKNOWN


def test_a_configured_serial_outlives_the_charger() -> None:
    """It is known by it as much as by its own."""
    bus = bus_with(without(SINGLE, "Serial"), serials={277: "SET"})
    bus.leave(50.0)
    assert bus.report(50.0).serial == "SET"


def test_nobody_leaves_who_was_never_there() -> None:
    """A zero-length payload does not make a charger."""
    bus = Bus()
    bus.leave(5.0)
    assert bus.found(5.0) is None


def test_a_charger_that_returns_is_reported_as_new() -> None:
    """It has to say everything again, and does, in one burst."""
    bus = bus_with()
    bus.leave(100.0)
    assert bus.say({"Yield/Power": 5.0}, at_s=200.0) == [Change.APPEARED]
    assert left_out(bus, 200.0) is Omission.SETTLING
    bus.say(SINGLE, at_s=200.0)
    assert bus.report(200.0) == replace(SOUTH_ROOF, last_update_s=unix_s(200.0))


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
    bus.fleet.unconfirm()
    assert left_out(bus, 10.0) is Omission.UNCONFIRMED
    assert not bus.fleet.has_said_all


def test_a_charger_heard_again_is_confirmed_by_all_it_says() -> None:
    """One value is not enough, not even for what is silent for hours."""
    bus = bus_with()
    bus.fleet.unconfirm()
    assert bus.say({"Yield/Power": 5.0}, at_s=20.0) == [Change.APPEARED]
    assert left_out(bus, 20.0) is Omission.SETTLING
    bus.say(SINGLE, at_s=20.0)
    assert bus.report(20.0) == replace(SOUTH_ROOF, last_update_s=unix_s(20.0))


def test_another_unit_after_a_gap_inherits_nothing() -> None:
    """Its serial may come last in the full publish; until then it is not taken for the old one."""
    bus = bus_with()
    bus.fleet.unconfirm()
    new = {**without(SINGLE, "CustomName", "Serial"), "Yield/System": 0.25}
    bus.say(new, at_s=20.0)
    assert left_out(bus, 20.0) is Omission.SETTLING
    assert bus.say({"Serial": "HQ2211BBBB2"}, at_s=20.1) == [None]
    assert (bus.report(20.1).serial, bus.report(20.1).yield_total_kwh) == ("HQ2211BBBB2", 0.25)


def test_a_charger_that_leaves_while_unconfirmed_is_off() -> None:
    """With what was known of it before, heard when it was."""
    bus = bus_with()
    bus.fleet.unconfirm()
    bus.leave(20.0)
    assert bus.report(20.0) == replace(OFF, last_update_s=unix_s(0.0))


def test_a_charger_that_was_off_is_off_after_a_new_connection() -> None:
    """There was nothing to confirm; it is still forgotten in time."""
    bus = bus_with()
    bus.leave(5.0)
    bus.fleet.unconfirm()
    assert bus.report(10.0).reachable is False
    assert bus.found(5.0 + DAY_S) is None


def test_two_full_publishes_without_it_mean_that_it_left() -> None:
    """The first proves nothing, and asks for another; the second does."""
    bus = bus_with()
    bus.fleet.unconfirm()
    assert bus.fleet.confirm(requested_s=20.0, now_s=21.0)
    assert left_out(bus, 21.0) is Omission.UNCONFIRMED
    assert not bus.fleet.confirm(requested_s=80.0, now_s=81.0)
    assert bus.report(81.0) == replace(OFF, last_update_s=unix_s(0.0))
    assert bus.found(81.0 + DAY_S) is None


def test_full_publishes_are_missed_in_a_row_or_not_at_all() -> None:
    """Being heard between two of them starts the count afresh."""
    bus = bus_with()
    assert bus.fleet.confirm(requested_s=20.0, now_s=21.0)
    bus.say(SINGLE, at_s=50.0)
    assert bus.fleet.confirm(requested_s=80.0, now_s=81.0)
    assert bus.report(81.0).reachable is True


def test_a_charger_that_stays_silent_on_a_living_connection_leaves_too() -> None:
    """Also without a goodbye: two full publishes in a row that lack it."""
    bus = bus_with()
    bus.fleet.confirm(requested_s=300.0, now_s=301.0)
    assert bus.report(301.0).last_update_s == unix_s(0.0)
    bus.fleet.confirm(requested_s=360.0, now_s=361.0)
    assert bus.report(361.0) == replace(OFF, last_update_s=unix_s(0.0))


def test_who_spoke_in_a_full_publish_is_not_harmed_by_who_did_not() -> None:
    """Each charger has its own count."""
    bus, other = bus_with(), ChargerKey("solarcharger", 278)
    for at_s in (300.0, 360.0):
        bus.say({**SINGLE, "Serial": "OTHER"}, at_s=at_s + 0.5, key=other)
        bus.fleet.confirm(requested_s=at_s, now_s=at_s + 1.0)
    assert bus.report(361.0).reachable is False
    assert bus.report(361.0, other) == replace(
        SOUTH_ROOF, serial="OTHER", device_instance=278, last_update_s=unix_s(361.0)
    )


def test_a_charger_that_goes_null_before_it_leaves_keeps_its_names() -> None:
    """The GX may lose contact first and the device later: who it was is known all the same."""
    bus = bus_with()
    bus.say({"CustomName": None, "ProductName": None, "Yield/System": None}, at_s=5.0)
    bus.leave(6.0)
    report = bus.report(7.0)
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
    assert not bus.fleet.confirm(requested_s=20.0, now_s=21.0)
    assert not bus.fleet.is_somebody_unheard


# --- multi and inverter --------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["multi", "inverter"])
def test_an_inverter_with_pv_is_a_charger(service: str) -> None:
    """It is reported by the same rules."""
    bus, key = Bus(), ChargerKey(service, 1)
    bus.say(SEVERAL, key=key)
    assert (bus.report(1.0, key).serial, len(bus.report(1.0, key).trackers)) == (
        SEVERAL["Serial"],
        3,
    )


@pytest.mark.parametrize("service", ["multi", "inverter"])
@pytest.mark.parametrize(
    "values",
    [
        without(SEVERAL, "NrOfTrackers"),
        {**SEVERAL, "NrOfTrackers": 0},
        {**SEVERAL, "NrOfTrackers": None},
    ],
    ids=["missing", "0", "null"],
)
def test_an_inverter_without_pv_is_none(service: str, values: Values) -> None:
    """It is not reported, not even as left out, and nobody waits for it."""
    bus, key = Bus(), ChargerKey(service, 1)
    bus.say(values, key=key)
    bus.fleet.unconfirm()
    bus.say(values, at_s=20.0, key=key)
    assert bus.found(30.0, key) is None
    assert not bus.fleet.is_somebody_unheard
    assert not bus.fleet.confirm(requested_s=60.0, now_s=61.0)
    bus.leave(70.0, key)
    assert bus.found(70.0, key) is None


def test_a_solar_charger_needs_no_number_of_trackers() -> None:
    """Its service says what it is; with 0 of them it is reported without trackers."""
    assert bus_with({**SINGLE, "NrOfTrackers": 0}).report(1.0) == replace(SOUTH_ROOF, trackers=())


def test_an_inverter_with_pv_that_left_is_off() -> None:
    """It is remembered as the charger it was."""
    bus, key = Bus(), ChargerKey("multi", 1)
    bus.say(SEVERAL, key=key)
    bus.leave(50.0, key)
    assert bus.report(50.0, key).reachable is False


def test_an_inverter_with_pv_is_waited_for_after_a_new_connection() -> None:
    """It may be told missing before it says anew how many trackers it has."""
    bus, key = Bus(), ChargerKey("multi", 1)
    bus.say(SEVERAL, key=key)
    bus.fleet.unconfirm()
    assert bus.found(10.0, key) is Omission.UNCONFIRMED
    assert bus.fleet.confirm(requested_s=20.0, now_s=21.0)


def test_the_same_instance_of_two_services_is_two_chargers() -> None:
    """What the one says is not said by the other."""
    bus = bus_with()
    other = ChargerKey("multi", 277)
    bus.say({**SEVERAL, "Serial": "OTHER"}, key=other)
    assert bus.report(1.0) == SOUTH_ROOF
    assert bus.report(1.0, other).serial == "OTHER"


def test_a_charger_can_be_used_by_itself() -> None:
    """It needs no fleet: what it says goes in, and its report comes out."""
    charger = Charger(KEY, None, now_s=0.0)
    for path, value in SINGLE.items():
        charger.hear(path, said(value), 0.0)
    assert charger.report(moment(1.0)) == SOUTH_ROOF
