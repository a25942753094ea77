"""Tests which unit is speaking: units that are swapped in one place, and units that share it."""

from typing import Any

import pytest

from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay.presence import Change
from mqtt_http_bridge.core.relay.units import MOST_SERIALS, Units
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.sayings import SINGLE, Bus, without

A, B = "HQ2211AAAA1", "HQ2211BBBB2"
MULTI = ChargerKey("multi", 1)


def cause(bus: Bus, at_s: float) -> Cause | None:
    """Returns why the charger is left out; None if it is reported."""
    found = bus.found(at_s)
    return found.cause if isinstance(found, Omission) else None


def test_one_serial_again_and_again_is_one_unit() -> None:
    """Every full publish says it."""
    units = Units()
    assert not any(units.tell(A, at_s) for at_s in (0.0, 300.0))
    assert not units.settle(0.0)
    assert not units.is_swap_unsettled
    assert not units.rivals


def test_a_swap_is_settled_by_a_later_publish_that_told_one_serial() -> None:
    """One that was asked for before may have told the old one's values."""
    units = Units()
    units.tell(A, 0.0)
    assert units.tell(B, 700.0)
    units.settle(699.0)
    assert units.is_swap_unsettled
    units.tell(B, 760.0)
    units.settle(760.0)
    assert not units.is_swap_unsettled


def test_a_publish_that_told_no_serial_settles_nothing() -> None:
    """The GX may not have answered at all."""
    units = Units()
    units.tell(A, 0.0)
    units.tell(B, 700.0)
    units.settle(760.0)
    assert units.is_swap_unsettled


def test_a_place_that_was_cleared_knows_nobody() -> None:
    """Forgets who was there, and who took over from whom."""
    units = Units()
    units.tell(A, 0.0)
    units.tell(B, 10.0)
    units.clear()
    units.tell(B, 20.0)
    units.settle(0.0)
    assert not units.rivals
    units.tell(A, 30.0)
    assert not units.rivals


def test_the_last_eight_serials_of_a_place_are_remembered() -> None:
    """Forgets the one that was told longest ago: more than that is noise."""
    units = Units()
    for number in range(9):
        units.tell(f"{number}", float(number))
    units.settle(0.0)
    assert units.rivals == set("12345678")
    units = Units()
    for at_s, serial in enumerate("0123456708"):
        units.tell(serial, float(at_s))
    units.settle(0.0)
    assert units.rivals == set("02345678")


@pytest.mark.parametrize(("gap_s", "are_two"), [(599.9, True), (600.0, False)])
def test_the_old_serial_back_soon_was_never_away(gap_s: float, are_two: bool) -> None:
    """Within ten minutes of having been replaced."""
    units = Units()
    for serial, at_s in ((A, 0.0), (B, 100.0), (A, 100.0 + gap_s)):
        units.tell(serial, at_s)
    assert units.rivals == (frozenset({A, B}) if are_two else frozenset())


def test_two_serials_in_one_publish_are_two_units() -> None:
    """Until one of them is alone in it."""
    units = Units()
    units.tell(A, 10.0)
    units.tell(B, 10.1)
    assert not units.settle(10.0)
    assert units.rivals == {A, B}
    units.settle(60.0)
    assert units.rivals, "who told nothing is not gone"
    units.tell(B, 310.0)
    assert units.settle(310.0)
    assert not units.rivals


def test_noise_takes_up_no_memory() -> None:
    """Ever new serials in turns: some of them are remembered, and they still share the place."""
    units = Units()
    for number in range(100):
        for serial in (f"A{number}", f"B{number}", f"A{number}"):
            units.tell(serial, float(number))
    assert len(units.rivals) == MOST_SERIALS


def test_a_place_that_was_cleared_starts_anew() -> None:
    """Zero-length payloads: whoever comes is alone there, and no swap."""
    units = Units()
    for serial in (A, B, A):
        units.tell(serial, 1.0)
    units.clear()
    assert not units.rivals
    assert not units.tell(B, 2.0)


def test_what_is_remembered_of_a_place_is_bounded() -> None:
    """Whoever may write to the broker can tell a new serial each second."""
    units = Units()
    for number in range(10 * MOST_SERIALS):
        units.tell(str(number), float(number))
    assert len(units._told_s) <= MOST_SERIALS
    assert len(units._replaced_s) <= MOST_SERIALS


