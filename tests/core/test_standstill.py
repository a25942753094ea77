"""Tests chargers whose values do not change: they are logged, and left out on request."""

import pytest

from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay.standstill import UNCERTAIN_S, Standstill
from tests.support.sayings import KEY, SINGLE, Bus, Values, bus_with, moment

REST_S = 600.0
"""Ten minutes, as is promised."""


def remarks(bus: Bus, at_s: float) -> list[str]:
    """Returns what is remarked on the charger."""
    now = moment(at_s)
    return [r.text for r in bus.chargers.remarks(now, bus.chargers.reports(now))[KEY]]


def test_a_charger_in_the_sun_whose_values_rest_is_told() -> None:
    """After ten minutes, with the time since when; it is reported all the same."""
    bus = bus_with()
    assert remarks(bus, REST_S - 1.0) == []
    assert remarks(bus, REST_S) == ["has been stuck since 2026-11-23 09:00 UTC: no value changes"]
    assert remarks(bus, REST_S + 3600.0) == remarks(bus, REST_S)
    assert bus.report(REST_S).yield_power_w == 64.5


@pytest.mark.parametrize("path", ["Yield/Power", "Pv/V", "Dc/0/Voltage", "State"])
def test_any_value_that_changes_ends_it(path: str) -> None:
    """Whichever it is."""
    bus = bus_with()
    bus.say({path: 5}, 100.0)
    assert remarks(bus, REST_S) == []
    assert remarks(bus, REST_S + 100.0) != []


def test_values_that_are_said_again_have_not_changed() -> None:
    """Ours or another client's full publish, every few minutes."""
    bus = bus_with()
    for at_s in (200.0, 400.0, 599.0):
        bus.publish(SINGLE, at_s)
    assert remarks(bus, REST_S) != []


@pytest.mark.parametrize("values", [{"Yield/Power": 0.0}, {"Yield/Power": None}], ids=repr)
def test_at_night_all_stand_still(values: Values) -> None:
    """Without PV power there is nothing to measure that could change."""
    assert remarks(bus_with({**SINGLE, **values}), 10 * REST_S) == []


def test_a_charger_that_is_lost_does_not_stand_still() -> None:
    """It is off, and that is told."""
    bus = bus_with()
    bus.leave(1.0)
    assert remarks(bus, REST_S) == []


def test_a_charger_is_left_out_for_it_only_on_request() -> None:
    """To the second, and until a value changes."""
    bus = bus_with(drop_frozen_after_s=900.0)
    assert bus.report(899.0).yield_power_w == 64.5
    found = bus.found(900.0)
    assert isinstance(found, Omission)
    assert found.cause is Cause.STANDS_STILL
    assert "has been stuck since" in found.text
    bus.say({"Yield/Power": 64.6}, 901.0)
    assert bus.report(901.0).yield_power_w == 64.6


# --- messages whose value is not looked at -------------------------------------------------------


def test_a_message_of_no_interest_is_a_change() -> None:
    """The GX says it because the value is another one, if no full publish is under way."""
    bus = bus_with()
    bus.chargers.hear_life(KEY, 500.0)
    assert remarks(bus, REST_S) == []
    assert remarks(bus, REST_S + 500.0) != []


def test_a_full_publish_of_anybody_is_no_change() -> None:
    """Its end tells it: what came in it says nothing new."""
    bus = bus_with()
    for at_s in range(10, 600, 10):
        bus.chargers.hear_life(KEY, float(at_s))
        bus.chargers.note_full_publish(at_s + 0.2)
    assert remarks(bus, REST_S) != []


def test_a_full_publish_takes_nothing_back_that_was_before_it() -> None:
    """A change a few seconds before it is one."""
    still = Standstill(0.0)
    still.note_message(100.0)
    still.note_message(107.0)
    still.note_full_publish(105.0)
    assert still.since_s(107.0 + UNCERTAIN_S) == 100.0


def test_messages_without_end_are_changes() -> None:
    """To some seconds, which matters little beside ten minutes."""
    still = Standstill(0.0)
    for at_s in range(300):
        still.note_message(float(at_s))
    assert 300.0 - 2 * UNCERTAIN_S <= still.since_s(300.0) <= 300.0


def test_a_message_is_a_change_once_no_full_publish_can_have_held_it() -> None:
    """Counts it after fifteen seconds, from when it came, and the next one after it likewise."""
    still = Standstill(100.0)
    still.note_message(110.0)
    assert (still.since_s(124.9), still.since_s(125.0)) == (100.0, 110.0)
    still.note_message(125.0)
    assert (still.since_s(126.0), still.since_s(140.0)) == (110.0, 125.0)
    still.note_message(130.0)
    assert still.since_s(140.0) == 125.0


def test_a_message_at_the_beginning_of_a_full_publish_is_a_part_of_it() -> None:
    """Takes it back, at that very moment too; one before it stays."""
    still = Standstill(100.0)
    still.note_message(110.0)
    still.note_full_publish(110.1)
    assert still.since_s(200.0) == 110.0
    still.note_full_publish(110.0)
    assert still.since_s(200.0) == 100.0


def test_all_messages_of_a_full_publish_are_taken_back() -> None:
    """Counts none of them for the others that came after it."""
    still = Standstill(100.0)
    for at_s in (110.0, 111.0, 112.0):
        still.note_message(at_s)
    still.note_full_publish(109.0)
    assert still.since_s(200.0) == 100.0
