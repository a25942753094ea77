"""Tests what is reported of chargers as they appear, publish, fall silent and leave."""

from datetime import timedelta

import pytest

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay.charger import SETTLING_S, Charger
from mqtt_http_bridge.core.relay.charger_report import report as report_of
from mqtt_http_bridge.core.relay.presence import Change
from mqtt_http_bridge.core.venus.payloads import parse
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.sayings import (
    KEY,
    OLD,
    SEVERAL,
    SINGLE,
    SOUTH_ROOF,
    Bus,
    Values,
    bus_with,
    left_out,
    moment,
    said,
    unix_s,
    without,
)

NEEDED = ("Serial", "ProductName", "Yield/Power", "Yield/System")
DAY_S = 86_400.0

# --- the table ---------------------------------------------------------------------------------


def test_a_charger_is_reported_as_it_speaks() -> None:
    """Every row of the table, for a charger with one tracker."""
    assert bus_with().report(1.0) == SOUTH_ROOF


def test_old_firmware_is_reported_without_its_own_name() -> None:
    """It has neither `/CustomName` nor `/NrOfTrackers`."""
    expected = SOUTH_ROOF._replace(name="BlueSolar Charger MPPT 150/45 rev3")
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


@pytest.mark.parametrize("path", ["Yield/Power", "Yield/System"])
@pytest.mark.parametrize("value", [None, [], float("nan"), 1e12, "64.5", True], ids=repr)
def test_an_unknown_number_leaves_the_charger_out(path: str, value: object) -> None:
    """From that moment on, and until the number is known again; nothing old is reported."""
    bus = bus_with()
    bus.say({path: value}, at_s=20.0)
    assert left_out(bus, 20.0) is Cause.NUMBER_UNKNOWN
    bus.say({path: 7.5}, at_s=40.0)
    assert isinstance(bus.found(40.0), DeviceReport)


def test_an_unreadable_number_leaves_the_charger_out() -> None:
    """Something new was said, so that the old number is in doubt."""
    bus = bus_with()
    bus.chargers.hear(KEY, "Yield/Power", parse(b"64,5"), 20.0)
    assert left_out(bus, 20.0) is Cause.NUMBER_UNKNOWN


def test_one_charger_left_out_keeps_no_other_back() -> None:
    """The others are reported, in order."""
    bus = bus_with({**SINGLE, "Yield/Power": None})
    other = ChargerKey("solarcharger", 278)
    bus.say({**SINGLE, "Serial": "HQ2211BBBB2"}, key=other)
    assert left_out(bus, 20.0) is Cause.NUMBER_UNKNOWN
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
    assert list(bus.chargers.reports(moment(1.0))) == keys
    assert [charger.key for charger in bus.chargers] == keys


# --- when it was heard -------------------------------------------------------------------------


def test_last_update_is_when_it_was_last_heard() -> None:
    """In whole Unix seconds, rounded down; reporting is not hearing."""
    bus = bus_with()
    bus.say({"Pv/V": 61.0}, at_s=12.999)
    assert bus.report(50.0).last_update_s == unix_s(12.0)
    assert bus.report(5000.0).last_update_s == unix_s(12.0)


def test_a_value_that_is_said_again_is_heard_again() -> None:
    """Most of what a GX says is what it said before, and is then the very same object."""
    charger = Charger(KEY)
    words = {path: said(value) for path, value in SINGLE.items()}
    for path, word in words.items():
        charger.hear(path, word, 0.0)
    charger.hear("Pv/V", words["Pv/V"], 12.0)
    assert report_of(charger, moment(13.0)) == SOUTH_ROOF._replace(last_update_s=unix_s(12.0))


def test_a_completed_full_publish_confirms_what_it_said() -> None:
    """Nothing has changed since, so what was said then holds now."""
    bus = bus_with()
    bus.say(SINGLE, at_s=300.5)
    assert not bus.chargers.confirm(requested_s=300.0, now_s=301.0)
    assert bus.report(310.0).last_update_s == unix_s(301.0)


def test_last_update_follows_a_wall_clock_that_steps() -> None:
    """Heard 10 s ago stays so, when a GX without a clock learns the time of day."""
    bus = bus_with()
    now = moment(10.0)
    stepped = now._replace(utc=now.utc + timedelta(days=400))
    found = bus.chargers.reports(stepped)[KEY]
    assert isinstance(found, DeviceReport)
    assert found.last_update_s == int(stepped.utc.timestamp()) - 10


def test_last_update_counts_what_is_of_no_interest() -> None:
    """A charger that changes only its currents is heard all the same."""
    bus = bus_with()
    bus.chargers.hear_life(KEY, 195.0)
    assert bus.report(200.0).last_update_s == unix_s(195.0)