# --- what comes of it on the bus -----------------------------------------------------------------


def shared_bus(**settings: Any) -> Bus:
    """A bus on which two units told their serials in one full publish."""
    bus = Bus(**settings)
    bus.say({**SINGLE, "Serial": A})
    bus.publish({**SINGLE, "Serial": B, "Yield/Power": 1.0}, 0.0)
    return bus


def test_two_units_are_left_out_and_named() -> None:
    """The warning has what somebody needs to find them; a setting of one serial changes nothing."""
    for bus in (shared_bus(), shared_bus(serials={"277": "SET"})):
        found = bus.found(100.0)
        assert isinstance(found, Omission)
        assert found.cause is Cause.TWO_UNITS
        assert f"{A} and {B}" in found.text


def test_two_units_ask_for_no_full_publish() -> None:
    """Each tells its serial in each of them: that would go on for ever, once a minute."""
    bus = shared_bus()
    changes = bus.say({**SINGLE, "Serial": A}, 60.0) + bus.say({**SINGLE, "Serial": B}, 60.1)
    assert set(changes) == {None}


def test_two_units_are_not_reported_as_lost() -> None:
    """Neither by `/Connected` 0, which only one of them says."""
    bus = shared_bus()
    bus.say({"Connected": 0}, 100.0)
    assert cause(bus, 200.0) is Cause.TWO_UNITS


def test_two_units_are_still_two_after_a_new_connection() -> None:
    """A full publish will tell."""
    bus = shared_bus()
    bus.chargers.unconfirm(100.0)
    bus.say({**SINGLE, "Serial": A}, 101.0)
    assert cause(bus, 200.0) is Cause.TWO_UNITS


def test_the_one_that_is_left_says_everything_first() -> None:
    """Everything that was said before may be the other's; the GX is asked for all of it."""
    bus = shared_bus()
    assert bus.publish({**SINGLE, "Serial": B}, 300.0)
    assert cause(bus, 301.0) is Cause.SETTLING
    assert not bus.publish({**SINGLE, "Serial": B}, 360.0)
    assert bus.report(361.0).serial == B


def test_zero_length_payloads_end_it_at_once() -> None:
    """The place is cleared, and the unit that says everything anew is reported."""
    bus = shared_bus()
    bus.leave(100.0)
    assert bus.say({**SINGLE, "Serial": B}, 101.0)[0] is Change.RETURNED
    assert bus.report(102.0).serial == B


def test_a_unit_that_was_swapped_leaves_no_ghost() -> None:
    """The old one did not leave, so it is not reported as lost: nobody knows where it is."""
    bus = Bus()
    bus.say(SINGLE)
    bus.say({"Serial": B}, 100.0)
    bus.say({"Connected": 0}, 101.0)
    assert cause(bus, 200.0) is Cause.LOST_AND_UNKNOWN


def test_two_units_that_both_leave_are_not_reported_as_lost() -> None:
    """The last serial may be one's and the last total the other's."""
    bus = shared_bus()
    bus.say({"Yield/System": 9999.0}, 50.0)
    bus.leave(100.0)
    assert cause(bus, 300.0) is Cause.LOST_AND_UNKNOWN


@pytest.mark.parametrize("end", ["leaves", "out of reach", "missing"])
def test_a_swap_that_nothing_has_confirmed_is_not_reported_as_lost(end: str) -> None:
    """Values that came after the new serial may be the old unit's: they may be two."""
    bus = Bus()
    bus.publish({**SINGLE, "Serial": A}, 0.0)
    bus.say({**SINGLE, "Serial": B}, 50.0)
    bus.say({"Yield/System": 9999.0}, 65.0)
    end_it(bus, end, 100.0)
    assert cause(bus, 300.0) is Cause.LOST_AND_UNKNOWN


def test_two_units_that_are_missing_after_a_gap_are_not_reported_as_lost() -> None:
    """The gap makes one unit of neither."""
    bus = shared_bus()
    bus.say({"Yield/System": 9999.0}, 50.0)
    end_it(bus, "missing", 100.0)
    assert cause(bus, 300.0) is Cause.LOST_AND_UNKNOWN


