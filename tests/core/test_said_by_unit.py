"""Tests what is kept of what one unit said."""

from mqtt_http_bridge.core.relay.said_by_unit import SaidByUnit
from mqtt_http_bridge.core.venus.paths import PATHS
from mqtt_http_bridge.core.venus.payloads import INVALID, Said, Value

CHARGER = PATHS["solarcharger"]
NAME, SERIAL = "CustomName", "Serial"


def test_what_the_broker_retains_stands_in_for_what_was_not_said() -> None:
    """Gives its own word where there is one."""
    retained: dict[str, Said] = {NAME: Value("old"), SERIAL: Value("A")}
    unit = SaidByUnit(CHARGER, retained)
    assert unit.sayings == unit.remembered == retained
    assert unit.take_in(NAME, Value("new"))
    assert unit.sayings == unit.remembered == {NAME: Value("new"), SERIAL: Value("A")}
    assert SaidByUnit(CHARGER, {}).sayings == {}


def test_a_unit_that_is_known_again_is_remembered_by_what_outlasts_it() -> None:
    """Takes over its name, which it may never say again, and no number."""
    unit = SaidByUnit(CHARGER, {}, {NAME: Value("roof"), SERIAL: Value("A")})
    assert unit.sayings == unit.identity == {NAME: Value("roof"), SERIAL: Value("A")}
    assert unit.remembered == {NAME: Value("roof")}
    unit.take_in("Yield/System", Value(20.5))
    unit.take_in("Yield/Power", Value(64.5))
    assert unit.remembered == {NAME: Value("roof"), "Yield/System": Value(20.5)}
    assert unit.identity == {NAME: Value("roof"), SERIAL: Value("A")}


def test_a_serial_of_nothing_takes_nothing_back() -> None:
    """Is still the same unit; before it has told one, it has told nothing."""
    unit = SaidByUnit(CHARGER, {})
    assert unit.take_in(SERIAL, INVALID)
    assert unit.take_in(SERIAL, Value("A"))
    assert not unit.take_in(SERIAL, Value("A"))
    assert not unit.take_in(SERIAL, INVALID)
    assert not unit.take_in(SERIAL, Value(" "))
    assert unit.said[SERIAL] == Value("A")
    assert unit.take_in(SERIAL, Value("B"))


def test_two_trackers_whose_power_is_known_are_several() -> None:
    """Counts none that has said nothing of worth, and no tracker twice; it stays so."""
    unit = SaidByUnit(CHARGER, {})
    for said in (INVALID, Value("x"), Value(5.0), Value(6.0)):
        unit.take_in("Pv/0/P", said)
    unit.take_in("Pv/1/P", INVALID)
    unit.take_in("Pv/0/V", Value(60.0))
    assert not unit.has_several_trackers
    unit.take_in("Pv/1/P", Value(5.0))
    assert unit.has_several_trackers
    unit.take_in("Pv/1/P", INVALID)
    assert unit.has_several_trackers


def test_the_number_of_trackers_is_known_from_the_unit_or_the_broker() -> None:
    """Needs no power of theirs."""
    unit = SaidByUnit(CHARGER, {})
    unit.take_in("NrOfTrackers", Value(1))
    assert not unit.has_several_trackers
    unit.take_in("NrOfTrackers", Value(2))
    assert unit.has_several_trackers
    assert SaidByUnit(CHARGER, {"NrOfTrackers": Value(4)}).has_several_trackers


def test_it_is_within_reach_once_it_has_said_so() -> None:
    """Takes no null for it, and no other value."""
    unit = SaidByUnit(CHARGER, {})
    unit.take_in("Yield/Power", Value(64.5))
    unit.take_in("Connected", INVALID)
    assert not unit.is_within_reach
    unit.take_in("Connected", Value(1))
    assert unit.is_within_reach