def test_what_is_of_no_interest_brings_nobody_back() -> None:
    """One that is out of reach, or unconfirmed, has to say who it is; nobody is made of it."""
    bus = bus_with()
    bus.say({"Connected": 0}, at_s=40.0)
    bus.chargers.hear_life(KEY, 60.0)
    assert bus.report(100.0).last_update_s == unix_s(40.0)
    bus.chargers.hear_life(ChargerKey("solarcharger", 5), 60.0)
    assert bus.found(100.0, ChargerKey("solarcharger", 5)) is None


# --- trackers ----------------------------------------------------------------------------------


def test_a_charger_with_several_trackers_once_has_several_while_it_is_there() -> None:
    """The power of the whole never stands beside the voltage of one, when the others turn null."""
    bus = bus_with({**without(SEVERAL, "NrOfTrackers", "Pv/2/P"), "Pv/V": 300.0})
    assert [tracker.number for tracker in bus.report(1.0).trackers] == [0, 1]
    bus.say({"Pv/0/P": None, "Pv/1/P": None}, at_s=2.0)
    assert bus.report(3.0).trackers == ()
    bus.leave(10.0)
    bus.say(SINGLE, at_s=11.0)
    assert [tracker.name for tracker in bus.report(12.0).trackers] == ["PV"]


def test_a_number_of_trackers_that_turns_null_makes_no_single_one() -> None:
    """It was told once, and the unit is the same."""
    bus = bus_with({**without(SEVERAL, "Pv/1/P", "Pv/2/P"), "NrOfTrackers": 2})
    bus.say({"NrOfTrackers": None}, at_s=1.0)
    assert [tracker.name for tracker in bus.report(2.0).trackers] == ["East"]


# --- the serial --------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", [None, "", "  ", 5, "HQ\0"], ids=repr)
def test_a_charger_without_a_serial_is_left_out(serial: object) -> None:
    """The backend could not tell whose numbers they are."""
    bus = bus_with({**SINGLE, "Serial": serial})
    assert left_out(bus, SETTLING_S) is Cause.SERIAL_UNKNOWN


@pytest.mark.parametrize("values", [without(SINGLE, "Serial"), {**SINGLE, "Serial": None}])
def test_a_configured_serial_stands_in(values: Values) -> None:
    """For a charger that tells none, by its instance."""
    bus = bus_with(values, serials={"277": "SET", "278": "OTHER"})
    assert bus.report(1.0).serial == "SET"
    assert bus.chargers.has_said_all


def test_what_is_configured_comes_before_what_the_charger_tells() -> None:
    """Some tell a placeholder, the same one for each of them."""
    assert bus_with(serials={"277": "SET"}).report(1.0).serial == "SET"


def test_a_serial_once_told_is_not_taken_back() -> None:
    """A null afterwards comes from the same unit: it still has the serial."""
    bus = bus_with()
    assert bus.say({"Serial": None}, at_s=5.0) == [None]
    assert bus.report(6.0).serial == "HQ2211AAAA1"


def test_a_serial_told_late_is_no_swap() -> None:
    """Null came first, in the order of a full publish or of a slow driver."""
    bus = bus_with({**SINGLE, "Serial": None})
    assert bus.say({"Serial": "HQ2211AAAA1"}, at_s=5.0) == [None]
    assert bus.report(5.0) == SOUTH_ROOF._replace(last_update_s=unix_s(5.0))


# --- appearing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", NEEDED)
def test_a_new_charger_is_not_reported_by_halves(missing: str) -> None:
    """Within its first 10 s, one thing that a report needs and that was not said is waited for."""
    bus = bus_with(without(SINGLE, missing))
    assert left_out(bus, SETTLING_S - 0.1) is Cause.SETTLING
    assert not bus.chargers.has_said_all
    bus.say({missing: SINGLE[missing]}, at_s=SETTLING_S - 0.1)
    assert bus.chargers.has_said_all
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
        ("Serial", Cause.SERIAL_UNKNOWN),
        ("Yield/Power", Cause.NUMBER_UNKNOWN),
        ("Yield/System", Cause.NUMBER_UNKNOWN),
    ],
)
def test_numbers_and_serial_are_waited_for_without_end(missing: str, reason: Cause) -> None:
    """Once everything has been published, the reason is told instead of an excuse."""
    bus = bus_with(without(SINGLE, missing))
    bus.chargers.establish(-NEVER, 0.0)
    assert left_out(bus, SETTLING_S) is reason
    assert left_out(bus, DAY_S) is reason


def test_an_empty_bus_has_not_said_all() -> None:
    """Nobody there is not the same as all of them heard."""
    assert not Bus().chargers.has_said_all
    assert not Bus().chargers.is_somebody_unheard