def test_words_from_before_a_gap_go_with_a_swap_after_it() -> None:
    """The one that was lost sight of was seen again, and then another in its place."""
    bus = Bus()
    bus.publish({**SINGLE, "Serial": A}, 0.0)
    bus.chargers.unconfirm(10.0)
    bus.say({**SINGLE, "Serial": A}, 11.0)
    bus.say({**SINGLE, "Serial": B}, 12.0)
    bus.leave(20.0)
    assert cause(bus, 220.0) is Cause.LOST_AND_UNKNOWN


def test_one_of_two_units_that_is_left_may_be_lost_later() -> None:
    """Once it is alone and has said everything again, it is like any other."""
    bus = shared_bus()
    for at_s in (300.0, 360.0):
        bus.publish({**SINGLE, "Serial": B}, at_s)
    bus.leave(400.0)
    report = bus.report(600.0)
    assert (report.serial, report.reachable, report.yield_total_kwh) == (B, False, 20.75)


def end_it(bus: Bus, end: str, at_s: float) -> None:
    """Lets the charger go, in one of three ways."""
    if end == "leaves":
        bus.leave(at_s)
    elif end == "out of reach":
        bus.say({"Connected": 0}, at_s)
    else:
        bus.chargers.unconfirm(at_s)
        for requested_s in (at_s + 1.0, at_s + 2.0):
            bus.chargers.confirm(requested_s, requested_s)


# --- what the broker keeps -----------------------------------------------------------------------


def test_what_is_retained_names_a_charger_that_speaks() -> None:
    """They tell who it is, its trackers and what they are called, and not one number."""
    bus = Bus()
    for path, value in SINGLE.items():
        bus.retain({path: value})
    assert bus.found(1.0) is None
    bus.say({"Yield/Power": 5.0}, 2.0)
    assert cause(bus, 20.0) is Cause.SETTLING
    bus.say({"Yield/System": 30.0}, 21.0)
    report = bus.report(22.0)
    assert (report.serial, report.name) == (SINGLE["Serial"], SINGLE["CustomName"])
    assert report.trackers == ()


def test_what_is_said_beats_what_is_retained() -> None:
    """The mirror may have kept the serial of a unit that was swapped: that is no swap now."""
    bus = Bus()
    bus.retain({"Serial": A})
    assert bus.say({**SINGLE, "Serial": B}) == [Change.APPEARED] + [None] * (len(SINGLE) - 1)
    bus.retain({"Serial": A})
    assert bus.report(1.0).serial == B


def test_what_is_retained_goes_with_the_charger() -> None:
    """Whoever comes in its place is somebody else."""
    bus = Bus()
    bus.retain({"CustomName": "Old"})
    bus.say(without(SINGLE, "CustomName"))
    bus.leave(10.0)
    bus.say(without(SINGLE, "CustomName"), 11.0)
    assert bus.report(12.0).name == SINGLE["ProductName"]


def test_what_is_retained_goes_with_the_connection() -> None:
    """The next one brings what is retained by then."""
    bus = Bus()
    bus.retain({"CustomName": "Old"})
    bus.chargers.unconfirm(10.0)
    bus.say(without(SINGLE, "CustomName"), 11.0)
    assert bus.report(12.0).name == SINGLE["ProductName"]


def test_what_is_retained_goes_with_the_unit() -> None:
    """It was the name of the one that was swapped."""
    bus = Bus()
    bus.retain({"CustomName": "Old"})
    bus.say(without(SINGLE, "CustomName"))
    new = {**without(SINGLE, "CustomName"), "Serial": B}
    bus.say(new, 10.0)
    bus.publish(new, 70.0)
    assert bus.report(71.0).name == SINGLE["ProductName"]


def test_a_retained_number_of_trackers_may_come_late() -> None:
    """Live messages do not wait for the retained ones."""
    bus = Bus()
    bus.say(without(SINGLE, "NrOfTrackers"), key=MULTI)
    assert bus.found(1.0, MULTI) is None
    bus.retain({"NrOfTrackers": 1}, MULTI)
    assert bus.found(1.0, MULTI) is not None


def test_a_retained_number_of_trackers_makes_an_inverter_a_charger() -> None:
    """It was said when the mirror was connected, and is not said again."""
    bus = Bus()
    bus.retain({"NrOfTrackers": 2}, MULTI)
    bus.say(without(SINGLE, "NrOfTrackers"), key=MULTI)
    assert bus.found(1.0, MULTI) is not None