# --- swapped -----------------------------------------------------------------------------------


def test_another_serial_is_another_charger() -> None:
    """Nothing of the old one is reported under the new serial, not even its total."""
    bus = bus_with()
    assert bus.say({"Serial": "HQ2211BBBB2"}, at_s=100.0) == [Change.SWAPPED]
    assert left_out(bus, 100.0) is Cause.SETTLING
    bus.publish({"Yield/Power": 5.0, "Serial": "HQ2211BBBB2"}, at_s=160.0)
    assert left_out(bus, 160.0 + SETTLING_S) is Cause.NUMBER_UNKNOWN
    bus.say({"Yield/System": 1.0}, at_s=180.0)
    report = bus.report(180.0)
    assert (report.serial, report.product_name, report.trackers) == ("HQ2211BBBB2", "Unknown", ())


def test_a_swapped_charger_waits_until_everything_was_published() -> None:
    """All that it said before its serial was lost with the other unit: state, trackers, names."""
    bus = bus_with()
    bus.say({**SINGLE, "Serial": "HQ2211BBBB2"}, at_s=100.0)
    assert left_out(bus, 100.0 + 10 * SETTLING_S) is Cause.SERIAL_CHANGED
    bus.publish({**SINGLE, "Serial": "HQ2211BBBB2"}, at_s=160.0)
    assert bus.report(161.0).serial == "HQ2211BBBB2"


# --- one serial, two instances -----------------------------------------------------------------

MOVED = ChargerKey("solarcharger", 279)


def test_a_charger_that_moved_to_another_instance_is_reported_once() -> None:
    """Its old place is not reported as off: one serial has one row at the backend."""
    bus = bus_with()
    bus.leave(100.0)
    bus.say(SINGLE, at_s=101.0, key=MOVED)
    reports = bus.chargers.reports(moment(102.0))
    assert list(reports) == [MOVED]
    bus.leave(103.0, MOVED)
    assert list(bus.chargers.reports(moment(104.0))) == [MOVED]


def test_of_two_chargers_with_one_serial_the_last_to_appear_counts() -> None:
    """Plugged in elsewhere before the old place is gone: the other one is left out, and why."""
    bus = bus_with()
    bus.say(SINGLE, at_s=100.0, key=MOVED)
    assert left_out(bus, 101.0) is Cause.SERIAL_TWICE
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
    assert bus.say(new, at_s=100.1) == [Change.RETURNED] + [None] * (len(new) - 1)
    report = bus.report(100.2)
    assert (report.serial, report.yield_total_kwh) == ("HQ2211BBBB2", 0.25)
    assert report.name == "BlueSolar Charger MPPT 150/45 rev3"


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
    bus.chargers.unconfirm(0.0)
    bus.say(values, at_s=20.0, key=key)
    assert bus.found(30.0, key) is None
    assert not bus.chargers.is_somebody_unheard
    assert not bus.chargers.confirm(requested_s=60.0, now_s=61.0)
    bus.leave(70.0, key)
    assert bus.found(70.0, key) is None


def test_a_solar_charger_needs_no_number_of_trackers() -> None:
    """Its service says what it is."""
    assert bus_with({**SINGLE, "NrOfTrackers": 0}).report(1.0) == SOUTH_ROOF


def test_an_inverter_with_pv_that_left_is_off() -> None:
    """It is remembered as the charger it was."""
    bus, key = Bus(), ChargerKey("multi", 1)
    bus.say(SEVERAL, key=key)
    bus.leave(50.0, key)
    assert bus.report(110.0, key).reachable is False


def test_an_inverter_with_pv_is_waited_for_after_a_new_connection() -> None:
    """It may be told missing before it says anew how many trackers it has."""
    bus, key = Bus(), ChargerKey("multi", 1)
    bus.say(SEVERAL, key=key)
    bus.chargers.unconfirm(0.0)
    assert bus.found(10.0, key) == Omission(Cause.UNCONFIRMED)
    assert bus.chargers.confirm(requested_s=20.0, now_s=21.0)


def test_the_same_instance_of_two_services_is_two_chargers() -> None:
    """Everything that the one says is not said by the other."""
    bus = bus_with()
    other = ChargerKey("multi", 277)
    bus.say({**SEVERAL, "Serial": "OTHER"}, key=other)
    assert bus.report(1.0) == SOUTH_ROOF
    assert bus.report(1.0, other).serial == "OTHER"


def test_a_charger_can_be_used_by_itself() -> None:
    """It needs no chargers: what it says goes in, and its report comes out."""
    charger = Charger(KEY)
    for path, value in SINGLE.items():
        charger.hear(path, said(value), 0.0)
    assert report_of(charger, moment(1.0)) == SOUTH_ROOF
